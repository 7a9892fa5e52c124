"""Accuracies while classes arrive in sessions: one number per session, and what sums them up.

Classes are numbered in the order in which they arrive: session s brings the next sizes[s] of them,
and is tested on the rows of all classes seen so far, with only these as possible answers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped


class Sessions(NamedTuple):
    """Accuracies after each session, in the order of the sessions.

    Attributes:
      accuracy: share of the rows of all classes seen so far that are right.
      base_accuracy: mean over the classes of the first session of the accuracy on each.
      new_accuracy: the same over the classes of all later sessions; 0 after the first.
      new_as_base: share of the rows of later sessions that are taken for a class of the first.
    """

    accuracy: Float[np.ndarray, 's']
    base_accuracy: Float[np.ndarray, 's']
    new_accuracy: Float[np.ndarray, 's']
    new_as_base: Float[np.ndarray, 's']


def session_ends(sizes: Sequence[int], num_classes: int) -> Int[np.ndarray, 's']:
    """Number of classes seen after each session; ValueError for impossible sizes."""
    if min(sizes, default=0) < 1 or sum(sizes) > num_classes:
        raise ValueError(
            f'sizes: expected positive numbers, at most {num_classes} together, got {list(sizes)}'
        )
    return np.cumsum(sizes)


def session_accuracies(
    logits: Shaped[np.ndarray, 'n k'] | Sequence[Shaped[np.ndarray, 'n k']],
    labels: Int[np.ndarray, 'n'],
    sizes: Sequence[int],
) -> Sessions:
    """Accuracies after each session on the classes seen so far.

    Args:
      logits: of one model for all sessions, whose columns do not change when classes are added;
        or a list with those of the model after each session.
      labels: class numbers in order of arrival.
      sizes: classes of each session.

    A session without any test row of its classes counts as 0.
    """
    each = logits if isinstance(logits, list | tuple) else [logits] * max(len(sizes), 1)
    ends = session_ends(sizes, each[0].shape[1])
    if len(each) != len(sizes):
        raise ValueError(
            f'logits: expected one array for each of {len(sizes)} sessions, got {len(each)}'
        )
    columns = []
    for scores, end in zip(each, ends, strict=True):
        known = labels < end
        predicted = np.argmax(scores[known, :end], axis=1)
        truth, right = labels[known], predicted == labels[known]
        counts = np.bincount(truth, minlength=end)
        per_class = np.bincount(truth, weights=right, minlength=end) / np.maximum(counts, 1)
        base, new = np.arange(end) < sizes[0], np.arange(end) >= sizes[0]
        later = truth >= sizes[0]
        columns.append(
            (
                mean(right),
                mean(per_class[base & (counts > 0)]),
                mean(per_class[new & (counts > 0)]),
                mean(predicted[later] < sizes[0]),
            )
        )
    return Sessions(*np.array(columns, np.float64).T)


def mean(values: Shaped[np.ndarray, 'n']) -> float:
    """The mean; 0 of nothing."""
    return float(np.mean(values)) if len(values) else 0.0


def harmonic_mean(base: float, new: float) -> float:
    """2 base new / (base + new), in the units of both; 0 where both are 0.

    >>> round(harmonic_mean(70.0, 20.0), 3)
    31.111
    """
    return 2.0 * base * new / (base + new) if base + new > 0 else 0.0


def summary(sessions: Sessions) -> dict[str, float]:
    """The numbers papers report.

    Returns:
      average_incremental_accuracy: plain mean of the accuracies over the sessions.
      final_accuracy, performance_drop: after the last session, and the first less the last.
      base_accuracy, new_accuracy, harmonic_mean, new_as_base: after the last session.
    """
    base, new = sessions.base_accuracy[-1], sessions.new_accuracy[-1]
    return {
        'average_incremental_accuracy': float(np.mean(sessions.accuracy)),
        'final_accuracy': float(sessions.accuracy[-1]),
        'performance_drop': float(sessions.accuracy[0] - sessions.accuracy[-1]),
        'base_accuracy': float(base),
        'new_accuracy': float(new),
        'harmonic_mean': harmonic_mean(float(base), float(new)),
        'new_as_base': float(sessions.new_as_base[-1]),
    }
