"""One HTML file that opens anywhere: no scripts, no network, every picture inside."""

import datetime
import html
from collections.abc import Mapping, Sequence

import numpy as np

import jaxsep
from jaxsep.report import measures, plots
from jaxsep.report.inputs import check_points, columns_of

ARROWS = {'up': '↑', 'down': '↓', 'none': ''}
SPOKEN = {'up': 'higher is better', 'down': 'lower is better', 'none': ''}
MOST_CURVES = 24

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --line: #d5dae0; --card: #f6f8fa; --best: #e3f1e7 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4af; --paper: #14181c; --line: #323a42; --card: #1c2228; --best: #1f3a29 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; margin: 0 0 .3rem } h2 { margin: 2.4rem 0 .4rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem } h3 { margin: 1.6rem 0 .4rem }
p, figcaption { color: var(--soft); max-width: 46rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th.number, td.number { text-align: right; white-space: nowrap } td.best { background: var(--best); font-weight: 600 }
span.meaning { display: block; color: var(--soft); font-size: .83rem; line-height: 1.25 }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0 }
figure { margin: 0; flex: 1 1 21rem; max-width: 100%; background: var(--card); border-radius: 8px; padding: .7rem }
figure img { width: 100%; height: auto; background: #fff; border-radius: 4px }
audio { width: 100%; height: 2rem; margin-top: .4rem }
figcaption { font-size: .85rem; margin-top: .3rem } figcaption b { color: var(--ink) }
@media print { body { max-width: none; padding: 0 } figure, tr { break-inside: avoid } }
"""  # noqa: E501


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page from a title and (heading, HTML) sections; titles are escaped here."""
    body = ''.join(f'<h2>{html.escape(name)}</h2>\n{content}\n' for name, content in sections)
    made = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>'
        f'<h1>{html.escape(title)}</h1><p>jaxsep {jaxsep.__version__}, {made}</p>\n{body}</body></html>\n'
    )


def run_page(title, results, curves, named_embeddings, labels, examples=()) -> str:
    """report.html of a run: its results, its curves, and how separable its embeddings are.

    Args:
      results: name -> number or text.
      curves: name -> (steps, values).
      named_embeddings: name -> [n, d], such as before and after training; may be empty.
      labels: column -> [n]. Columns with fewer than two classes here are left out, and so
        are embeddings that are not finite: a run's report is written whatever came out.
      examples: sections of test examples, as `gallery.sections` makes them.
    """
    sections = [('Results', results_table(results))]
    if curves:
        shown = list(curves.items())[:MOST_CURVES]
        sections.append(
            ('Curves', pictures([(plots.curve(*c, name), name, '') for name, c in shown]))
        )
    sections += examples
    finite, notes = {}, []
    for name, array in named_embeddings.items():
        try:
            finite[name] = check_points(name, array)
        except ValueError as error:
            notes.append(str(error))
    if finite:
        n = len(next(iter(finite.values())))
        usable = {}
        for column, values in (labels or {}).items():
            try:
                columns_of({column: values}, n)
                usable[column] = values
            except ValueError as error:
                notes.append(str(error))
        found = measures.compare(finite, usable, k=min(5, n - 1))
        sections += separability_sections(found, finite, usable)
    if notes:
        sections.append(('Left out', paragraphs(notes)))
    return page(title, sections)


def separability_page(
    title: str, found: Mapping, embeddings: Mapping, labels: Mapping, notes=()
) -> str:
    """The page of `python -m jaxsep.report`; `found` is what `compare` returned."""
    sections = separability_sections(found, embeddings, labels)
    if notes:
        sections.append(('Left out', paragraphs(notes)))
    return page(title, sections)


def separability_sections(found, embeddings, labels) -> list[tuple[str, str]]:
    """Sections of tables and pictures from what `compare` returned and what it was given."""
    results = found['embeddings']
    first = next(iter(results.values()))
    columns = columns_of(labels, first['n'])
    sections = []
    if columns:
        sections.append(('What is separable', overview(results)))
    if found['pairs']:
        sections.append(('How alike the embeddings are', pairs_table(found['pairs'])))
    projected = {name: plots.principal_components(np.asarray(x)) for name, x in embeddings.items()}
    for name, column in columns.items():
        rows = {key: result['labels'][name]['measures'] for key, result in results.items()}
        sizes = np.bincount(column.codes)
        text = (
            f'{len(column.names):,} classes of {sizes.min():,} to {sizes.max():,} points '
            f'in {first["points_used"]["pairs"]:,} points compared.'
        )
        drawn = []
        for key, (xy, shares) in projected.items():
            picture, words = plots.projection(xy, shares, column.codes, column.names)
            drawn.append((picture, f'{key} by {name}', words))
        curves = {
            key if metric == 'euclidean' else f'{key}, cosine': result['labels'][name]['purity'][
                metric
            ]
            for key, result in results.items()
            for metric in ('euclidean', 'cosine')
        }
        chance = first['labels'][name]['purity']['chance']
        drawn.append(
            (
                plots.purity(curves, chance),
                'neighbour purity',
                'High and flat: one compact region per class.',
            )
        )
        for key, points in embeddings.items():
            picture, words = plots.centres(np.asarray(points), column.codes, column.names)
            drawn.append((picture, f'class centres, {key}', words))
        sections.append(
            (f'Label: {name}', paragraphs([text]) + measure_table(rows) + pictures(drawn))
        )
    drawn = [
        (
            plots.spectra({key: result['singular_values'] for key, result in results.items()}),
            'singular values',
            'After centring. A fast fall: few directions in use.',
        )
    ]
    for key, result in results.items():
        picture, words = plots.barcode(
            result['persistence_bars'], result['points_used']['persistence']
        )
        drawn.append((picture, f'persistence, {key}', words))
        if not columns:
            picture, words = plots.projection(*projected[key], None, ())
            drawn.append((picture, f'{key}, two principal axes', words))
    sizes = '; '.join(
        f'{key}: {result["n"]:,} points, {result["d"]:,} features'
        for key, result in results.items()
    )
    general = {key: result['general'] for key, result in results.items()}
    used = first['points_used']
    sizes += f'. Persistence of {used["persistence"]:,} points, distances of {used["pairs"]:,}.'
    sections.append(
        ('Without labels', paragraphs([sizes]) + measure_table(general) + pictures(drawn))
    )
    notes = list(dict.fromkeys(note for result in results.values() for note in result['notes']))
    if notes:
        sections.append(('Notes', paragraphs(notes)))
    return sections


