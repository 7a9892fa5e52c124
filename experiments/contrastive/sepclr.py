"""What c and s know of the two digits of a canvas, with and without the joint entropy.

The left digit is in every canvas, the right one in targets only; probes count targets, chance is
0.1. The augmentation was chosen on seeds 10 and 11, learning rate and length on 10 to 12. Seeds 0
to 2 were measured before with three times the learning rate and twice the steps, chosen on seed 10
alone: the same comparisons were then undecided for the separation (0.25 of the 0.3 asked for) and
for what c knows of the left digit (0.003). All differences have the right sign on average; not all reach
their margins on every seed.

The same on solar cells (balanced accuracies, chance 0.5) is measured and not judged: there the
joint entropy takes defects out of c and into s on every seed, but the kind of silicon, which
both then know, into s as well, so that the separation stays where it was.
"""

CLAIM = 'Maximising the joint entropy keeps the right digit out of c, and both codes know more'
SOURCE = 'Louiset et al., 2024, tables 1 and 2; the pairs of digits are ours'

CONFIG = 'configs/contrastive/sepclr.py:small'
CELLS = 'configs/contrastive/sepclr.py:cells'
RUNS = {
    'sepclr': {'config': CONFIG},
    'no_joint': {'config': CONFIG, 'overrides': {'make.joint_weight': 0.0}},
    'cells': {'config': CELLS},
    'cells_no_joint': {'config': CELLS, 'overrides': {'make.joint_weight': 0.0}},
}
COMPARISONS = [
    {'metric': 'test/separation', 'larger': 'sepclr', 'smaller': 'no_joint', 'margin': 0.3},
    {
        'metric': 'test/salient_from_common',
        'larger': 'no_joint',
        'smaller': 'sepclr',
        'margin': 0.3,
    },
    {'metric': 'test/common_from_common', 'larger': 'sepclr', 'smaller': 'no_joint'},
    {'metric': 'test/salient_from_salient', 'larger': 'sepclr', 'smaller': 'no_joint'},
]
