"""Losses on the statistics of features over a batch: Barlow Twins and VICReg.

They compare features with features, not rows with rows, so that on several devices only
means and products of the size of the features travel: with `axis_name` the moments are
summed over the devices and every device returns the value of the whole batch. All moments
are of centred rows; E[x^2] - E[x]^2 would lose every digit where the mean is large.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32, sqrt
from jaxsep.ops.masks import off_diagonal


def cross_correlation(
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b e'],
    *,
    eps: float = 1e-5,
    axis_name: str | None = None,
) -> Float[Array, 'd e']:
    """The correlation of every feature of one view with every feature of the other.

    C_de = mean_i x_id y_ie, x = (z1 - mean)/sqrt(variance + eps) over the rows, y the same of
    z2; the variances are the biased ones, as in batch normalisation.

    Empty case: 0 without rows; a constant feature correlates with nothing.

    >>> import jax.numpy as jnp
    >>> z = jnp.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    >>> print(cross_correlation(z, z).round(3))
    [[ 1. -1.]
     [-1.  1.]]

    Source: Zbontar 2021, equation 2, https://arxiv.org/abs/2103.03230; its code normalises
    by `BatchNorm1d(affine=False)`.
    """
    total = _num_rows(z1, axis_name)
    x, y = (_standardized(z, total, eps, axis_name) for z in (z1, z2))
    return _product(x, y, axis_name) / max(total, 1)


def barlow_twins(
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    off_diagonal_weight: Scalar = 5e-3,
    scale: Scalar = 1.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """How far the cross-correlation of two views is from the identity.

    scale ( sum_d (C_dd - 1)^2 + off_diagonal_weight sum_{d != e} C_de^2 ), C as of
    `cross_correlation`. solo-learn has scale 0.025.

    Empty case: fewer than two rows have no correlation and give 0 with zero gradient.

    Source: Zbontar 2021, equation 1, https://arxiv.org/abs/2103.03230
    """
    if _num_rows(z1, axis_name) < 2:
        return _zero(z1)
    correlation = cross_correlation(z1, z2, axis_name=axis_name)
    invariance = jnp.sum(jnp.square(jnp.diagonal(correlation) - 1.0))
    return scale * (invariance + off_diagonal_weight * _off_diagonal_squares(correlation))


def vicreg(
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    invariance_weight: Scalar = 25.0,
    variance_weight: Scalar = 25.0,
    covariance_weight: Scalar = 1.0,
    eps: float = 1e-4,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Variance-invariance-covariance regularisation of two views.

    invariance_weight s(z1, z2) + variance_weight (v(z1) + v(z2))/2 + covariance_weight
    (c(z1) + c(z2)), with s, v, c of `invariance_term`, `variance_term`, `covariance_term`.
    The half is the code's; equation 6 and solo-learn are without, that is with twice the
    variance_weight.

    Empty case: 0 without rows; a single row has neither variance nor covariance.

    Source: Bardes 2022, equation 6, https://arxiv.org/abs/2105.04906, and
    https://github.com/facebookresearch/vicreg
    """
    invariance = invariance_term(z1, z2, axis_name=axis_name)
    variance = sum(variance_term(z, eps=eps, axis_name=axis_name) for z in (z1, z2))
    covariance = sum(covariance_term(z, axis_name=axis_name) for z in (z1, z2))
    return (
        invariance_weight * invariance
        + variance_weight * 0.5 * variance
        + covariance_weight * covariance
    )


def invariance_term(
    z1: Float[Array, 'b d'], z2: Float[Array, 'b d'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """The mean squared difference of two views over rows AND features.

    mean_{i,d} (z1_id - z2_id)^2. The paper's equation 5 is d times that.

    Empty case: 0.

    Source: Bardes 2022, https://github.com/facebookresearch/vicreg
    """
    squares = _sum_rows(jnp.square(in_float32(z1) - in_float32(z2)), axis_name)
    return jnp.sum(squares) / max(_num_rows(z1, axis_name) * z1.shape[1], 1)


def variance_term(
    z: Float[Array, 'b d'], *, eps: float = 1e-4, axis_name: str | None = None
) -> Float[Array, '']:
    """How much the standard deviations of the features fall short of 1.

    mean_d max(0, 1 - sqrt(Var_d + eps)), the unbiased variance over the rows.

    Empty case: fewer than two rows have no variance and give 0 with zero gradient.

    Source: Bardes 2022, equation 1, https://arxiv.org/abs/2105.04906
    """
    total = _num_rows(z, axis_name)
    if total < 2:
        return _zero(z)
    squares = _sum_rows(jnp.square(_centred(z, total, axis_name)), axis_name)
    deviation = sqrt(squares / (total - 1) + eps)
    return jnp.sum(jax.nn.relu(1.0 - deviation)) / max(z.shape[1], 1)


def covariance_term(z: Float[Array, 'b d'], *, axis_name: str | None = None) -> Float[Array, '']:
    """The squared covariances between different features, per feature.

    (1/d) sum_{d != e} Cov_de^2, the unbiased covariance over the rows.

    Empty case: fewer than two rows have no covariance and give 0 with zero gradient.

    Source: Bardes 2022, equations 3 and 4, https://arxiv.org/abs/2105.04906
    """
    total = _num_rows(z, axis_name)
    if total < 2:
        return _zero(z)
    z = _centred(z, total, axis_name)
    return _off_diagonal_squares(_product(z, z, axis_name) / (total - 1)) / max(z.shape[1], 1)


def _num_rows(z, axis_name):
    return z.shape[0] * (1 if axis_name is None else jax.lax.axis_size(axis_name))


def _sum_rows(values, axis_name):
    return devices.total(jnp.sum(values, axis=0, keepdims=True), axis_name)


def _product(x, y, axis_name):
    return devices.total(jnp.matmul(x.T, y, precision=jax.lax.Precision.HIGHEST), axis_name)


def _centred(z, total, axis_name):
    z = in_float32(z)
    return z - _sum_rows(z, axis_name) / max(total, 1)


def _standardized(z, total, eps, axis_name):
    z = _centred(z, total, axis_name)
    variance = _sum_rows(jnp.square(z), axis_name) / max(total, 1)
    # The double where of `sqrt`: a constant feature with eps = 0 becomes 0, not NaN.
    deviation = sqrt(variance + eps)
    return jnp.where(deviation > 0, z / jnp.where(deviation > 0, deviation, 1.0), 0.0)


def _off_diagonal_squares(matrix):
    # Squared after the choice: the gradient of an infinite square that is left out is NaN.
    return jnp.sum(jnp.square(jnp.where(off_diagonal(matrix.shape[0]), matrix, 0.0)))


def _zero(z):
    return jnp.zeros((), in_float32(z).dtype)
