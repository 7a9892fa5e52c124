"""RotNet block by block, against its own untrained network and a supervised one.

The labelled rows of the probes are drawn anew for every seed, the same for all runs. Settings
were chosen on seed 10. That the last block is worse than the random one is more than the paper
says, which sees accuracy fall after the second block (that comparison was added after the first
measurement). Three times the steps did not bring it about (seed 10: 0.676 against 0.669, by a
gradient of the max-pool that lost some maxima; with the right one the last block is the better one).
"""

import json

CLAIM = (
    'With few labels the first blocks of a network that learnt to tell rotations say more of the '
    'class than those of a random one; its last block has specialised'
)
SOURCE = 'Gidaris et al., 2018, section 3.1, table 1; data, sizes and the random network are ours'

CONFIG = 'configs/contrastive/rotnet.py:small'
RUNS = {
    'rotnet': {'config': CONFIG},
    'untrained': {'config': CONFIG, 'overrides': {'num_steps': 0}},
    'supervised': {
        'config': CONFIG,
        'overrides': {'make.task': 'labels', 'evals.output_means.outputs': ()},
    },
}
SEEDED = ('seed', 'evals.layer_probe.seed')
CONV1, CONV2, CONV3 = METRICS = tuple(f'test/conv{block}_probe_accuracy' for block in (1, 2, 3))
FALL = 'test/fall_after_conv2'
COMPARISONS = [
    {'metric': CONV2, 'larger': 'rotnet', 'smaller': 'untrained', 'margin': 0.02},
    {'metric': CONV1, 'larger': 'rotnet', 'smaller': 'untrained', 'margin': 0.01},
    {'metric': FALL, 'larger': 'rotnet', 'smaller': 'untrained'},
    {'metric': FALL, 'larger': 'rotnet', 'smaller': 'supervised', 'margin': 0.05},
    {'metric': CONV3, 'larger': 'untrained', 'smaller': 'rotnet'},
    {'metric': CONV3, 'larger': 'supervised', 'smaller': 'rotnet', 'margin': 0.05},
]


def measure(workdir):
    """How much accuracy is lost from the second block to the last."""
    found = json.loads((workdir / 'results.json').read_text())
    return {FALL: found[CONV2] - found[CONV3]}


def draw(figure, values):
    """The accuracy of the probe over the blocks, every seed and the mean."""
    axes = figure.subplots()
    for place, run in enumerate(values):
        means = [sum(values[run][m]) / len(values[run][m]) for m in METRICS]
        axes.plot((1, 2, 3), means, '-', color=f'C{place}', label=run)
        for block, metric in enumerate(METRICS, start=1):
            numbers = values[run][metric]
            axes.plot([block] * len(numbers), numbers, 'o', color=f'C{place}', alpha=0.5)
    axes.set_xticks((1, 2, 3))
    axes.set_xlabel('block')
    axes.set_ylabel('probe accuracy, 20 labels a class')
    axes.legend()
    axes.grid(alpha=0.3)
