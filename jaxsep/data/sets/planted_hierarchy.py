"""Vectors made of a parent feature and of one of its children: a hierarchy that is known exactly."""

import numpy as np
from jaxtyping import Float

from jaxsep.data.source import Arrays, Source


def load(
    *,
    num_train: int = 4000,
    num_test: int = 1000,
    dim: int = 32,
    num_parents: int = 6,
    num_children: int = 4,
    child_dim: int = 6,
    noise: float = 0.05,
    seed: int = 0,
) -> Source:
    """Rows x = a parent + b child + noise, with a ~ U(1, 2) and b ~ U(0.5, 1.5).

    Parents are orthogonal to one another. All children live in one subspace of few dimensions,
    orthogonal to every parent: a child is orthogonal to its parent, and children of different
    parents are correlated (conditionally orthogonal features). `features` float32 [dim],
    `parent` and `child` int32, children numbered 0 .. num_parents * num_children - 1.

    Args:
      num_train, num_test: rows.
      dim: of the rows, at least num_parents + child_dim.
      num_children: of each parent.
      child_dim: of the subspace that all children share.
      noise: standard deviation per entry.
      seed: of the features and of the rows.
    """
    for name, number in (('num_train', num_train), ('num_test', num_test)):
        if number < 1:
            raise ValueError(f'{name}: expected at least 1 row, got {number}')
    if dim < num_parents + child_dim:
        raise ValueError(
            f'dim: expected at least num_parents + child_dim = {num_parents + child_dim}, got {dim}'
        )
    parents, children = features(dim, num_parents, num_children, child_dim, seed)
    rng = np.random.default_rng([seed, 1])
    splits = {}
    for split, number in (('train', num_train), ('test', num_test)):
        child = rng.integers(len(children), size=number)
        parent = child // num_children
        a, b = rng.uniform(1, 2, (number, 1)), rng.uniform(0.5, 1.5, (number, 1))
        x = a * parents[parent] + b * children[child] + rng.normal(0, noise, (number, dim))
        splits[split] = Arrays(
            {
                'features': x.astype(np.float32),
                'parent': parent.astype(np.int32),
                'child': child.astype(np.int32),
            }
        )
    labels = {
        'parent': tuple(f'parent {p}' for p in range(num_parents)),
        'child': tuple(f'child {c}' for c in range(len(children))),
    }
    return Source(splits, labels, 'sums of a parent feature and one of its children, planted')


def features(
    dim: int, num_parents: int, num_children: int, child_dim: int, seed: int
) -> tuple[Float[np.ndarray, 'p d'], Float[np.ndarray, 'c d']]:
    """The planted features, rows of unit norm: parents, and children in the order of their parents."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(dim, num_parents + child_dim)))
    parents, subspace = basis.T[:num_parents], basis.T[num_parents:]
    children = rng.normal(size=(num_parents * num_children, child_dim)) @ subspace
    return parents, children / np.linalg.norm(children, axis=1, keepdims=True)
