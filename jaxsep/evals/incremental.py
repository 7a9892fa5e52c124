"""Accuracy while classes arrive in sessions, from the logits of one fitted model.

For methods whose columns of earlier classes do not change when new ones are added, such as
nearest class means: the accuracy after session s is that of the first columns. For models that
change, see `jaxsep.evals.incremental_over_stages`.
"""

from collections.abc import Sequence

from jaxsep.evals.columns import Splits, column
from jaxsep.metrics.incremental import session_accuracies, summary

NEEDS = ('test',)


def evaluate(
    splits: Splits, *, sizes: Sequence[int], label: str = 'label', output: str = 'logits'
) -> dict[str, float]:
    """What `jaxsep.metrics.incremental.summary` sums up; see there.

    Args:
      sizes: classes of each session, in the order of their numbers.
      output: the named output with a column per class; -inf for classes that are not known.
    """
    logits, labels = splits['test'][output], column(splits, 'test', label)
    return summary(session_accuracies(logits, labels, tuple(sizes)))
