"""Accuracy of a method's own logits."""

import numpy as np

from jaxsep.evals.columns import Splits, column, vectors

NEEDS = ('test',)


def evaluate(splits: Splits, *, label: str = 'label') -> dict[str, float]:
    """The share of test rows whose largest entry of `logits` is at their label.

    Returns:
      'accuracy'.
    """
    logits, labels = vectors(splits, 'test', 'logits'), column(splits, 'test', label)
    return {'accuracy': float(np.mean(np.argmax(logits, axis=1) == labels))}
