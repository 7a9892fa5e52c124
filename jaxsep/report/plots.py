"""The pictures of the separability report, as SVG text that stands in a page.

matplotlib's objects are used directly: no pyplot, no global figures, no settings changed.
Colours are told apart by colour-blind readers too (Okabe and Ito 2008), with a marker of
its own for every class that has a legend entry.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#8C6D00', '#5B5B5B')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
MOST_POINTS = 3000
MOST_IN_LEGEND = 16
MOST_CENTRES = 60


def principal_components(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two coordinates of largest variance [n, 2], and their share of the variance [2].

    Exact, from the smaller product of the centred points. Signs are fixed: the coordinate of
    largest size is positive. One feature gives a second coordinate of 0.
    """
    centred = points.astype(np.float64)
    centred -= centred.mean(axis=0)
    n, d = centred.shape
    product = centred.T @ centred if d <= n else centred @ centred.T
    values, vectors = np.linalg.eigh(product)
    values, vectors = values[::-1][:2], vectors[:, ::-1][:, :2]
    found = centred @ vectors if d <= n else vectors * np.sqrt(np.maximum(values, 0))
    if found.shape[1] < 2:
        found, values = np.pad(found, ((0, 0), (0, 1))), np.pad(values, (0, 1))
    largest = found[np.argmax(np.abs(found), axis=0), np.arange(2)]
    total = np.trace(product)
    return found * np.where(largest < 0, -1, 1), np.maximum(values, 0) / (total if total > 0 else 1)


