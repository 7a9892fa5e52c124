"""Log-determinants of I + a weighted Gram matrix, one or many at a time.

They measure how many directions points fill, and how far. By Cholesky factors of I + ..., whose
eigenvalues are at least 1, so that coinciding points, zero points and zero weights are harmless.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.chunked import ChunkSize, map_rows
from jaxsep.ops.devices import varying_like
from jaxsep.ops.geometry import in_float32

HIGHEST = jax.lax.Precision.HIGHEST


@jax.custom_jvp
def log_det(matrix: Float[Array, '*b d d']) -> Float[Array, '*b']:
    """Log det of symmetric positive definite matrices.

    The gradient is the inverse, from the same Cholesky factor. NaN where a matrix is not
    positive definite. Only the symmetric part of a change counts.
    """
    return _log_det_of_factor(jnp.linalg.cholesky(matrix))


@log_det.defjvp
def _log_det_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    factor = jnp.linalg.cholesky(matrix)
    inverse = _inverse_of_factor(factor)
    inverse = jnp.matmul(jnp.swapaxes(inverse, -1, -2), inverse, precision=HIGHEST)
    return _log_det_of_factor(factor), jnp.sum(inverse * change, axis=(-1, -2))


def _inverse_of_factor(factor):
    """The inverse of lower triangular matrices, by forward substitution of a row of all at a time.

    Solving with LAPACK takes one matrix after the other, on threads that wait for one another: on
    CPU at least twice the time for hundreds of 64 x 64, and far more where cores are shared.
    """
    d = factor.shape[-1]
    eye = jnp.broadcast_to(jnp.eye(d, dtype=factor.dtype), factor.shape)

    def add_row(i, inverse):
        above = jnp.einsum('...k,...kj->...j', factor[..., i, :], inverse, precision=HIGHEST)
        row = (eye[..., i, :] - above) / factor[..., i, i, None]
        return inverse.at[..., i, :].set(row)

    return jax.lax.fori_loop(0, d, add_row, varying_like(jnp.zeros_like(factor), factor))


def _log_det_of_factor(factor):
    diagonal = jnp.diagonal(factor, axis1=-2, axis2=-1)
    return 2.0 * jnp.sum(jnp.log(diagonal), axis=-1)


def log_det_of_groups(
    x: Float[Array, 'n d'],
    weights: Float[Array, 'c n'],
    scales: Float[Array, 'c'],
    chunk_size: ChunkSize = 256,
) -> Float[Array, 'c']:
    """Log det(I + s_j sum_i W_ji x_i x_i^T) of every group j of weighted points.

    c matrices of d x d are made, `chunk_size` of them at a time, from the n x d x d products of
    each point with itself. Differentiable in all three arrays; chunks are computed again for the
    gradient.

    Args:
      x: the points.
      weights: non-negative, of every point (columns) in every group (rows).
      scales: non-negative, one per group.
      chunk_size: groups at a time; None: all.

    >>> import jax.numpy as jnp
    >>> found = log_det_of_groups(jnp.eye(2), jnp.array([[1.0, 1.0], [0.0, 0.0]]), jnp.ones(2))
    >>> print(found.round(3))  # log det(2 I) and log det(I)
    [1.386 0.   ]
    """
    x, weights, scales = (in_float32(v) for v in (x, weights, scales))
    n, d = x.shape
    products = (x[:, :, None] * x[:, None, :]).reshape(n, d * d)
    eye = jnp.eye(d, dtype=x.dtype)[None, :, :]

    def of_some(weights, scales):
        grams = jnp.matmul(weights, products, precision=HIGHEST).reshape(-1, d, d)
        return log_det(eye + scales[:, None, None] * grams)

    if isinstance(chunk_size, int) and chunk_size >= len(weights):
        chunk_size = None  # one chunk need not be computed again
    return map_rows(of_some, chunk_size, weights, scales)
