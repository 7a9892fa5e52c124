"""Mean average precision of the scores of each class, as PASCAL VOC measures recognition."""

import jax.numpy as jnp

from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.metrics.binary import average_precision
from jaxsep.metrics.interpolated_precision import (
    average_precision_voc07,
    mean_average_precision_of_classes,
)

NEEDS = ('test',)


def evaluate(splits: Splits, *, label: str = 'label') -> dict[str, float]:
    """The mean over the classes of how well a class's own score ranks its rows before the others.

    Returns:
      'class_map', all precisions counted, and 'class_map_voc07', at eleven recalls.
    """
    logits, labels = vectors(splits, 'test', 'logits'), column(splits, 'test', label)
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    measures = {'class_map': average_precision, 'class_map_voc07': average_precision_voc07}
    return {
        name: float(mean_average_precision_of_classes(logits, labels, measure))
        for name, measure in measures.items()
    }
