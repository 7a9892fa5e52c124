"""Columns of tables as numbers, by what the training rows show."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int32, Num, Shaped

UNKNOWN = 0


def number_known(
    values: Shaped[np.ndarray, 'n'],
    train: Shaped[np.ndarray, 'm'],
    missing: Sequence[str | int] = (),
) -> tuple[Int32[np.ndarray, 'n'], int]:
    """The values that occur in training, numbered from 1 in ascending order; all others are 0.

    Args:
      values: to be numbered.
      train: those of the training rows.
      missing: values that stand for nothing, 0 as well.

    Returns:
      the numbers, and how many there can be: one more than the known values.

    >>> number_known(np.array(['b', 'c', '?', 'a']), np.array(['b', 'a', '?']), missing=['?'])
    (array([2, 0, 0, 1], dtype=int32), 3)
    """
    known = np.unique(train)
    known = known[~np.isin(known, list(missing))] if len(missing) else known
    if not len(known):
        return np.full(len(values), UNKNOWN, np.int32), 1
    places = np.searchsorted(known, values)
    found = known[np.minimum(places, len(known) - 1)] == values
    return np.where(found, places + 1, UNKNOWN).astype(np.int32), len(known) + 1


def number_bins(
    values: Num[np.ndarray, 'n'], train: Num[np.ndarray, 'm'], num_bins: int
) -> tuple[Int32[np.ndarray, 'n'], int]:
    """The quantile bin of each value, from 1; the edges are quantiles of the training rows.

    Bins that coincide, where a value is frequent, become one. Values beyond the training rows fall
    into the outer bins. 0, unknown, does not occur.

    Returns:
      the numbers, and how many there can be: one more than the bins.

    >>> number_bins(np.array([-9, 2, 3, 9]), np.array([1, 2, 3, 4]), 2)
    (array([1, 1, 2, 2], dtype=int32), 3)
    """
    if num_bins < 1:
        raise ValueError(f'num_bins: expected at least 1, got {num_bins}')
    edges = np.unique(np.quantile(train, np.arange(1, num_bins) / num_bins))
    edges = edges[edges < np.max(train)]  # else nothing is above the last one
    return (np.searchsorted(edges, values, side='left') + 1).astype(np.int32), len(edges) + 2


def standardize(
    values: Num[np.ndarray, 'n *m'], train: Num[np.ndarray, 'k *m']
) -> Float32[np.ndarray, 'n *m']:
    """Columns with mean 0 and standard deviation 1 over the training rows; constant ones are 0."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    return np.where(std > 0, (values - mean) / np.where(std > 0, std, 1.0), 0.0).astype(np.float32)


def log_squared(values: Num[np.ndarray, '*s']) -> Float[np.ndarray, '*s']:
    """floor(log(x)^2) where x > 2, else x: counts with long tails as small numbers.

    >>> log_squared(np.array([-1.0, 2.0, 3.0, 1000.0])).tolist()
    [-1.0, 2.0, 1.0, 47.0]

    Source: the winners of the Criteo competition, as Song et al., AutoInt (2019), use it
    """
    values = np.asarray(values, np.float64)
    large = values > 2
    return np.where(large, np.floor(np.square(np.log(np.where(large, values, 1.0)))), values)
