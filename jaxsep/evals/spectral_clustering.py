"""How well spectral clusters of a doubly stochastic affinity match the classes, without labels."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from jaxsep.algorithms.spectral_clustering import (
    best_kmeans,
    coding_lengths,
    spectral_clustering,
)
from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.metrics.clustering_accuracy import clustering_accuracy
from jaxsep.metrics.spectrum import numerical_rank
from jaxsep.ops.doubly_stochastic import absolute_cosines, sinkhorn_affinity
from jaxsep.ops.geometry import l2_normalize

NEEDS = ('train',)


def evaluate(
    splits: Splits,
    *,
    label: str = 'label',
    output: str = 'embedding',
    affinity_output: str = 'cluster_embedding',
    temperature: float = 0.175,
    half_steps: int = 5,
    max_rows: int = 3000,
    candidates: Sequence[int] = (),
) -> dict[str, float]:
    """Clusters of the training rows against their classes, and the ranks of their features.

    The affinity is `sinkhorn_affinity` of the absolute cosines of one output. There are as many
    clusters as classes. On the rows that were learnt from, as clustering has nothing to
    generalise to.

    Args:
      splits: 'train', a dict of columns.
      label: the label column to compare with.
      output: the features, for k-means and ranks.
      affinity_output: the output whose cosines are the affinity.
      temperature, half_steps: see `jaxsep.ops.doubly_stochastic.sinkhorn_affinity`.
      max_rows: only so many first rows are looked at; time grows with their number cubed.
      candidates: numbers of clusters to choose from by coding length; none: no choice.

    Returns:
      spectral_accuracy, spectral_nmi: of the spectral clusters.
      kmeans_accuracy, kmeans_nmi: of k-means on the features, scaled to unit length.
      rank: numerical rank of all features (95 % of the squared singular values).
      class_rank, largest_class_rank: mean and maximum over the classes of that of their features.
      best_num_clusters: among the candidates, if there are any.
    """
    (labels,), num_classes = classes(splits, NEEDS, label)
    labels = labels[:max_rows]
    features = l2_normalize(jnp.asarray(vectors(splits, 'train', output)[:max_rows]))
    cosines = absolute_cosines(jnp.asarray(vectors(splits, 'train', affinity_output)[:max_rows]))
    affinity = sinkhorn_affinity(cosines, temperature=temperature, half_steps=half_steps)
    clusterings = {
        'spectral': spectral_clustering(affinity, num_classes).labels,
        'kmeans': best_kmeans(features, num_classes),
    }
    results = {}
    for name, clusters in clusterings.items():
        accuracy = clustering_accuracy(jnp.asarray(labels), clusters, num_classes, num_classes)
        results[f'{name}_accuracy'] = float(accuracy)
        results[f'{name}_nmi'] = float(normalized_mutual_info_score(labels, np.asarray(clusters)))
    ranks = [rank_of(features[labels == c]) for c in np.unique(labels)]
    results |= {
        'rank': float(rank_of(features)),
        'class_rank': float(np.mean(ranks)),
        'largest_class_rank': float(np.max(ranks)),
    }
    if candidates:
        lengths = coding_lengths(features, affinity, candidates)
        results['best_num_clusters'] = float(candidates[int(jnp.argmin(lengths))])
    return results


def rank_of(features):
    """The numerical rank of uncentred rows, by NumPy's decomposition: classes differ in size."""
    values = np.linalg.svd(np.asarray(features), compute_uv=False)
    return int(numerical_rank(jnp.asarray(values)))
