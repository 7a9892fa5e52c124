"""Class separability without labels, from the persistent homology of the embedding.

Ghalyan et al. 2023, https://arxiv.org/abs/2305.15016; see `jaxsep.algorithms.persistence`.
"""

import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms import persistence
from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.metrics import clusters
from jaxsep.ops import geometry

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    label: str | None = None,
    max_points: int = 2000,
    normalize: bool = True,
) -> dict[str, float]:
    """How separable the test embedding looks from the bars of its minimum spanning tree.

    The points are the same for every checkpoint of a run (a fixed permutation, cut at
    max_points), so that the scores can be compared.

    Args:
      splits: split -> name -> array with one row per example; 'test' holds 'embedding' [n, d].
      label: name of a label column; adds the silhouette, the supervised counterpart.
      max_points: at most this many points; time grows with its square.
      normalize: scale rows to unit length first.

    Returns:
      persistence_score: mean bar over the longest, smaller is more separable.
      persistence_median: the median in its place, which one outlier does not move.
      topological_separability: 1 - persistence_score.
      persistence_clusters: components inside the largest gap of the bars.
      silhouette: only with label; of the same points, Euclidean.
    """
    if max_points < 2:
        raise ValueError(f'max_points: expected at least 2 points, got {max_points}')
    embedding = vectors(splits, 'test', 'embedding')
    if embedding.shape[0] < 2:
        raise ValueError(
            f'embedding: expected shape [n, d] with n >= 2, got {list(embedding.shape)}'
        )
    chosen = np.random.default_rng(0).permutation(embedding.shape[0])[:max_points]
    x = geometry.in_float32(jnp.asarray(embedding[chosen]))
    if normalize:
        x = geometry.l2_normalize(x)
    bars = persistence.h0_persistence(x)
    score = float(persistence.persistence_score(bars, 'mean'))
    results = {
        'persistence_score': score,
        'persistence_median': float(persistence.persistence_score(bars, 'median')),
        'topological_separability': 1.0 - score,
        'persistence_clusters': float(persistence.number_of_clusters(bars)),
    }
    if label is not None:
        results['silhouette'] = _silhouette(x, column(splits, 'test', label)[chosen], label)
    return results


def _silhouette(x: jnp.ndarray, values: np.ndarray, label: str) -> float:
    classes, labels = np.unique(values, return_inverse=True)
    if classes.size < 2:
        raise ValueError(f'{label}: expected at least 2 classes, got {classes.size}')
    return float(clusters.silhouette(x, jnp.asarray(labels, jnp.int32), int(classes.size)))
