"""Accuracy against what is sent: the entropic student, a codec of the image, one without a teacher.

Digits of 8 x 8 pixels in four positions (upright, turned, negative and mirrored, rolled). A curve is
one run: four weights of the bits, from the smallest on, each going on from the bottleneck of the
one before, where the paper trains each by itself; `small` is one such point, on its own. Bits are
those of the density; real bytes are counted as well. Accuracy at equal bits is read off straight
lines between the points of a curve. The same programs are compiled for every seed: a directory in
JAX_COMPILATION_CACHE_DIR saves most of the time.
"""

import json
import pathlib

import numpy as np

CLAIM = (
    'At equal bits, latents that were learnt by imitating a classifier are classified better than '
    'images that a learnt codec compressed, and 8-bit latents take many times as much; one encoder '
    'serves a second task, which that of a student learnt end to end from labels does not'
)
SOURCE = 'Matsubara et al., 2022, abstract and figures 4 to 8; data, sizes and margins are ours'
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/compression/entropic_student.py:'
CURVES = {
    'entropic student': 'sweep',
    'codec of the image': 'sweep_input_codec',
    'end to end': 'sweep_end_to_end',
}
RUNS = {
    'one weight': {'config': CONFIG + 'small'},
    '8 bits': {'config': CONFIG + 'quantized'},
    **{run: {'config': CONFIG + argument} for run, argument in CURVES.items()},
    'second tail': {'config': CONFIG + 'second_tail'},
    'second tail, end to end': {'config': CONFIG + 'end_to_end_second_tail'},
    'own encoder': {'config': CONFIG + 'position'},
}
AT = (15, 20, 30)  # bits an image
ACCURACY, BITS = 'test/accuracy', 'test/bits'
COMPARISONS = [
    {'metric': ACCURACY, 'larger': 'one weight', 'smaller': '8 bits', 'margin': -0.02},
    {'metric': BITS, 'larger': '8 bits', 'smaller': 'one weight', 'margin': 200},
    *(
        {'metric': f'accuracy_at_{bits}', 'larger': 'entropic student',
         'smaller': 'codec of the image', 'margin': 0.05}
        for bits in AT
    ),
    {'metric': ACCURACY, 'larger': 'second tail', 'smaller': 'own encoder', 'margin': -0.03},
    {'metric': ACCURACY, 'larger': 'second tail', 'smaller': 'second tail, end to end',
     'margin': 0.02},
]  # fmt: skip


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """The points of a run's curve, fewest bits first, and the accuracy at some numbers of bits.

    Returns:
      'bits_i', 'bytes_i', 'accuracy_i' of point i, and 'accuracy_at_<bits>', beyond the ends of the
      curve that of its end; nothing for a run of one point.
    """
    points = []
    for path in workdir.glob('*-*/metrics.jsonl'):
        last = {}
        for line in path.read_text().splitlines():
            last |= json.loads(line)
        if BITS in last:
            points.append([last[name] for name in (BITS, 'test/bytes', ACCURACY)])
    if len(points) < 2:
        return {}
    points = np.array(sorted(points))
    found = {
        f'{name}_{i}': float(value)
        for i, point in enumerate(points)
        for name, value in zip(('bits', 'bytes', 'accuracy'), point, strict=True)
    }
    at = np.interp(AT, points[:, 0], points[:, 2])
    return found | {f'accuracy_at_{bits}': float(a) for bits, a in zip(AT, at, strict=True)}


def draw(figure, values) -> None:
    """The curves, and what a second tail makes of the same encoder."""
    figure.set_size_inches(9.6, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    for run, color in zip(CURVES, ('C0', 'C1', 'C2'), strict=True):
        count = sum(name.startswith('bits_') for name in values[run])
        bits, accuracy = (
            np.array([values[run][f'{name}_{i}'] for i in range(count)])
            for name in ('bits', 'accuracy')
        )
        left.plot(bits, accuracy, color=color, alpha=0.25, lw=1)
        left.plot(bits.mean(1), accuracy.mean(1), 'o-', color=color, lw=2, ms=5, label=run)
    for run, marker in (('one weight', '*'), ('8 bits', 's')):
        left.plot(values[run][BITS], values[run][ACCURACY], marker, color='k', ms=7, label=run)
    left.set_xscale('log', base=2)
    left.xaxis.set_major_formatter('{x:g}')
    left.set_xlabel('bits an image')
    left.set_ylabel('accuracy of the digit')
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    bars = ('second tail', 'second tail, end to end', 'own encoder')
    for place, (run, color) in enumerate(zip(bars, ('C0', 'C2', 'C7'), strict=True)):
        numbers = values[run][ACCURACY]
        right.bar(place, np.mean(numbers), color=color, alpha=0.6)
        right.plot([place] * len(numbers), numbers, 'k.', ms=4)
        bits = np.mean(values[run][BITS])
        right.text(place, 0.05, f'{bits:.0f} bits', ha='center', fontsize=8)
    right.set_xticks(range(3), ('student', 'end to end', 'of its own'), fontsize=8)
    right.set_ylim(0, 1)
    right.set_title('position, by a tail on the encoder', fontsize=9)
    right.grid(alpha=0.3, axis='y')
