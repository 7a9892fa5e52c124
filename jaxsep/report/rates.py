"""What is sent against how good it still is: the rate-distortion curve of a run whose stages send bits."""

from collections.abc import Mapping

from jaxsep.report import gallery, plots

BITS = 'test/bits'
SIZES = (BITS, 'test/bytes', 'test/coded_bits')


def sections(measured: Mapping[str, Mapping[str, float | int]]) -> list[tuple[str, str]]:
    """(heading, HTML) of every measure over the bits of an image, a point for each stage that sends some.

    Stages that measured it and send nothing are dotted lines: what there is without compression.

    Args:
      measured: stage -> name -> number, such as 'test/accuracy', with 'test/bits' where bits are sent.
    """
    sending = {stage: found for stage, found in measured.items() if found.get(BITS, 0) > 0}
    if not sending:
        return []
    names = set.intersection(*(set(found) for found in sending.values())) - set(SIZES)
    pictures = [
        curve(name, measured, sending) for name in sorted(names) if name.startswith('test/')
    ]
    return [('Rate and distortion', ''.join(pictures))] if pictures else []


def curve(
    name: str,
    measured: Mapping[str, Mapping[str, float | int]],
    sending: Mapping[str, Mapping[str, float | int]],
) -> str:
    """One measure over the bits, as a figure."""
    figure, axes = plots.one_axes(5.2, 3.4)
    points = sorted((found[BITS], found[name], stage) for stage, found in sending.items())
    axes.plot(*zip(*((x, y) for x, y, _ in points), strict=True), 'o-', color=plots.COLORS[0])
    for x, y, stage in points:
        axes.annotate(stage, (x, y), (5, -10), textcoords='offset points', fontsize=8)
    whole = {stage: found for stage, found in measured.items() if stage not in sending}
    for stage, found in whole.items():
        if name in found:
            axes.axhline(found[name], color=plots.COLORS[7], ls=':', lw=1)
            axes.annotate(
                f'{stage}, nothing compressed', (points[0][0], found[name]), (0, 4),
                textcoords='offset points', fontsize=8, color=plots.COLORS[7],
            )  # fmt: skip
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter('{x:g}')
    axes.margins(0.12)
    axes.set_xlabel('bits an example, by the density')
    axes.set_ylabel(name.removeprefix('test/'))
    axes.grid(alpha=0.3)
    return gallery.picture(plots.address(figure), f'{name} over bits', 'A point for each stage.')
