"""Do two encoders trained apart meet in a low-dimensional subspace better than in their full spaces?

The upper and the lower half of a digit through random features of their own, 1000 known pairs,
others compete in groups of 100 (chance: 0.01 one to one, 0.05 among the five best). Sizes are the
card's; the scale of the random features was chosen on seeds 10 and 11.

And emoji: drawings, through a network that learnt from drawings without labels, against their
English names, through MiniLM; 1274 known pairs, 320 others, the same groups. Directions and ridge
were chosen on seed 10. Encoders of point clouds, the paper's, cannot be had here.
"""

import pathlib

import numpy as np

from jaxsep import session
from jaxsep.evals import alignment

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
    'emoji': {'config': 'configs/separability/latent_alignment.py:emoji'},
}
TOP = 'test/affine_top'
COMPARISONS = [
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.05},
    {'metric': 'test/affine_match', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.05},
    {'metric': 'test/cka_top', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.2},
    {'metric': 'test/cka_match', 'larger': 'CCA 20', 'smaller': 'full', 'margin': 0.2},
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'CCA 3', 'margin': 0.1},
    {'metric': TOP, 'larger': 'CCA 20', 'smaller': 'CCA 20, 200 pairs', 'margin': 0.05},
    {'metric': 'affine_top_gain', 'larger': 'emoji', 'smaller': 0.0, 'margin': 0.02},
    {'metric': 'cka_top_gain', 'larger': 'emoji', 'smaller': 0.0, 'margin': 0.1},
    {'metric': 'cka_match_gain', 'larger': 'emoji', 'smaller': 0.0, 'margin': 0.02},
]


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """Of drawings and names: how much more is found than in the full spaces of the same encoders.

    Returns:
      'full_affine_match', 'full_affine_top', 'full_cka_match', 'full_cka_top', 'full_linear_cka', in
      the full spaces; '<measure>_gain', what the common subspace adds. Nothing for the digits, where
      the full spaces are a run of their own.
    """
    stages = session.reopen(workdir)
    if 'align' not in stages:
        return {}
    stage, fitted = stages['align']
    splits = stage.source.splits
    rows = {name: split.take(np.arange(len(split))) for name, split in splits.items()}
    options = stage.config.evals.alignment.to_dict()
    make = stage.config.make
    full = alignment.evaluate(rows, x_output=make.x, y_output=make.y, **options)
    common = session.evaluate(
        stage, session.outputs(stage, fitted, ('train', 'test')), ('alignment',)
    )
    found = {f'full_{name}': value for name, value in full.items()}
    return found | {f'{name}_gain': common[f'test/{name}'] - full[name] for name in full}


def draw(figure, values) -> None:
    """What is found against the number of directions, dashed in the full spaces; and for emoji."""
    sizes = {3: 'CCA 3', 10: 'CCA 10', 20: 'CCA 20', 30: 'CCA 30'}
    titles = {
        'match': 'digits: matched one to one', 'top': 'digits: among the five best of 100'
    }  # fmt: skip
    figure.set_size_inches(11.0, 3.4)
    *panels, last = figure.subplots(1, 3)
    for axes, (kind, title) in zip(panels, titles.items(), strict=True):
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
    run = values['emoji']
    kinds = [f'{tool}_{kind}' for kind in titles for tool in ('affine', 'cka')]
    for place, kind in enumerate(kinds):
        color = 'C0' if 'affine' in kind else 'C1'
        for full, common in zip(run[f'full_{kind}'], run[f'test/{kind}'], strict=True):
            last.plot([place - 0.2, place + 0.2], [full, common], 'o-', color=color, ms=4)
    last.set_xticks(range(len(kinds)), [k.replace('_', '\n') for k in kinds], fontsize=8)
    last.set_title('emoji and their names: full spaces, common one', fontsize=9)
    last.set_ylim(0)
    last.grid(alpha=0.3)
