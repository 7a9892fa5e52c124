"""The separability report as text for a terminal."""

from collections.abc import Mapping

from jaxsep.report.measures import PAIRED, measure
from jaxsep.report.page import ARROWS, number


def table(found: Mapping) -> str:
    """All measures of what `compare` returned, one block per label column."""
    results = found['embeddings']
    first = next(iter(results.values()))
    lines = []
    for name, result in results.items():
        used = result['points_used']
        line = f'{name}: {result["n"]:,} points, {result["d"]:,} features, {result["seconds"]} s'
        if used['pairs'] < result['n']:
            line += f'; distances of {used["pairs"]:,} points'
        if used['persistence'] < result['n']:
            line += f'; persistence of {used["persistence"]:,} points'
        lines.append(line)
    lines += ['', *_block('without labels', {name: r['general'] for name, r in results.items()})]
    for column, label in first['labels'].items():
        sizes = label['classes'].values()
        title = f'{column}: {len(sizes):,} classes of {min(sizes):,} to {max(sizes):,} points'
        rows = {name: result['labels'][column]['measures'] for name, result in results.items()}
        lines += ['', *_block(title, rows)]
    for pair in found['pairs']:
        values = ', '.join(f'{measure(key).title} {number(pair[key])}' for key in PAIRED)
        lines += ['', f'{pair["a"]} and {pair["b"]}: {values}']
    for result in results.values():
        lines += [f'note: {note}' for note in result['notes']]
    return '\n'.join(lines)


def _block(title: str, rows: Mapping[str, Mapping[str, int | float | None]]) -> list[str]:
    names = list(rows)
    wide = max(len(measure(key).title) for key in next(iter(rows.values()))) + 2
    columns = [max(11, len(name) + 1) for name in names]
    lines = [title]
    if len(names) > 1:
        heads = ''.join(f'{name:>{size}}' for name, size in zip(names, columns, strict=True))
        lines.append(' ' * (wide + 2) + heads)
    for key in next(iter(rows.values())):
        described = measure(key)
        cells = ''.join(
            f'{number(rows[name].get(key)):>{size}}'
            for name, size in zip(names, columns, strict=True)
        )
        lines.append(
            f'  {described.title:<{wide}}{cells} {ARROWS[described.better] or " "}  {described.meaning}'
        )
    return lines
