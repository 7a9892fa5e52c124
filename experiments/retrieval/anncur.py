"""How many of the best items are found for a budget of exact scores, against a single-vector search.

The expensive score is the Chamfer similarity between the patches of a query and of an item; the
cheap search ranks items by the inner product of mean patches and spends the whole budget on
looking again. Sizes are the card's, looked at on seed 10. The third run has as many anchors as
there are anchor queries: the matrix that is inverted is square there.
"""

import json
import pathlib

import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.anchor_search import rerank_recall
from jaxsep.data.source import load, take_all

CLAIM = (
    'For the same number of exact scores, anchors and a CUR decomposition find far more of the best '
    'items than looking again at the best of a single-vector search'
)
SOURCE = 'Yadav et al., 2022, figure 3'
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/retrieval/anncur.py:small'


def budget(anchors, retrieved):
    """A run with other numbers of anchors and of items looked at again."""
    return {
        'config': CONFIG,
        'overrides': {
            'make.num_anchors': anchors,
            'evals.rerank_recall.num_retrieved': retrieved,
        },
    }


RUNS = {
    '25 + 75': {'config': CONFIG},
    '50 + 150': budget(50, 150),
    '100 + 100': budget(100, 100),
}
COMPARISONS = [
    {'metric': 'test/recall@10', 'larger': '25 + 75', 'smaller': 0.8},
    *(
        {'metric': f'gain@{k}', 'larger': run, 'smaller': 0.0, 'margin': 0.3}
        for run in ('25 + 75', '50 + 150')
        for k in (1, 10, 50)
    ),
    {'metric': 'test/recall@10', 'larger': '50 + 150', 'smaller': '100 + 100', 'margin': 0.2},
]


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """What the single-vector search finds for the same budget, and how much more the run found."""
    config = json.loads((workdir / 'config.json').read_text())['config']
    results = json.loads((workdir / 'results.json').read_text())
    source = load(**config['data'])
    items, queries = (take_all(source.splits[name]) for name in ('train', 'test'))
    cheap = jnp.asarray(queries['mean_token'] @ items['mean_token'].T)
    exact = jnp.asarray(queries['item_scores'])
    retrieved = config['evals']['rerank_recall']['num_retrieved'] + config['make']['num_anchors']
    found = {}
    for k in (1, 10, 50):
        recall = float(np.mean(rerank_recall(cheap, exact, k, retrieved)))
        found[f'single_vector_recall@{k}'] = recall
        found[f'gain@{k}'] = results[f'test/recall@{k}'] - recall
    return found


def draw(figure, values) -> None:
    """Recall of the k best items: the runs, and the single-vector search at their budgets."""
    ks = (1, 10, 50)
    axes = figure.subplots()
    for color, run in zip(('C0', 'C1', 'C2'), values, strict=True):
        for metric, style in (('test/recall', 'o-'), ('single_vector_recall', 's--')):
            means = [np.mean(values[run][f'{metric}@{k}']) for k in ks]
            name = run if style == 'o-' else f'single vector, {sum(map(int, run.split(" + ")))}'
            axes.plot(ks, means, style, color=color, label=name)
    axes.set_xscale('log')
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set_xlabel('k')
    axes.set_ylabel('share of the k best items that is found')
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
