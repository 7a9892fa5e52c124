"""Canonical correlation analysis: the directions in which two descriptions of the same things agree.

What `jaxsep.metrics.similarity.cca` measures, as maps that can be applied to new rows.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, matmul


class Cca(NamedTuple):
    """Two affine maps into a common space, where matching rows correlate coordinate by coordinate.

    Attributes:
      x_map, y_map: columns are canonical directions, largest correlation first; the largest entry
        of each column of x_map by absolute value is positive.
      x_mean, y_mean: of the rows it was fitted on, subtracted from any row.
      correlations: of all directions, not only of the k kept.
    """

    x_map: Float[Array, 'p k']
    y_map: Float[Array, 'q k']
    x_mean: Float[Array, 'p']
    y_mean: Float[Array, 'q']
    correlations: Float[Array, 'r']


def cca_fit(x: Float[Array, 'n p'], y: Float[Array, 'm q'], k: int, ridge: float = 0.0) -> Cca:
    """The k leading canonical directions of two sets of paired rows.

    Sxx^-1/2 Sxy Syy^-1/2 = U diag(rho) V^T with covariances over n - 1; x_map = Sxx^-1/2 U[:, :k],
    y_map = Syy^-1/2 V[:, :k], so that the canonical variates have unit variance (without ridge).
    Computed from the singular values of the centred rows, never from inverse covariances;
    directions in which a side does not vary are left out. Constant sides give zero maps.

    With n near p + q everything correlates with everything: use a ridge, and judge on other rows.

    Args:
      k: at most min(p, q).
      ridge: share of the mean variance of a side's coordinates that is added to all of its
        variances.

    Source: Hotelling 1936; agrees with google/svcca for ridge 0
    """
    if len(x) != len(y):
        raise ValueError(f'y: expected as many rows as x has ({len(x)}), got {len(y)}')
    if not 1 <= k <= min(x.shape[1], y.shape[1]):
        raise ValueError(f'k: expected 1 to {min(x.shape[1], y.shape[1])} directions, got {k}')
    if not ridge >= 0:
        raise ValueError(f'ridge: expected 0 or more, got {ridge}')
    x_mean, x_basis, x_scale, x_white = whitening(x, ridge)
    y_mean, y_basis, y_scale, y_white = whitening(y, ridge)
    shared = matmul((x_basis * x_scale[None, :]).T, y_basis * y_scale[None, :])
    left, correlations, right = jnp.linalg.svd(shared, full_matrices=False)
    # Fewer rows than coordinates leave fewer directions: the rest of the maps are zeros.
    missing = max(k - left.shape[1], 0)
    x_map = jnp.pad(matmul(x_white, left[:, :k]), ((0, 0), (0, missing)))
    y_map = jnp.pad(matmul(y_white, right[:k].T), ((0, 0), (0, missing)))
    largest = jnp.take_along_axis(x_map, jnp.argmax(jnp.abs(x_map), axis=0)[None, :], axis=0)
    sign = jnp.where(largest < 0, -1.0, 1.0)
    return Cca(x_map * sign, y_map * sign, x_mean, y_mean, jnp.clip(correlations, 0.0, 1.0))


def whitening(
    x: Float[Array, 'n p'], ridge: float
) -> tuple[Float[Array, 'p'], Float[Array, 'n r'], Float[Array, 'r'], Float[Array, 'p r']]:
    """Mean; orthonormal basis of the centred rows' columns; how far the ridge shrinks each
    direction (1 without); and the map that whitens, V (s^2 / (n - 1) + ridge)^-1/2.
    """
    x = in_float32(x)
    mean = jnp.mean(x, axis=0)
    basis, scale, directions = jnp.linalg.svd(x - mean[None, :], full_matrices=False)
    rounding = jnp.finfo(x.dtype).eps * max(x.shape)
    varies = scale > rounding * jnp.max(scale, initial=0.0)
    variance = jnp.square(scale) / max(len(x) - 1, 1)
    shrunk = variance + ridge * jnp.sum(variance) / x.shape[1]
    root = jnp.where(varies, jnp.sqrt(jnp.where(varies, shrunk, 1.0)), jnp.inf)
    kept = jnp.where(varies, jnp.sqrt(variance) / jnp.where(varies, root, 1.0), 0.0)
    return mean, basis, kept, directions.T / root[None, :]


def project_x(fitted: Cca, x: Float[Array, 'n p']) -> Float[Array, 'n k']:
    """Rows of the first kind in the common space, (x - mean) x_map."""
    return matmul(in_float32(x) - fitted.x_mean[None, :], fitted.x_map)


def project_y(fitted: Cca, y: Float[Array, 'n q']) -> Float[Array, 'n k']:
    """Rows of the second kind in the common space, (y - mean) y_map."""
    return matmul(in_float32(y) - fitted.y_mean[None, :], fitted.y_map)
