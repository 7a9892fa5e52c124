"""Accuracy while classes arrive in sessions, each of them a stage that changes the model."""

from collections.abc import Mapping, Sequence

from jaxsep.evals.columns import Splits, column
from jaxsep.metrics.incremental import session_accuracies, summary

NEEDS = ('test',)
OVER_STAGES = True


def evaluate(
    stages: Mapping[str, Splits],
    *,
    sizes: Sequence[int],
    label: str = 'label',
    output: str = 'logits',
) -> dict[str, float]:
    """What `jaxsep.metrics.incremental.summary` sums up, from the model after each session.

    Args:
      stages: name of the stage -> its splits; the last len(sizes) of them are the sessions,
        fewer than that are the first sessions.
      sizes: classes of each session, in the order of their numbers.
      output: the named output with a column per class.
    """
    sessions = list(stages.values())[-len(sizes) :]
    labels = column(sessions[-1], 'test', label)
    logits = [splits['test'][output] for splits in sessions]
    return summary(session_accuracies(logits, labels, tuple(sizes)[: len(sessions)]))