def projection(
    coordinates: np.ndarray,
    shares: np.ndarray,
    codes: np.ndarray | None,
    names: Sequence[str],
    seed: int = 0,
) -> tuple[str, str]:
    """Points on their two principal axes, coloured by class; with the words below it."""
    figure, axes = one_axes(5.2, 4.2)
    n = len(coordinates)
    drawn = np.random.default_rng(seed).permutation(n)[:MOST_POINTS]
    xy = coordinates[drawn]
    style = {'s': 14 if len(drawn) < 500 else 7, 'alpha': 0.75, 'linewidths': 0}
    words = f'{len(drawn):,} of {n:,} points drawn. ' if len(drawn) < n else f'All {n:,} points. '
    words += f'The two axes hold {float(np.sum(shares)):.0%} of the variance.'
    if codes is None:
        axes.scatter(*xy.T, color=COLORS[0], **style)
    elif len(names) <= MOST_IN_LEGEND:
        for c, name in enumerate(names):
            chosen = xy[codes[drawn] == c]
            marker = MARKERS[(c + c // len(COLORS)) % len(MARKERS)]
            axes.scatter(
                *chosen.T, color=COLORS[c % len(COLORS)], marker=marker, label=_short(name), **style
            )
        legend = figure.legend(
            *axes.get_legend_handles_labels(), loc='outside right upper', fontsize=8, frameon=False
        )
        for handle in legend.legend_handles:
            handle.set_alpha(1)
            handle.set_sizes([30])
    else:
        axes.scatter(*xy.T, c=codes[drawn], cmap='viridis', **style)
        words += f' {len(names):,} classes: no legend, colour runs in sorted order.'
    axes.set_xlabel(f'first axis ({shares[0]:.0%})')
    axes.set_ylabel(f'second axis ({shares[1]:.0%})')
    axes.set_xticks([])
    axes.set_yticks([])
    return address(figure, svg=len(drawn) <= 300), words


def spectra(named_values: Mapping[str, Sequence[float] | np.ndarray]) -> str:
    """Singular values over the largest, by rank, for one or more embeddings."""
    figure, axes = one_axes()
    for position, (name, values) in enumerate(named_values.items()):
        values = np.asarray(values)
        largest = values.max(initial=0)
        shown = values[values > largest * 1e-7] / largest if largest > 0 else values[:0]
        _line(axes, np.arange(1, len(shown) + 1), shown, position, name)
    axes.set_yscale('log')
    axes.set_xlabel('rank')
    axes.set_ylabel('singular value / largest')
    _legend(axes, len(named_values))
    return address(figure)


def purity(named_curves: Mapping[str, Sequence[float] | np.ndarray], chance: float) -> str:
    """Share of same-class points among the k nearest, against k, with chance as a dotted line."""
    figure, axes = one_axes()
    for position, (name, curve) in enumerate(named_curves.items()):
        _line(axes, np.arange(1, len(curve) + 1), curve, position, name)
    axes.axhline(chance, color='#5B5B5B', linestyle=':', label='chance')
    axes.set_ylim(0, 1.02)
    axes.set_xlabel('nearest neighbours')
    axes.set_ylabel('same class')
    _legend(axes, 2)
    return address(figure)


def centres(points: np.ndarray, codes: np.ndarray, names: Sequence[str]) -> tuple[str, str]:
    """Cosines between the class means, after the mean of all points is removed."""
    count = min(len(names), MOST_CENTRES)
    middle = points.mean(axis=0, dtype=np.float64)
    means = np.stack([points[codes == c].mean(axis=0, dtype=np.float64) for c in range(count)])
    means -= middle
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    means /= np.where(norms > 0, norms, 1)
    figure, axes = one_axes(4.6, 3.8)
    drawn = axes.imshow(means @ means.T, cmap='RdBu_r', vmin=-1, vmax=1)
    figure.colorbar(drawn, ax=axes, label='cosine')
    if count <= 24:
        labels = [_short(name, 10) for name in names[:count]]
        axes.set_xticks(range(count), labels, rotation=90, fontsize=7)
        axes.set_yticks(range(count), labels, fontsize=7)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    rest = f' The first {count} of {len(names):,} classes.' if count < len(names) else ''
    return address(figure), f'Red: alike, blue: opposite.{rest}'


def barcode(bars: Sequence[float] | np.ndarray, used: int) -> tuple[str, str]:
    """Bars of connected components, longest on top, next to their persistence diagram."""
    bars = np.sort(np.asarray(bars))[::-1]
    figure = Figure(figsize=(6.2, 3.2), layout='constrained')
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    shown = bars[: min(len(bars), 400)]
    left.barh(np.arange(len(shown)), shown, height=1.0, color=COLORS[0], linewidth=0)
    left.invert_yaxis()
    left.set_xlabel('distance at which a piece joins')
    left.set_ylabel('bar, longest first')
    right.scatter(np.zeros(len(shown)), shown, s=10, color=COLORS[5], alpha=0.5, linewidths=0)
    limit = float(bars.max(initial=0)) or 1.0
    right.plot([0, limit], [0, limit], color='#5B5B5B', linestyle=':')
    right.set_xlabel('birth')
    right.set_ylabel('death')
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return address(figure, svg=False), (
        f'Minimum spanning tree of {used:,} points; the {len(shown):,} longest of {len(bars):,} bars.'
        ' Few long bars above many short ones: clusters.'
    )


def bars(values: Mapping[str, Mapping[str, int | float | None]]) -> str:
    """One group of bars per measure, one bar per embedding; measures between 0 and 1."""
    measures = list(next(iter(values.values())))
    figure, axes = one_axes(6.2, 0.6 + 0.32 * len(measures) * max(len(values), 2) * 0.75)
    height = 0.8 / len(values)
    for position, (name, row) in enumerate(values.items()):
        places = np.arange(len(measures)) + position * height
        lengths = [row[key] if row[key] is not None else 0.0 for key in measures]
        drawn = axes.barh(
            places,
            lengths,
            height=height * 0.92,
            color=COLORS[position % len(COLORS)],
            label=_short(name),
        )
        axes.bar_label(drawn, fmt='%.3f', fontsize=7, padding=2)
    axes.set_yticks(np.arange(len(measures)) + (len(values) - 1) * height / 2, measures, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color='#5B5B5B', linewidth=0.8)
    axes.margins(x=0.12)
    _legend(axes, len(values))
    return address(figure)


def curve(steps: Sequence[int | float], values: Sequence[int | float], name: str) -> str:
    """One number of a training run against its step."""
    figure, axes = one_axes(3.4, 2.3)
    axes.plot(steps, values, color=COLORS[0], linewidth=1.3, marker='o' if len(steps) < 3 else None)
    axes.set_xlabel('step', fontsize=8)
    axes.set_title(_short(name, 36), fontsize=9, parse_math=False)
    axes.tick_params(labelsize=7)
    return address(figure)


def one_axes(width: float = 4.6, height: float = 3.2):
    """A figure of that many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def _line(axes, x, y, position: int, name: str) -> None:
    marker = MARKERS[position % len(MARKERS)] if len(x) <= 40 else None
    axes.plot(
        x,
        y,
        color=COLORS[position % len(COLORS)],
        marker=marker,
        markersize=3.5,
        label=_short(name),
    )


def _legend(axes, entries: int) -> None:
    if 1 < entries <= MOST_IN_LEGEND:
        legend = axes.legend(fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _short(name: str, most: int = 18) -> str:
    """A name that fits, with `_` in front made visible (matplotlib would hide the entry)."""
    name = str(name)
    name = name if len(name) <= most else name[: most - 1] + '…'
    return ' ' + name if name.startswith('_') else name


def address(figure: Figure, svg: bool = True) -> str:
    """A data address with the figure inside it; SVG for lines, PNG where there are many points."""
    FigureCanvasAgg(figure)
    kind, settings = ('svg+xml', {'metadata': {'Date': None}}) if svg else ('png', {'dpi': 130})
    stream = io.BytesIO()
    figure.savefig(stream, format='svg' if svg else 'png', facecolor='white', **settings)
    encoded = base64.b64encode(stream.getvalue()).decode()
    return f'data:image/{kind};base64,{encoded}'
