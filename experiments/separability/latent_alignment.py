"""Do two encoders trained apart meet in a low-dimensional subspace better than in their full spaces?

The upper and the lower half of a digit through random features of their own, 1000 known pairs,
others compete in groups of 100 (chance: 0.01 one to one, 0.05 among the five best). Sizes are the
card's; the scale of the random features was chosen on seeds 10 and 11. Encoders of point clouds
and captions, the paper's, cannot be had here.
"""

CLAIM = (
    'In the common subspace that known pairs give, an affine map and local CKA find far more '
    'partners than in the full spaces; too few directions lose them, more pairs help'
)
SOURCE = 'Hadgi et al., 2025, tables 1 and 2, figure 4'
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/separability/latent_alignment.py:small'


def run(directions, pairs=1000):
    """A run with other directions or known pairs."""
    return {
        'config': CONFIG,
        'overrides': {'make.num_directions': directions, 'data.num_train': pairs},
    }


RUNS = {
    'CCA 20': {'config': CONFIG},
    'full': run(0),
    'CCA 3': run(3),
    'CCA 10': run(10),
    'CCA 30': run(30),
    'CCA 20, 200 pairs': run(20, 200),
    'full, 200 pairs': run(0, 200),
}
TOP = 'test/affine_top'
COMPARISONS = [
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.05},
    {'metric': 'test/affine_match', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.05},
    {'metric': 'test/cka_top', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.2},
    {'metric': 'test/cka_match', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.2},
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'CCA 3', 'margin': 0.1},
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'CCA 20, 200 pairs', 'margin': 0.05},
]


def draw(figure, values) -> None:
    """What is found against the number of directions; dashed, in the full spaces."""
    import numpy as np

    sizes = {3: 'CCA 3', 10: 'CCA 10', 20: 'CCA 20', 30: 'CCA 30'}
    titles = {'match': 'matched one to one', 'top': 'among the five best of 100'}
    for axes, (kind, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for color, tool in (('C0', 'affine'), ('C1', 'cka')):
            metric = f'test/{tool}_{kind}'
            means = [np.mean(values[run][metric]) for run in sizes.values()]
            axes.plot(list(sizes), means, 'o-', color=color, label=tool)
            for size, name in sizes.items():
                axes.plot(
                    [size] * len(values[name][metric]), values[name][metric], '.', color=color
                )
            axes.axhline(np.mean(values['full'][metric]), ls='--', color=color)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel('directions')
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
