"""From one embedding space into another, by pairs that are known; and who belongs to whom then."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, Shaped

from jaxsep.ops.geometry import in_float32


def with_ones(x: Float[Array, 'n p']) -> Float[Array, 'n p+1']:
    """The rows with a 1 behind each: a linear map of them is an affine map of x."""
    x = in_float32(x)
    return jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)


def affine_align(x: Float[Array, 'n p'], y: Float[Array, 'm q']) -> Float[Array, 'p+1 q']:
    """The T that minimises ||[x, 1] T - y||; the last row is the shift.

    The one of least norm where several do, as with fewer pairs than coordinates.
    """
    return linear_align(with_ones(x), y)


def linear_align(x: Float[Array, 'n p'], y: Float[Array, 'm q']) -> Float[Array, 'p q']:
    """The T of least norm that minimises ||x T - y||, without a shift (Maniparambil et al., 2024)."""
    if len(x) != len(y):
        raise ValueError(f'y: expected as many rows as x has ({len(x)}), got {len(y)}')
    return jnp.linalg.lstsq(in_float32(x), in_float32(y))[0]


def apply_affine(transform: Float[Array, 'r q'], x: Float[Array, 'n p']) -> Float[Array, 'n q']:
    """[x, 1] T; the transform has a row more than x has columns."""
    return jnp.matmul(with_ones(x), transform, precision=jax.lax.Precision.HIGHEST)


def best_matching(scores: Shaped[np.ndarray, 'n n']) -> Int[np.ndarray, 'n']:
    """The column of each row in the one-to-one matching of largest total score; on the host.

    >>> best_matching(np.array([[3.0, 2.0], [2.0, 0.0]])).tolist()
    [1, 0]
    """
    return scipy.optimize.linear_sum_assignment(scores, maximize=True)[1]


def true_ranks(scores: Shaped[np.ndarray, 'n n']) -> Int[np.ndarray, 'n']:
    """How many columns score more than the true one, i for row i; ties count where they come first."""
    own = np.diagonal(scores)[:, None]
    earlier = np.tri(len(scores), k=-1, dtype=bool)
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
