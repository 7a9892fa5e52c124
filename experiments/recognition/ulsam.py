"""Attention in the place of the last two of five equal layers, on digits among clutter.

The same network as it is, with the two layers replaced by ULSAM of one and of four subspaces, and with
the two layers dropped: what dropping alone does is no merit of the attention, so it is measured
beside, and not judged. Margins were fixed beforehand. Chosen on seed 10: sizes of digits, clutter and
number of scenes, until the network as it is learns to find digits at all in a minute (0.586; on
digits of 9 to 13 pixels among more clutter, with the two layers replaced, 0.171 were right after 625
steps). What modules cost at the sizes of the paper is exact, and a test:
tests/models/test_models_ulsam.py, tests/ops/test_cost.py.
"""

import json

from jaxsep.models.ulsam import NETWORKS, changed, network_cost

CLAIM = (
    'Two of five equal layers of a mobile network can be replaced by subspace attention: a third of '
    'the parameters and multiply-adds less, and accuracy not lower; four subspaces are not worse than '
    'one (no merit of the attention: with the layers dropped it is about the same)'
)
SOURCE = (
    'Saini et al., 2020, tables of MobileNets with replaced layers; data, sizes, margins are ours'
)
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/recognition/ulsam.py:small'
RUNS = {
    'replaced, 4 subspaces': {'config': CONFIG},
    'replaced, 1 subspace': {'config': CONFIG, 'overrides': {'make.num_splits': 1}},
    'as it is': {'config': CONFIG, 'overrides': {'make.places': ()}},
    'dropped': {'config': CONFIG, 'overrides': {'make.change': 'drop'}},
}
ACCURACY, PARAMETERS, MULTIPLY_ADDS = 'test/accuracy', 'parameters', 'multiply_adds'
FOUR, ONE, BASELINE, DROPPED = RUNS
COMPARISONS = [
    {'metric': ACCURACY, 'larger': FOUR, 'smaller': BASELINE},
    {'metric': ACCURACY, 'larger': ONE, 'smaller': BASELINE},
    {'metric': ACCURACY, 'larger': FOUR, 'smaller': ONE, 'margin': -0.01},
    # 30 % of the network's 28,746 parameters and 1,849,984 multiply-adds.
    {'metric': PARAMETERS, 'larger': BASELINE, 'smaller': FOUR, 'margin': 8_624},
    {'metric': MULTIPLY_ADDS, 'larger': BASELINE, 'smaller': FOUR, 'margin': 554_996},
]


def measure(workdir):
    """Multiply-adds for one image."""
    given = json.loads((workdir / 'config.json').read_text())['config']['make']
    network = changed(NETWORKS[given['network']], given['places'], given['change'])
    cost = network_cost(network, (32, 32, 1), 10, given['num_splits'])
    return {MULTIPLY_ADDS: cost.multiply_adds}


def draw(figure, values):
    """Accuracy over parameters: a dot for each seed, a cross at the mean of a run."""
    figure.set_size_inches(6.4, 4.0)
    axes = figure.subplots()
    for place, run in enumerate(values):
        accuracy, thousands = values[run][ACCURACY], values[run][PARAMETERS][0] / 1e3
        axes.plot([thousands] * len(accuracy), accuracy, 'o', color=f'C{place}', alpha=0.5)
        axes.plot(thousands, sum(accuracy) / len(accuracy), '+', color=f'C{place}', ms=16, mew=2.5,
                  label=f'{run}: {values[run][MULTIPLY_ADDS][0] / 1e6:.2f}M multiply-adds')  # fmt: skip
    axes.set_xlabel('thousand parameters')
    axes.set_ylabel('test accuracy')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
