"""DHVT, a plain vision transformer and a small convolutional network on few images.

Digits, ten or forty of each, and silhouettes of animals, forty of each, drawn anew for every seed. The
transformers have the same width, depth, heads and patches; DHVT has more parameters in its feed-forward
layers. With one part only, position embeddings are learned, as in the plain one. Settings and
margins were fixed beforehand; on seed 10 only the animals were seen (DHVT 0.749, plain 0.501).
"""

CLAIM = (
    'Trained from scratch on few images, a vision transformer with overlapping patches, convolutions in '
    'its feed-forward layers and head tokens is far better than a plain one and about as good as a CNN'
)
SOURCE = (
    'Lu et al., 2022, tables 2 to 5: small data sets and ablation; data, sizes, margins are ours'
)
SEEDED = ('seed', 'data.seed')

ANIMALS = 'configs/recognition/dhvt.py:small'
DIGITS = 'configs/recognition/dhvt.py:digits'
PLAIN = {'make.parts': ()}
CNN = {'make.encoder': {'name': 'conv', 'widths': (32, 64, 64), 'features': 0}}
TEN = {'data.modifiers': ({'name': 'few_shots', 'first': 0, 'shots': 10},)}
RUNS = {
    'animals, DHVT': {'config': ANIMALS},
    'animals, ViT': {'config': ANIMALS, 'overrides': PLAIN},
    'animals, CNN': {'config': ANIMALS, 'overrides': CNN},
    'digits, DHVT': {'config': DIGITS},
    'digits, ViT': {'config': DIGITS, 'overrides': PLAIN},
    'digits, CNN': {'config': DIGITS, 'overrides': CNN},
    'digits, only overlap': {'config': DIGITS, 'overrides': {'make.parts': ('overlap',)}},
    'digits, only aggregation': {'config': DIGITS, 'overrides': {'make.parts': ('aggregate',)}},
    'digits, only heads': {'config': DIGITS, 'overrides': {'make.parts': ('heads',)}},
    'ten digits, DHVT': {'config': DIGITS, 'overrides': TEN},
    'ten digits, ViT': {'config': DIGITS, 'overrides': {**TEN, **PLAIN}},
    'ten digits, CNN': {'config': DIGITS, 'overrides': {**TEN, **CNN}},
}
ACCURACY = 'test/accuracy'
DATA = ('animals', 'digits', 'ten digits')


def above(larger, smaller, margin):
    """The first run is more accurate by the margin."""
    return {'metric': ACCURACY, 'larger': larger, 'smaller': smaller, 'margin': margin}


COMPARISONS = [
    *(above(f'{data}, DHVT', f'{data}, ViT', 0.08) for data in DATA),
    *(above(f'{data}, DHVT', f'{data}, CNN', -0.02) for data in DATA),
    above('digits, only overlap', 'digits, ViT', 0.03),
    above('digits, only aggregation', 'digits, ViT', 0.03),
]


def draw(figure, values):
    """Accuracy of each model on each data set, a dot for each seed and a bar at their mean."""
    figure.set_size_inches(9.5, 3.6)
    names = list(dict.fromkeys(run.partition(', ')[2] for run in values))
    for axes, data in zip(figure.subplots(1, len(DATA)), DATA, strict=True):
        runs = [run for run in values if run.startswith(f'{data}, ')][::-1]
        for place, run in enumerate(runs):
            color = f'C{names.index(run.partition(", ")[2])}'
            points = values[run][ACCURACY]
            mean = sum(points) / len(points)
            axes.plot(points, [place] * len(points), 'o', color=color, alpha=0.6, ms=5)
            axes.plot([mean] * 2, [place - 0.3, place + 0.3], color=color, lw=2.5)
        axes.set_yticks(range(len(runs)), [run.partition(', ')[2] for run in runs])
        axes.set_title(f'{data}: test accuracy', fontsize=10)
        axes.locator_params(axis='x', nbins=5)
        axes.grid(axis='x', alpha=0.3)
