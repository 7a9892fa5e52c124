"""Dividing rows into training and test."""

import numpy as np
from jaxtyping import Int


def check_fraction(test_fraction: float) -> None:
    """Raises ValueError unless 0 < test_fraction < 1."""
    if not 0 < test_fraction < 1:
        raise ValueError(f'test_fraction: expected a number between 0 and 1, got {test_fraction}')


def stratified(
    labels: Int[np.ndarray, 'n'], test_fraction: float, seed: int
) -> tuple[Int[np.ndarray, 'a'], Int[np.ndarray, 'b']]:
    """Rows for training and for test, each class divided alike; both in ascending order.

    A class of m rows gives round(m test_fraction) rows to the test split, but never all of
    them. Where that leaves the test split empty, it gets one row if there are two.

    >>> train, test = stratified(np.array([0, 0, 0, 0, 1, 1]), 0.5, seed=0)
    >>> len(train), len(test)
    (3, 3)
    """
    check_fraction(test_fraction)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    test = []
    for value in np.unique(labels):
        rows = shuffled[labels[shuffled] == value]
        test.append(rows[: min(round(len(rows) * test_fraction), len(rows) - 1)])
    chosen = np.concatenate(test) if test else shuffled[:0]
    if len(chosen) == 0 and len(labels) > 1:
        chosen = shuffled[:1]
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