def overview(results: Mapping) -> str:
    """One row per label column and embedding with the numbers most people want first."""
    keys = (
        'loo_knn1_euclidean',
        'ridge_probe',
        'majority_share',
        'silhouette_euclidean',
        'fisher_trace_ratio',
    )
    head = ['label', 'embedding', 'classes'] + [measures.measure(key).title for key in keys]
    rows, drawn = [], {}
    for column in next(iter(results.values()))['labels']:
        for name, result in results.items():
            label = result['labels'][column]
            rows.append(
                [column, name, str(len(label['classes']))]
                + [number(label['measures'][key]) for key in keys]
            )
            drawn.setdefault(name, {})[f'{column}: 1-NN'] = label['measures']['loo_knn1_euclidean']
            drawn[name][f'{column}: silhouette'] = label['measures']['silhouette_euclidean']
    picture = ''
    if len(results) > 1:
        picture = pictures([(plots.bars(drawn), 'side by side', 'Longer is better.')])
    return plain_table(head, rows, first_number=2) + picture


def measure_table(rows: Mapping[str, Mapping[str, int | float | None]]) -> str:
    """Measures down, embeddings across; the better of several is marked."""
    names = list(rows)
    head = ''.join(f'<th class="number">{html.escape(name)}</th>' for name in names)
    lines = []
    for key in next(iter(rows.values())):
        described = measures.measure(key)
        values = [rows[name].get(key) for name in names]
        best = _best(values, described.better)
        cells = ''.join(
            f'<td class="number{" best" if position == best else ""}">{number(value)}</td>'
            for position, value in enumerate(values)
        )
        arrow = ARROWS[described.better]
        mark = f' <span title="{SPOKEN[described.better]}">{arrow}</span>' if arrow else ''
        lines.append(
            f'<tr><td>{html.escape(described.title)}{mark}'
            f'<span class="meaning">{html.escape(described.meaning)}</span></td>{cells}</tr>'
        )
    return (
        f'<div class="wide"><table><thead><tr><th>measure</th>{head}</tr></thead>'
        f'<tbody>{"".join(lines)}</tbody></table></div>'
    )


def pairs_table(pairs: Sequence[Mapping]) -> str:
    """How alike each pair of embeddings is, with what the numbers mean."""
    keys = list(measures.PAIRED)
    head = ['embeddings'] + [measures.measure(key).title for key in keys]
    rows = [
        [f'{pair["a"]} and {pair["b"]}'] + [number(pair[key]) for key in keys] for pair in pairs
    ]
    used = pairs[0]['points_used']
    meaning = [f'{measures.measure(key).title}: {measures.measure(key).meaning}.' for key in keys]
    meaning.append(f'Unbiased CKA and mutual k-NN of {used["other"]:,} points.')
    return plain_table(head, rows, first_number=1) + paragraphs([' '.join(meaning)])


def results_table(results: Mapping) -> str:
    """Names and numbers of a run."""
    rows = [
        [str(key), number(value) if _is_number(value) else str(value)]
        for key, value in results.items()
    ]
    return plain_table(['result', 'value'], rows, first_number=1)


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], first_number: int) -> str:
    """A table of escaped text; columns from `first_number` on are set flush right."""

    def cells(kind, texts):
        return ''.join(
            f'<{kind}{" class=number" if position >= first_number else ""}>{html.escape(text)}</{kind}>'
            for position, text in enumerate(texts)
        )

    body = ''.join(f'<tr>{cells("td", row)}</tr>' for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )


def pictures(drawn: Sequence[tuple[str, str, str]]) -> str:
    """(data address, title, words) as figures side by side, as many as fit."""
    figures = ''.join(
        f'<figure><img alt="{html.escape(title)}" src="{picture}">'
        f'<figcaption><b>{html.escape(title)}</b> {html.escape(words)}</figcaption></figure>'
        for picture, title, words in drawn
    )
    return f'<div class="pictures">{figures}</div>'


def paragraphs(texts: Sequence[str]) -> str:
    """Escaped paragraphs."""
    return ''.join(f'<p>{html.escape(text)}</p>' for text in texts)


def number(value) -> str:
    """A number with about four digits, or a dash where there is none."""
    if value is None:
        return '–'
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f'{value:,}'
    value = float(value)
    if not np.isfinite(value):
        return str(value)
    return f'{value:.4f}' if 1e-3 <= abs(value) < 100 or value == 0 else f'{value:,.4g}'


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _best(values: Sequence[int | float | None], better: str) -> int | None:
    known = [(value, position) for position, value in enumerate(values) if value is not None]
    if better == 'none' or len(known) < 2 or len({value for value, _ in known}) < 2:
        return None
    return (max if better == 'up' else min)(known)[1]
