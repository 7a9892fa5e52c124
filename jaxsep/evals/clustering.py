"""How well clusters found without labels match the classes, on all and on separable points."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from jaxsep.evals.columns import column

NEEDS = ('train',)


def evaluate(
    splits: Mapping[str, Mapping[str, np.ndarray]], *, label: str = 'label', split: str = 'train'
) -> dict[str, float]:
    """Agreement of the outputs `cluster` and `separable` with a label column.

    The adjusted Rand index is 1 for the same partition, 0 on average for random ones; it
    does not ask for the same number of clusters. On the separable points alone it is to
    be read with their fraction; it is 0 where fewer than two points are separable.

    Args:
      splits: split -> name -> array, one row per example.
      label: the label column to compare with.
      split: the rows to look at; by default those that were fitted, as clustering has
        nothing to generalise to.

    Returns:
      adjusted_rand_index, normalized_mutual_information: on all points, larger is better.
      separable_adjusted_rand_index: on the separable points.
      separable_fraction: share of separable points.
      num_clusters: clusters that have points.

    Source: Hubert & Arabie, Comparing partitions (1985).
    """
    truth, cluster, separable = (
        column(splits, split, name) for name in (label, 'cluster', 'separable')
    )
    for name, values in ((label, truth), ('cluster', cluster), ('separable', separable)):
        if values.shape != truth.shape[:1]:
            raise ValueError(
                f'column {name!r} of split {split!r}: expected shape {truth.shape[:1]}, '
                f'got {values.shape}'
            )
    separable = separable.astype(bool)
    easy = 0.0
    if separable.sum() > 1:
        easy = float(adjusted_rand_score(truth[separable], cluster[separable]))
    return {
        'adjusted_rand_index': float(adjusted_rand_score(truth, cluster)),
        'normalized_mutual_information': float(normalized_mutual_info_score(truth, cluster)),
        'separable_adjusted_rand_index': easy,
        'separable_fraction': float(separable.mean()),
        'num_clusters': float(np.unique(cluster).size),
    }


def repeatability(labelings: Sequence) -> dict[str, float]:
    """Mean and smallest adjusted Rand index between any two clusterings of the same points.

    1 where every run (restart, permutation of the rows brought back into order) gives the
    same partition, whatever its names are.

    >>> repeatability([[0, 0, 1], [1, 1, 0], [0, 0, 1]])
    {'mean_adjusted_rand_index': 1.0, 'min_adjusted_rand_index': 1.0}
    """
    if len(labelings) < 2:
        raise ValueError(f'labelings: expected at least 2, got {len(labelings)}')
    scores = [adjusted_rand_score(a, b) for a, b in itertools.combinations(labelings, 2)]
    return {
        'mean_adjusted_rand_index': float(np.mean(scores)),
        'min_adjusted_rand_index': float(np.min(scores)),
    }
