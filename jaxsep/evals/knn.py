"""Accuracy of a k-nearest-neighbour classifier on the embeddings, train to test."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.metrics.neighbors import METRICS, knn_predict

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    label: str = 'label',
    output: str = 'embedding',
    k: int = 5,
    metric: str = 'cosine',
) -> dict[str, float]:
    """The share of test points whose k nearest training points vote for their label.

    Args:
      splits: 'train' and 'test', each a dict of columns with `output` and `label`.
      label: the label column to predict.
      output: the named output that neighbours are looked for in.
      metric: 'cosine' or 'euclidean'.

    Returns:
      'knn_accuracy'.
    """
    (train_labels, test_labels), num_classes = classes(splits, NEEDS, label)
    train, test = vectors(splits, 'train', output), vectors(splits, 'test', output)
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    if not 1 <= k <= len(train):
        raise ValueError(f'k must be between 1 and the {len(train)} training points, got {k}')
    predicted = knn_predict(
        jnp.asarray(train), jnp.asarray(train_labels), jnp.asarray(test), k, num_classes, metric
    )
    return {'knn_accuracy': float(np.mean(np.asarray(predicted) == test_labels))}
