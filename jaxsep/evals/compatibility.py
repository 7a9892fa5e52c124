"""Identification of one stage's queries in the galleries of all stages before it."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.metrics import compatibility

NEEDS = ('test',)
OVER_STAGES = True


def evaluate(
    stages: Mapping[str, Splits],
    *,
    models: Sequence[str] = (),
    classes: Sequence[int] = (),
    label: str = 'label',
    output: str = 'embedding',
) -> dict[str, float]:
    """The compatibility matrix of the models, summed up.

    Of every class, test rows are given to gallery and queries by turns.

    Args:
      stages: name of the stage -> its splits.
      models: the stages that count, oldest first; all of them if empty.
      classes: the class numbers to identify, for instance ones that were never trained on; all
        of them if empty.
      output: the named output that is matched.

    Returns:
      'average_accuracy', 'average_compatibility', 'self_accuracy' and 'cross_accuracy' (mean of
      the diagonal and below it), see `jaxsep.metrics.compatibility`; and each entry as
      'query_<i>_gallery_<j>'.
    """
    names = tuple(models) or tuple(stages)
    if unknown := [name for name in names if name not in stages]:
        raise ValueError(f'models: no stage {unknown[0]!r}; there are {sorted(stages)}')
    labels = column(stages[names[0]], 'test', label)
    rows = np.flatnonzero(np.isin(labels, classes) if len(classes) else np.ones(len(labels), bool))
    rows = rows[np.argsort(labels[rows], kind='stable')]
    gallery, queries = rows[::2], rows[1::2]
    features = [vectors(stages[name], 'test', output) for name in names]
    matrix = np.zeros((len(names), len(names)))
    for i, new in enumerate(features):
        for j, old in enumerate(features[: i + 1]):
            matrix[i, j] = compatibility.identification_accuracy(
                old[gallery], labels[gallery], new[queries], labels[queries]
            )
    same, cross = compatibility.self_and_cross_accuracy(matrix)
    return {
        'average_accuracy': compatibility.average_accuracy(matrix),
        'average_compatibility': compatibility.average_compatibility(matrix),
        'self_accuracy': same,
        'cross_accuracy': cross,
        **{
            f'query_{i}_gallery_{j}': float(matrix[i, j])
            for i in range(len(names))
            for j in range(i + 1)
        },
    }
