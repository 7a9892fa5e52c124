"""What each part of the network adds, from backbone and fusion to all of it, on digits over photographs.

Every run is the method with other options; a U-Net, which works at full resolution, is measured beside
them. '+ layers' has the convolutions around PAM and CAM without these two, so that '+ attention'
shows what they add and not what more layers do.
"""

import pathlib

import numpy as np
from matplotlib.colors import ListedColormap

from jaxsep import session

CLAIM = (
    'Segmentation gets better with attention, with a second stage of it, with a guide that gates '
    'it and with the losses of the guide, and varies less between images'
)
SOURCE = 'Sinha and Dolz, 2019, ablation and comparison with DAF and DANet; data, sizes, margins are ours'
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/dense/ms_attention.py:small'
ONE = {'make.num_stages': 1, 'make.guide': False}
FREE = {'make.semantic_weight': 0.0, 'make.reconstruction_weight': 0.0}
RUNS = {
    'fusion': {'config': CONFIG, 'overrides': {**ONE, 'make.attention': 'none'}},
    '+ layers': {'config': CONFIG, 'overrides': {**ONE, 'make.attention': 'convolutions'}},
    '+ attention': {'config': CONFIG, 'overrides': ONE},
    '+ second stage': {'config': CONFIG, 'overrides': {'make.guide': False}},
    '+ guide': {'config': CONFIG, 'overrides': FREE},
    '+ guide losses': {'config': CONFIG},
    'U-Net': {'config': CONFIG, 'overrides': {'make.network': 'unet'}},
}
DICE, DEVIATION = 'test/mean_dice', 'test/dice_std'
LADDER = [run for run in RUNS if run != 'U-Net']
COMPARISONS = [
    {'metric': DICE, 'larger': '+ guide losses', 'smaller': 'fusion'},
    {'metric': DEVIATION, 'larger': 'fusion', 'smaller': '+ guide losses'},
    *(
        {'metric': DICE, 'larger': upper, 'smaller': lower}
        for lower, upper in zip(LADDER, LADDER[1:], strict=False)
    ),
]
SHOWN = (0, 1, 2, 3)
"""Test images of the plot."""
PICTURES = {}
"""Run -> columns of the shown images, by the run's options: `measure` fills it, `draw` reads it."""


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """Nothing new: keeps the masks of a few test images of seed 0 for the plot."""
    run, _, rest = workdir.name.partition('-')
    if rest.startswith('0-'):
        stage, variables = session.reopen(workdir)['']
        split = stage.source.splits['test']
        few = stage.source._replace(splits={'test': split.__class__(
            {name: values[list(SHOWN)] for name, values in split.columns.items()}
        )})  # fmt: skip
        table = session.outputs(stage._replace(source=few), variables, ('test',))['test']
        PICTURES[run] = {**table, 'image': few.splits['test'].columns['image']}
    return {}


def draw(figure, values) -> None:
    """Images, true masks and those of each run; a bar for each run's Dice with the seeds as dots."""
    figure.set_size_inches(13, 6.6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    columns = ['image', 'truth', *values]
    cells = upper.subplots(len(SHOWN), len(columns), squeeze=False)
    colors = ListedColormap(['#e6194b', '#3cb44b', '#4363d8', '#ffe119'])
    for row, k in zip(cells, range(len(SHOWN)), strict=True):
        for axes, name in zip(row, columns, strict=True):
            axes.axis('off')
            found = PICTURES.get(name if name in values else next(iter(values)))
            if found is None:
                continue
            axes.imshow(found['image'][k], interpolation='nearest')
            if name != 'image':
                mask = found['true_mask' if name == 'truth' else 'mask'][k]
                shown = np.ma.masked_equal(mask, 0)
                axes.imshow(shown, cmap=colors, vmin=1, vmax=4, alpha=0.7, interpolation='nearest')
            if k == 0:
                axes.set_title(name, fontsize=9)
    titles = {DICE: 'mean Dice of an image', DEVIATION: 'its deviation between images'}
    for axes, (metric, title) in zip(lower.subplots(1, 2), titles.items(), strict=True):
        means = [np.mean(values[run][metric]) for run in values]
        shades = ['C0' if run in LADDER else '0.6' for run in values]
        axes.bar(range(len(values)), means, color=shades, alpha=0.5)
        for place, run in enumerate(values):
            numbers = values[run][metric]
            axes.plot([place] * len(numbers), numbers, 'o', color='0.2', ms=3)
        every = [number for run in values for number in values[run][metric]]
        axes.set_ylim(0.9 * min(every), 1.05 * max(every))
        axes.set_xticks(range(len(values)), list(values), fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.grid(axis='y', alpha=0.3)
