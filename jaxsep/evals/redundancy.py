"""How much of one output can be told from another: kNN regression from train to test."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, vectors
from jaxsep.metrics.neighbors import METRICS, nearest

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    of: str,
    given: str,
    k: int = 10,
    metric: str = 'euclidean',
) -> dict[str, float]:
    """The share of the variance of output `of` that the mean of k neighbours in `given` explains.

    R2 = 1 - sum_i ||y_i - yhat_i||^2 / sum_i ||y_i - mean of test y||^2 over the test rows,
    yhat_i the mean `of` the k training rows nearest to row i in `given`. The sums run over
    columns too, so columns count by their variance. 1: `of` can be read off `given`; 0 (or a
    little less, by chance): it cannot. 0 where the test rows of `of` are all equal.

    Args:
      splits: 'train' and 'test', each a dict of columns with both outputs.
      of: the output that is predicted.
      given: the output that neighbours are looked for in.
      metric: 'euclidean' or 'cosine'.

    Returns:
      'redundancy': R2.
    """
    train, test = (vectors(splits, split, given) for split in NEEDS)
    targets, truth = (vectors(splits, split, of).astype(np.float64) for split in NEEDS)
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    if not 1 <= k <= len(train):
        raise ValueError(f'k must be between 1 and the {len(train)} training points, got {k}')
    _, neighbors = nearest(jnp.asarray(test), jnp.asarray(train), k, metric)
    left = np.sum((truth - targets[np.asarray(neighbors)].mean(1)) ** 2)
    total = np.sum((truth - truth.mean(0)) ** 2)
    return {'redundancy': float(1 - left / total) if total > 0 else 0.0}
