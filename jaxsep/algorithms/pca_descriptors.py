"""Descriptors for retrieval: unit norm, principal components, whitening, unit norm, powers."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, l2_normalize, matmul


class Pca(NamedTuple):
    """Principal components, those of largest variance first.

    Attributes:
      mean: of the rows.
      components: unit vectors; their signs are arbitrary.
      variances: of the rows along each, with n - 1 in the denominator.
    """

    mean: Float[Array, 'd']
    components: Float[Array, 'k d']
    variances: Float[Array, 'k']


@functools.partial(jax.jit, static_argnames='num_components')
def fit_pca(x: Float[Array, 'n d'], num_components: int) -> Pca:
    """The first principal components of the rows, by singular values.

    Raises:
      ValueError: for more components than rows or features.
    """
    if not 1 <= num_components <= min(x.shape):
        raise ValueError(
            f'num_components: expected 1 to {min(x.shape)} of {x.shape[0]} rows with '
            f'{x.shape[1]} features, got {num_components}'
        )
    x = in_float32(x)
    mean = jnp.mean(x, axis=0)
    _, values, vectors = jnp.linalg.svd(x - mean[None, :], full_matrices=False)
    variances = jnp.square(values) / max(len(x) - 1, 1)
    return Pca(mean, vectors[:num_components], variances[:num_components])


def post_process(
    x: Float[Array, '*n d'], pca: Pca, power: float | int | Float[Array, ''] = 2.0
) -> Float[Array, '*n k']:
    """Unit norm, principal components by their standard deviations, unit norm, powers of the entries.

    The last is sign(v) |v|^power, entry by entry; the result has no unit norm unless the power is
    1. A component without variance gives 0, and so does a row without direction.

    Args:
      pca: of rows of unit norm.
      power: 2 in the paper; 0.5, the signed root, is usual elsewhere.

    Source: Sharif Razavian et al., 2014, section 4
    """
    x = l2_normalize(x)
    leading = (1,) * (x.ndim - 1) + (-1,)
    reduced = matmul(x - pca.mean.reshape(leading), pca.components.T)
    varies = pca.variances > 1e-10 * jnp.max(pca.variances, initial=0.0)
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, pca.variances, 1.0)), 0.0)
    v = l2_normalize(reduced * scale.reshape(leading))
    size = jnp.abs(v)
    return jnp.where(size > 0, jnp.sign(v) * jnp.where(size > 0, size, 1.0) ** power, 0.0)
