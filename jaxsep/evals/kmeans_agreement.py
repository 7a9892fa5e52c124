"""How well k-means on the embeddings, with as many clusters as classes, finds the classes."""

import jax.numpy as jnp
import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.ops.geometry import l2_normalize

NEEDS = ('test',)


def evaluate(
    splits: Splits, *, label: str = 'label', output: str = 'embedding', normalize: bool = True
) -> dict[str, float]:
    """Agreement of k-means clusters of the test embeddings with their classes.

    k is the number of classes in the test split; the start is deterministic (farthest first,
    passing over the 5 % outermost points), then Lloyd's steps.

    Args:
      splits: 'test', a dict of columns with `output` and `label`.
      label: the label column to compare with.
      output: the named output that is clustered.
      normalize: scale its rows to unit norm first.

    Returns:
      'kmeans_nmi' and 'kmeans_ari': normalised mutual information (arithmetic mean) and adjusted
      Rand index; larger is better.
    """
    (labels,), num_classes = classes(splits, NEEDS, label)
    x = jnp.asarray(vectors(splits, 'test', output))
    x = l2_normalize(x) if normalize else x
    clusters = np.asarray(kmeans(x, x[maximin_seeds(x, num_classes, trim=0.05)]).labels)
    return {
        'kmeans_nmi': float(normalized_mutual_info_score(labels, clusters)),
        'kmeans_ari': float(adjusted_rand_score(labels, clusters)),
    }
