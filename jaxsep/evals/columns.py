"""Reads the columns that evaluations need from tables of outputs and labels."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

Splits = Mapping[str, Mapping[str, np.ndarray]]


def column(splits: Splits, split: str, name: str) -> np.ndarray:
    """One named array of one split; a ValueError names what exists if it does not.

    Floating arrays must be finite: a NaN would silently become some neighbour's label.
    """
    if split not in splits:
        raise ValueError(f'no split {split!r}; there are: {", ".join(sorted(splits)) or "none"}')
    columns = splits[split]
    if name not in columns:
        known = ', '.join(sorted(columns)) or 'none'
        raise ValueError(f'no column {name!r} in split {split!r}; there are: {known}')
    array = np.asarray(columns[name])
    if array.shape[:1] in ((), (0,)):
        raise ValueError(f'column {name!r} of split {split!r} is empty')
    if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
        raise ValueError(f'column {name!r} of split {split!r} holds NaN or infinite values')
    return array


def vectors(splits: Splits, split: str, output: str = 'embedding') -> np.ndarray:
    """A named output of one split as one flat row of floats per example."""
    array = column(splits, split, output)
    array = array.reshape(array.shape[0], -1)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
    return array


def classes(splits: Splits, names: tuple[str, ...], label: str) -> tuple[list[np.ndarray], int]:
    """A label column of several splits as integers from 0, and the number of classes.

    Returns:
      a list of int32 arrays, one per split of `names`, and the number of distinct labels.
    """
    columns = [column(splits, name, label) for name in names]
    for name, values in zip(names, columns, strict=True):
        if values.ndim != 1:
            raise ValueError(
                f'column {label!r} of split {name!r} must hold one label per example, '
                f'got shape {values.shape}'
            )
    found, codes = np.unique(np.concatenate(columns), return_inverse=True)
    ends = np.cumsum([len(values) for values in columns])[:-1]
    return np.split(codes.astype(np.int32), ends), len(found)
