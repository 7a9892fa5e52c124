"""VICReg against its own untrained network, in twelve dimensions.

The digits are too easy for wide features: with 128 of them the untrained network has 0.98.
Settings were chosen on seeds 10 to 12.
"""

CLAIM = 'VICReg learns twelve features without labels that tell digits apart'
SOURCE = 'Bardes et al., 2022, abstract; the digits, the bar and the baseline are ours'

CONFIG = 'configs/contrastive/vicreg.py:small'
RUNS = {
    'vicreg': {'config': CONFIG},
    'untrained': {'config': CONFIG, 'overrides': {'num_steps': 0}},
}
COMPARISONS = [
    {'metric': 'test/knn_accuracy', 'larger': 'vicreg', 'smaller': 0.93},
    {'metric': 'test/knn_accuracy', 'larger': 'vicreg', 'smaller': 'untrained', 'margin': 0.03},
]
