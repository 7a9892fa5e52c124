"""BYOL against its own untrained network, in twelve dimensions.

The digits are too easy for wide features: with 128 of them the untrained network has 0.98.
Settings were chosen on seeds 10 to 12.
"""

CLAIM = 'BYOL learns twelve features without labels that tell digits apart'
SOURCE = 'Grill et al., 2020, abstract; the digits, the bar and the baseline are ours'

CONFIG = 'configs/contrastive/byol.py:small'
RUNS = {
    'byol': {'config': CONFIG},
    'untrained': {'config': CONFIG, 'overrides': {'num_steps': 0}},
}
COMPARISONS = [
    {'metric': 'test/knn_accuracy', 'larger': 'byol', 'smaller': 0.93},
    {'metric': 'test/knn_accuracy', 'larger': 'byol', 'smaller': 'untrained', 'margin': 0.03},
]
