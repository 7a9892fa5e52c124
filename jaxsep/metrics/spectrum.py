"""How many directions a representation uses, read off its singular values.

Every measure takes the singular values, so that one decomposition feeds all. Which
decomposition is part of each definition: `rankme`, `stable_rank` and `numerical_rank` are
defined on the matrix as it is, `effective_rank`, `effective_rank_of_covariance` and
`participation_ratio` on the centred one. None depends on the scale of the data.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops import geometry

# Part of the definition of RankMe (Garrido et al. 2023, eq. 1).
_RANKME_CONSTANT = 1e-7


@functools.partial(jax.jit, static_argnames='centered')
def singular_values(x: Float[Array, 'n d'], centered: bool) -> Float[Array, 'r']:
    """Singular values of a matrix of points, largest first, by a decomposition of x itself.

    r = min(n, d). Absolute error near the precision of the dtype times the largest value,
    the best that can be had; for many points see `gram_singular_values`.

    Args:
      centered: subtract the mean point first.
    """
    x = geometry.in_float32(x)
    if centered:
        x = x - x[:1]  # coinciding points become zeros exactly, which x - mean does not give
        x = x - jnp.mean(x, axis=0, keepdims=True)
    return jnp.linalg.svd(x, compute_uv=False)


@jax.jit
def gram_singular_values(gram: Float[Array, 'd d']) -> Float[Array, 'd']:
    """Singular values of x, largest first, from the d x d product x^T x.

    The square roots of the eigenvalues, negative ones (rounding) taken as 0. One pass over
    the points makes x^T x, so that n does not matter any more. The price is half of the
    digits: values below sqrt(precision) of the largest (1.5e-8 in float64, 3e-4 in float32)
    are noise. Sum the products in float64. With n < d the last d - n values are such noise.

    >>> import jax.numpy as jnp
    >>> gram_singular_values(jnp.diag(jnp.array([4.0, 9.0]))).tolist()
    [3.0, 2.0]
    """
    eigenvalues = jnp.linalg.eigvalsh(geometry.in_float32(gram))
    return jnp.sqrt(jnp.maximum(eigenvalues[::-1], 0.0))


@jax.jit
def rankme(singular_values: Float[Array, 'r']) -> Float[Array, '']:
    """RankMe: the exponential of the entropy of the singular values, uncentred.

    exp(-sum_k p_k log p_k) with p_k = s_k / sum(s) + 1e-7, s of the matrix as it is (not
    centred). 0 for a zero matrix. Garrido et al. 2023, https://arxiv.org/abs/2210.02885.
    """
    s = geometry.in_float32(singular_values)
    p = _shares(s) + _RANKME_CONSTANT
    return jnp.where(_nonzero(s), jnp.exp(-jnp.sum(p * jnp.log(p))), 0.0)


@jax.jit
def effective_rank(singular_values_of_centered: Float[Array, 'r']) -> Float[Array, '']:
    """The exponential of the entropy of the singular values of the centred matrix.

    exp(-sum_k p_k log p_k) with p_k = s_k / sum(s) and 0 log 0 = 0. 0 if all points
    coincide. Roy and Vetterli 2007, The effective rank, EUSIPCO.

    >>> import jax.numpy as jnp
    >>> round(float(effective_rank(jnp.array([2.0, 2.0, 0.0]))), 5)
    2.0
    """
    s = geometry.in_float32(singular_values_of_centered)
    return jnp.where(_nonzero(s), jnp.exp(_entropy(_shares(s))), 0.0)


@jax.jit
def effective_rank_of_covariance(
    singular_values_of_centered: Float[Array, 'r'],
) -> Float[Array, '']:
    """The exponential of the entropy of the eigenvalues of the covariance.

    As `effective_rank` with p_k = s_k^2 / sum(s^2): variances in place of standard
    deviations, hence never larger. 0 if all points coincide.
    """
    return effective_rank(_relative_squares(singular_values_of_centered))


@jax.jit
def participation_ratio(singular_values_of_centered: Float[Array, 'r']) -> Float[Array, '']:
    """The number of principal components that share the variance.

    (sum_k l_k)^2 / sum_k l_k^2 with l_k = s_k^2, the variances along the principal axes up to
    a factor; d for an isotropic cloud, 1 on a line, 0 if all points coincide.
    Gao et al. 2017, https://doi.org/10.1101/214262.
    """
    shares = _shares(_relative_squares(singular_values_of_centered))
    return _divide(1.0, jnp.sum(jnp.square(shares)))


@jax.jit
def stable_rank(singular_values: Float[Array, 'r']) -> Float[Array, '']:
    """||x||_F^2 / ||x||_2^2 = sum_k s_k^2 / max_k s_k^2; 0 for a zero matrix."""
    return jnp.sum(_relative_squares(singular_values))


@functools.partial(jax.jit, static_argnames='fraction')
def numerical_rank(singular_values: Float[Array, 'r'], fraction: float = 0.95) -> Int[Array, '']:
    """How many directions hold more than a fraction of the squared singular values.

    The smallest r with sum_{k <= r} s_k^2 > fraction * sum_k s_k^2; 0 for a zero matrix.

    Args:
      singular_values: largest first.
      fraction: in [0, 1). Squares, not the values themselves: compare `svcca`.
    """
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f'fraction: expected 0 <= fraction < 1, got {fraction}')
    squares = _relative_squares(singular_values)
    reached = jnp.cumsum(squares) > fraction * jnp.sum(squares)
    first = jnp.minimum(jnp.sum(~reached) + 1, squares.size)
    return jnp.where(_nonzero(squares), first, 0).astype(jnp.int32)


def _nonzero(values: Float[Array, 'r']) -> Array:
    return jnp.max(values, initial=0.0) > 0


def _divide(numerator: Array | float, denominator: Array) -> Array:
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)


def _shares(values: Float[Array, 'r']) -> Float[Array, 'r']:
    """Scaled to sum 1; zeros stay zeros."""
    return _divide(values, jnp.sum(values))


def _relative_squares(values: Float[Array, 'r']) -> Float[Array, 'r']:
    """(s / max s)^2: the squares of very large or small values stay finite."""
    values = geometry.in_float32(values)
    return jnp.square(_divide(values, jnp.max(values, initial=0.0)))


def _entropy(p: Float[Array, 'r']) -> Float[Array, '']:
    positive = p > 0
    return -jnp.sum(jnp.where(positive, p * jnp.log(jnp.where(positive, p, 1.0)), 0.0))
