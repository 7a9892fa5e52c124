"""What can be wrong with embeddings and labels, found before anything is compiled.

numpy only: a wrong file is answered in a fraction of a second.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxsep.data.sets.npz import read_npz


class Column(NamedTuple):
    """A label column as numbers 0 .. c - 1, with the name of each class."""

    codes: np.ndarray
    names: tuple[str, ...]


def check_points(name: str, points) -> np.ndarray:
    """A matrix of at least 3 finite points, float32 or float64; ValueError otherwise."""
    points = np.asarray(points)
    if points.ndim != 2:
        raise ValueError(f'{name}: expected a matrix [points, features], got shape {points.shape}')
    if points.shape[0] < 3 or points.shape[1] < 1:
        raise ValueError(f'{name}: expected at least 3 points and 1 feature, got {points.shape}')
    if points.dtype != np.float64:
        # Also bfloat16 and the 8-bit floats, whose numpy kind is not 'f'.
        if points.dtype.kind in 'OSUMmc':
            raise ValueError(f'{name}: expected numbers, got {points.dtype}')
        points = points.astype(np.float32)
    wrong = ~np.isfinite(points)
    if wrong.any():
        row = int(np.argmax(wrong.any(axis=1)))
        raise ValueError(
            f'{name}: expected finite numbers, got {int(wrong.sum())} NaN or infinite values, '
            f'the first in row {row}'
        )
    return points


def check_labels(name: str, values, n: int) -> Column:
    """A label column of n integers, strings or truth values with at least two classes."""
    values = np.asarray(values)
    if values.ndim != 1 or len(values) != n:
        raise ValueError(
            f'{name}: expected one label for each of the {n} points, got shape {values.shape}'
        )
    if values.dtype.kind not in 'biufUSO':
        raise ValueError(f'{name}: expected integers, strings or truth values, got {values.dtype}')
    if values.dtype.kind == 'O':
        missing = [
            value is None or (isinstance(value, float | np.floating) and value != value)
            for value in values.tolist()
        ]
        if any(missing):
            row = missing.index(True)
            raise ValueError(
                f'{name}: expected a label for each point, got {values[row]} in row {row}'
            )
        values = values.astype(str)
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise ValueError(f'{name}: expected a label for each point, got {values[row]} in row {row}')
    names, codes = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f'{name}: expected at least two classes, got only {shown(names[0])!r}')
    if len(names) == n:
        raise ValueError(f'{name}: expected classes of several points, got {n} different values')
    return Column(codes.astype(np.int32), tuple(shown(value) for value in names))


def check_neighbors(k: int, n: int) -> None:
    """At least one neighbour and fewer than points."""
    if k < 1:
        raise ValueError(f'k: expected at least 1 neighbour, got {k}')
    if k >= n:
        raise ValueError(f'k: expected fewer neighbours than the {n} points, got {k}')


def columns_of(labels, n: int) -> dict[str, Column]:
    """Label columns from nothing, one array, or a mapping of names to arrays."""
    if labels is None:
        return {}
    named = labels if isinstance(labels, Mapping) else {'label': labels}
    return {name: check_labels(name, values, n) for name, values in named.items()}


def read(
    paths: Sequence[str | pathlib.Path], wanted: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """Embeddings and label columns of npz files, checked.

    Every matrix is an embedding, every vector of the same length a label column. With
    several files, an embedding is named after its file.

    Args:
      wanted: the label columns to take; None takes all that can be classes.

    Returns:
      embeddings by name, label columns by name, and notes on what was left out.
    """
    embeddings, vectors, notes = {}, {}, []
    stems = [pathlib.Path(path).stem for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        arrays = read_npz(path)
        found = {name: a for name, a in arrays.items() if a.ndim == 2 and a.dtype.kind in 'fiub'}
        if not found:
            there = ', '.join(f'{name} {a.dtype}{list(a.shape)}' for name, a in arrays.items())
            raise ValueError(
                f'{path}: expected a matrix of numbers [points, features], found {there or "nothing"}'
            )
        title = stem if stems.count(stem) == 1 else str(path)
        for name, array in found.items():
            shown_name = (
                name if len(paths) == 1 else title if len(found) == 1 else f'{title}:{name}'
            )
            embeddings[shown_name] = check_points(f'{path}: {name}', array)
        for name, array in arrays.items():
            if array.ndim != 1:
                continue
            if name in vectors and not np.array_equal(vectors[name], array):
                raise ValueError(f'{path}: expected labels {name!r} as in {paths[0]}, got others')
            vectors[name] = array
    sizes = {name: len(points) for name, points in embeddings.items()}
    if len(set(sizes.values())) > 1:
        text = ', '.join(f'{name} {size}' for name, size in sizes.items())
        raise ValueError(f'embeddings: expected the same number of points in each, got {text}')
    labels = _choose(vectors, wanted, next(iter(sizes.values())), notes)
    return embeddings, labels, notes


def _choose(vectors, wanted, n: int, notes: list[str]) -> dict[str, np.ndarray]:
    for name in wanted or ():
        if name not in vectors:
            there = ', '.join(vectors) or 'no label column'
            raise ValueError(f'--labels: no column {name!r}; there is {there}')
    labels = {}
    for name in vectors if wanted is None else wanted:
        values = vectors[name]
        if wanted is None and len(values) == n and len(np.unique(values)) == n:
            notes.append(f'{name}: left out, every value is different')
            continue
        check_labels(name, values, n)
        labels[name] = values
    return labels


def shown(value) -> str:
    """A label as text."""
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)
