"""Directions as far apart as possible: the vertices of a regular simplex."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def simplex_vertices(num_vertices: int) -> Float[Array, 'k d']:
    """The vertices of a regular simplex around the origin, of unit norm: d = k - 1.

    Any two have the inner product -1 / (k - 1), the smallest that k directions can all have,
    and they sum to 0. The axes and one point more, (1 - sqrt(1 + d)) / d in every coordinate,
    are equally far apart; their mean is moved to the origin. Constants, computed in float64.

    Raises ValueError for fewer than two.

    >>> simplex_vertices(2).tolist()
    [[1.0], [-1.0]]

    Source: Biondi 2024; Pernici 2021, https://arxiv.org/abs/2103.15632
    """
    if num_vertices < 2:
        raise ValueError(f'num_vertices: expected at least 2, got {num_vertices}')
    d = num_vertices - 1
    points = np.concatenate([np.eye(d), np.full((1, d), (1.0 - np.sqrt(1.0 + d)) / d)])
    points -= points.mean(axis=0, keepdims=True)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return jnp.asarray(points, jnp.result_type(float))
