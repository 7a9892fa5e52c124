"""Test examples beside what a method says of them: boxes, masks and attention on images, and sounds.

Which pictures there are follows from the names of the arrays: those of
`jaxsep.method.Outputs` and the targets of `jaxsep.data.source.Source`.
"""

import base64
import html
import io
import wave
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import signal

from jaxsep.report import plots

Rows = Mapping[str, np.ndarray]
FIRST = 8
"""Examples that are shown."""
LOWEST_SCORE = 0.3
"""Boxes of a lower score are not drawn."""
RANGE = 80.0
"""Decibels below the loudest point of a spectrogram that are shown."""
TRUE, FOUND = plots.COLORS[2], plots.COLORS[5]


def sections(
    rows: Rows, names: Mapping[str, Sequence[str]], sample_rate: int = 0
) -> list[tuple[str, str]]:
    """(heading, HTML) for each kind of structured output that the rows hold; none for others.

    Args:
      rows: of the test split: `image` or `mixture`, outputs and targets, rows aligned.
      names: of the classes of `true_classes` and `true_mask`.
      sample_rate: of waveforms, samples a second; sounds are left out where it is 0.
    """
    rows = {name: np.asarray(array)[:FIRST] for name, array in rows.items()}
    found = []
    image = rows.get('image')
    if image is not None and image.ndim == 4:
        if 'boxes' in rows and 'scores' in rows:
            found.append(('Boxes', boxes(rows, names.get('true_classes', ()))))
        if 'mask' in rows:
            found.append(('Masks', masks(rows, names.get('true_mask', ()))))
        if 'attention' in rows and rows['attention'].ndim == 3:
            found.append(('Attention', attention(rows)))
    if 'waveform' in rows and sample_rate:
        found.append(('Sounds', sounds(rows, sample_rate)))
    return found


def boxes(rows: Rows, names: Sequence[str]) -> str:
    """Each image with its true boxes (unbroken) and those found (broken, with class and score)."""
    figure, cells = grid(len(rows['image']), columns=4)
    for k, axes in enumerate(cells):
        show(axes, rows['image'][k])
        if 'true_boxes' in rows:
            for box, kind in zip(rows['true_boxes'][k], rows['true_classes'][k], strict=True):
                if kind >= 0:
                    outline(axes, box, TRUE, '-', class_name(int(kind), names), below=True)
        for box, score, kind in zip(
            rows['boxes'][k], rows['scores'][k], rows['classes'][k], strict=True
        ):
            if kind >= 0 and score >= LOWEST_SCORE:
                outline(axes, box, FOUND, '--', f'{class_name(int(kind), names)} {score:.2f}')
    words = f'Unbroken: true. Broken: found, with its score, at least {LOWEST_SCORE}.'
    return picture(plots.address(figure, svg=False), 'boxes on test images', words)


def masks(rows: Rows, names: Sequence[str]) -> str:
    """Each image, the true classes of its pixels, and those that were found."""
    kinds = [name for name in ('true_mask', 'mask') if name in rows]
    most = max(2, len(names) - 1, *(int(rows[name].max(initial=0)) for name in kinds))
    colors = ListedColormap([plots.COLORS[k % len(plots.COLORS)] for k in range(most)])
    columns = ('image', *kinds)
    figure, cells = grid(len(columns) * len(rows['image']), columns=len(columns))
    for position, axes in enumerate(cells):
        k, column = divmod(position, len(columns))
        show(axes, rows['image'][k])
        if k == 0:
            axes.set_title(columns[column].replace('_', ' '), fontsize=9)
        if column:
            mask = rows[columns[column]][k].astype(int)
            overlay(axes, np.ma.masked_less(mask, 1), cmap=colors, vmin=1, vmax=most)
    listed = ', '.join(str(name) for name in names[1 : plots.MOST_IN_LEGEND])
    return picture(
        plots.address(figure, svg=False),
        'masks on test images',
        f'Classes: {listed}.' if listed else '',
    )


def attention(rows: Rows) -> str:
    """Each image, and its map of attention over it: the brighter, the more."""
    figure, cells = grid(2 * len(rows['image']), columns=4)
    for position, axes in enumerate(cells):
        k, over = divmod(position, 2)
        show(axes, rows['image'][k])
        if over:
            overlay(axes, rows['attention'][k].astype(np.float64), cmap='magma')
    return picture(
        plots.address(figure, svg=False),
        'attention on test images',
        'Each scaled to its own range.',
    )


