"""SimCLR against raw pixels and against its own untrained network, on unseen characters."""

CLAIM = 'Features learnt without labels match unseen characters across typefaces better than pixels'
SOURCE = 'Chen et al., 2020, abstract; the two baselines and the task are ours'

CONFIG = 'configs/contrastive/simclr.py:small'
UNTRAINED = {'num_steps': 0, 'optimizer.warmup_steps': 0}
RUNS = {
    'simclr': {'config': CONFIG},
    'untrained': {'config': CONFIG, 'overrides': UNTRAINED},
    'pixels': {
        'config': CONFIG,
        'overrides': {**UNTRAINED, 'make.encoder': {'name': 'pixels'}},
    },
}
COMPARISONS = [
    {'metric': 'test/recall@1', 'larger': 'simclr', 'smaller': 'pixels', 'margin': 0.1},
    {'metric': 'test/recall@1', 'larger': 'simclr', 'smaller': 'untrained', 'margin': 0.1},
]
