"""Is PPP repeatable, does it find the number of clusters, is its separable subset easier?"""

import json
import pathlib

import jax
import numpy as np
from sklearn.cluster import KMeans

from jaxsep.data.source import load
from jaxsep.evals.clustering import repeatability
from jaxsep.methods.separability.ppp import make

CLAIM = (
    'Clusters do not depend on initial conditions, and the separable points are clustered better'
)
SOURCE = 'Sultan, 2020, abstract (no numbers there)'
SEEDED = ('seed', 'data.seed')  # PPP draws nothing: the seeds choose the training rows

CONFIG = 'configs/separability/ppp.py:small'
RUNS = {
    'wine': {'config': CONFIG},
    'iris': {'config': CONFIG, 'overrides': {'data.name': 'iris'}},
    'wine diag': {'config': CONFIG, 'overrides': {'make.covariance': 'diag'}},
    'iris diag': {
        'config': CONFIG,
        'overrides': {'data.name': 'iris', 'make.covariance': 'diag'},
    },
}
COMPARISONS = [
    {'metric': 'repeatability_gain', 'larger': 'wine', 'smaller': 0.0, 'margin': 0.1},
    {'metric': 'repeatability_gain', 'larger': 'iris', 'smaller': 0.0, 'margin': 0.1},
    *({'metric': 'separable_gain', 'larger': run, 'smaller': 0.0, 'margin': 0.01} for run in RUNS),
]


def measure(workdir: pathlib.Path) -> dict[str, float]:
    """What one run of main does not tell.

    Returns:
      repeatability: smallest adjusted Rand index between clusterings of 5 row orders.
      kmeans_repeatability: the same of 10 random-initialised k-means, as many clusters
        as there are classes.
      repeatability_gain: their difference.
      separable_gain: adjusted Rand index on the separable points less that on all.
    """
    config = json.loads((workdir / 'config.json').read_text())['config']
    source = load(**config['data'])
    features = source.splits['train'].columns['features']
    estimator = make(**config['make'])
    fit, outputs = jax.jit(estimator.fit), jax.jit(estimator.outputs)
    ours = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(features))
        fitted = fit(jax.random.key(0), {'features': features[order]})
        ours.append(np.asarray(outputs(fitted, {'features': features})['cluster']))
    num_classes = len(source.labels['label'])
    random = [
        KMeans(num_classes, init='random', n_init=1, random_state=seed).fit(features).labels_
        for seed in range(10)
    ]
    first = repeatability(ours)['min_adjusted_rand_index']
    second = repeatability(random)['min_adjusted_rand_index']
    results = json.loads((workdir / 'results.json').read_text())
    easier = 'train/separable_adjusted_rand_index', 'train/adjusted_rand_index'
    return {
        'repeatability': first,
        'kmeans_repeatability': second,
        'repeatability_gain': first - second,
        'separable_gain': results[easier[0]] - results[easier[1]],
    }