def sounds(rows: Rows, sample_rate: int) -> str:
    """Spectrograms with a player for each: the mixture, the true sources, and what was separated."""
    parts = []
    for k in range(len(rows['waveform'])):
        figures = []
        for name in ('mixture', 'true_waveform', 'waveform'):
            if name not in rows:
                continue
            sources = np.asarray(rows[name][k], np.float32).reshape(-1, rows[name].shape[-1])
            for n, samples in enumerate(sources):
                title = name.replace('_', ' ') + (f' {n + 1}' if len(sources) > 1 else '')
                figures.append(
                    f'<figure><img alt="{html.escape(title)}" src="{spectrogram(samples, sample_rate)}">'
                    f'<audio controls preload="none" src="{player(samples, sample_rate)}"></audio>'
                    f'<figcaption><b>{html.escape(title)}</b></figcaption></figure>'
                )
        parts.append(f'<h3>Example {k + 1}</h3><div class="pictures">{"".join(figures)}</div>')
    return ''.join(parts)


def spectrogram(samples: Float[np.ndarray, 't'], sample_rate: int) -> str:
    """Power over time and frequency in decibels, `RANGE` below the loudest; silence is black."""
    samples = np.pad(np.asarray(samples, np.float64), (0, max(0, 2 - len(samples))))
    size = min(256, len(samples))
    frequencies, times, power = signal.spectrogram(
        samples, sample_rate, nperseg=size, noverlap=size // 2
    )
    loudest = max(float(power.max(initial=0)), 1e-20)
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE / 10)))
    figure, axes = plots.one_axes(3.2, 1.8)
    axes.pcolormesh(
        times, frequencies, decibels, vmin=-RANGE, vmax=0, cmap='magma', shading='nearest'
    )
    axes.set_xlabel('seconds')
    axes.set_ylabel('Hz')
    return plots.address(figure, svg=False)


def player(samples: Float[np.ndarray, 't'], sample_rate: int) -> str:
    """A data address of the sound as 16-bit WAV; divided by its peak where that is above 1."""
    peak = float(np.max(np.abs(samples), initial=0))
    integers = np.rint(np.asarray(samples) / max(peak, 1.0) * 32767).astype('<i2')
    file = io.BytesIO()
    with wave.open(file, 'wb') as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(sample_rate)
        opened.writeframes(integers.tobytes())
    return 'data:audio/wav;base64,' + base64.b64encode(file.getvalue()).decode()


def grid(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` cells without axes, so many in a row."""
    rows = -(-count // columns)
    figure = Figure(figsize=(1.8 * columns, 1.85 * rows), layout='constrained')
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    return figure, list(cells[:count])


def show(axes: Axes, image: UInt8[np.ndarray, 'h w c'] | Float[np.ndarray, 'h w c']) -> None:
    """The image; one channel is grey, of more than three the first three are shown."""
    if np.issubdtype(image.dtype, np.floating):
        image = np.clip(image, 0, 1)
    grey = image.shape[-1] < 3
    axes.imshow(image[..., 0] if grey else image[..., :3], cmap='gray' if grey else None)


def overlay(axes: Axes, values: Num[np.ndarray, 'h w'], **options) -> None:
    """A map of any resolution over the whole image that the axes show."""
    extent = axes.images[0].get_extent()
    axes.imshow(values, alpha=0.6, extent=extent, interpolation='nearest', **options)


def outline(
    axes: Axes, box: Num[np.ndarray, '4'], color: str, style: str, words: str, below: bool = False
) -> None:
    """A box, xyxy in pixels whose first pixel spans 0 to 1, with words at a corner."""
    left, top, right, bottom = (float(x) - 0.5 for x in box)
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, ls=style, lw=1.3)
    )
    place = (left, bottom, 'top') if below else (left, top, 'bottom')
    axes.text(*place[:2], words, va=place[2], fontsize=6, color='white', clip_on=True,
              bbox=dict(fc=color, ec='none', pad=0.4, alpha=0.8))  # fmt: skip


def class_name(kind: int, names: Sequence[str]) -> str:
    """The name of a class, or its number."""
    return str(names[kind]) if 0 <= kind < len(names) else str(kind)


def picture(address: str, title: str, words: str) -> str:
    """One figure as wide as the page."""
    return (
        f'<figure><img alt="{html.escape(title)}" src="{address}">'
        f'<figcaption><b>{html.escape(title)}</b> {html.escape(words)}</figcaption></figure>'
    )
