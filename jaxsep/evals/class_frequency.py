"""Whether a number that a method learns per training sample follows the class frequency."""

import numpy as np
from scipy.stats import spearmanr

from jaxsep.evals.columns import Splits, classes, vectors

NEEDS = ('train',)


def evaluate(splits: Splits, *, output: str, label: str = 'label') -> dict[str, float]:
    """Rank correlation of class size and the class mean of an output, on the training split.

    Args:
      output: a named output with one number per row, such as a learnt temperature.
      label: the label column whose classes are counted.

    Returns:
      'class_frequency_spearman': 1 where larger classes always have larger means; 0 where
        all means or all sizes are equal.
      'head_mean', 'tail_mean': mean output of the largest and of the smallest class.
      'overall_std': standard deviation of the output over all rows.
    """
    values = vectors(splits, 'train', output)
    if values.shape[1] != 1:
        raise ValueError(f'output {output!r}: expected one number per row, got {values.shape[1]}')
    (labels,), num_classes = classes(splits, NEEDS, label)
    sizes = np.bincount(labels, minlength=num_classes)
    means = np.bincount(labels, values[:, 0], num_classes) / sizes
    varies = np.ptp(sizes) > 0 and np.ptp(means) > 1e-9
    return {
        'class_frequency_spearman': float(spearmanr(sizes, means)[0]) if varies else 0.0,
        'head_mean': float(means[np.argmax(sizes)]),
        'tail_mean': float(means[np.argmin(sizes)]),
        'overall_std': float(np.std(values)),
    }
