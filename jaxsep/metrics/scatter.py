"""How far classes lie apart, measured against how wide they are: Fisher's criteria.

Notation of the docstrings: points x_i [n, d], class c with n_c points and mean mu_c,
mean of all points mu. Scatter matrices are sums over points, not means. A class that
no point carries contributes nothing. A ratio whose denominator is 0 is infinite (the
classes have collapsed to points), or 0 where its numerator is 0 as well.

References: Fisher, 1936; Fukunaga, Introduction to Statistical Pattern Recognition,
1990, chapter 10; Ho & Basu, 2002, https://doi.org/10.1109/34.990132.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.extremes import reduce_max
from jaxsep.ops.geometry import direct_squared_distances, in_float32, power_of_two

HIGHEST = jax.lax.Precision.HIGHEST
_compiled = functools.partial(jax.jit, static_argnames=('num_classes',))


def class_counts(
    labels: Int[Array, 'n'], num_classes: int, dtype: jnp.dtype = jnp.float32
) -> Float[Array, 'k']:
    """The number of points of each class, as floats; labels outside [0, k) are not counted.

    Example:
      >>> import jax.numpy as jnp
      >>> class_counts(jnp.array([0, 2, 2]), 4).tolist()
      [1.0, 0.0, 2.0, 0.0]
    """
    return jax.ops.segment_sum(jnp.ones(labels.shape, dtype), labels, num_classes)


def class_means(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'k d']:
    """The mean of the points of each class; 0 for a class without points."""
    x = in_float32(x)
    counts = class_counts(labels, num_classes, x.dtype)
    return jax.ops.segment_sum(x, labels, num_classes) / jnp.maximum(counts, 1)[:, None]


def _centred(x):
    """The points minus their mean; a constant feature becomes exactly 0."""
    x = in_float32(x)
    x = x - x[:1]  # without it, the rounded mean of equal numbers need not be that number
    return x - jnp.mean(x, axis=0, keepdims=True)


def _residuals(x, labels, num_classes):
    """Centred points minus their class mean, class means of centred points, class counts."""
    x = _centred(x)
    means = class_means(x, labels, num_classes)
    return x - means[labels], means, class_counts(labels, num_classes, x.dtype)


def _in_range(x, labels, num_classes, axis=None):
    """`_residuals` with residuals and means in units of powers of two, and the quotient of the units.

    A ratio of squares times that of the squared units, `_ratio`, is the ratio at any scale.
    """
    residuals, means, counts = _residuals(x, labels, num_classes)
    within, between = power_of_two(residuals, axis), power_of_two(means, axis)
    return residuals / within, means / between, counts, between / within


def _ratio(numerator, denominator, units=1.0):
    """Numerator / denominator times units^2; infinite at positive / 0, and 0 at 0 / 0."""
    positive = denominator > 0
    quotient = numerator / jnp.where(positive, denominator, 1.0)
    quotient = jnp.where(quotient > 0, quotient * units * units, quotient)
    return jnp.where(positive, quotient, jnp.where(numerator > 0, jnp.inf, 0.0))


@_compiled
def within_scatter(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'd d']:
    """The scatter of the points around their class means.

    S_W = sum_c sum_{i in c} (x_i - mu_c)(x_i - mu_c)^T. Sums of squares must be representable.
    """
    residuals, _, _ = _residuals(x, labels, num_classes)
    return jnp.matmul(residuals.T, residuals, precision=HIGHEST)


@_compiled
def between_scatter(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'd d']:
    """The scatter of the class means around the mean of all points.

    S_B = sum_c n_c (mu_c - mu)(mu_c - mu)^T; large classes weigh more. Sums of squares must be
    representable.
    """
    _, means, counts = _residuals(x, labels, num_classes)
    return jnp.matmul(means.T, counts[:, None] * means, precision=HIGHEST)


@_compiled
def fisher_ratio_per_feature(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'd']:
    """Fisher's ratio of each feature alone.

    r_f = sum_c n_c (mu_cf - mu_f)^2 / sum_c sum_{i in c} (x_if - mu_cf)^2.
    A feature that is constant has ratio 0.
    """
    residuals, means, counts, units = _in_range(x, labels, num_classes, 0)
    between = jnp.sum(counts[:, None] * means * means, axis=0)
    return _ratio(between, jnp.sum(residuals * residuals, axis=0), units[0])


@_compiled
def fisher_trace_ratio(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """Scatter between the classes over scatter within them: tr S_B / tr S_W.

    Invariant to rotation and to one common scale. Larger is better.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[-3.0], [-1.0], [1.0], [3.0]])
      >>> float(fisher_trace_ratio(x, jnp.array([0, 0, 1, 1]), 2))
      4.0
    """
    residuals, means, counts, units = _in_range(x, labels, num_classes)
    between = jnp.sum(counts * jnp.sum(means * means, axis=-1))
    return _ratio(between, jnp.sum(residuals * residuals), jnp.squeeze(units))


@_compiled
def fisher_trace_ratio_balanced(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """The trace ratio in which every class weighs the same, whatever its size.

    tr B / tr W, with B = mean_c (mu_c - m)(mu_c - m)^T, m = mean_c mu_c, and W the mean
    over classes of their biased covariances; means over the classes that have points.
    """
    residuals, means, counts, units = _in_range(x, labels, num_classes)
    present = (counts > 0)[:, None]
    num_present = jnp.maximum(jnp.sum(present), 1).astype(means.dtype)
    middle = jnp.sum(means, axis=0, keepdims=True) / num_present  # an absent mean is 0
    between = jnp.sum(jnp.where(present, jnp.square(means - middle), 0.0)) / num_present
    within = jnp.sum(_variances(residuals, labels, counts)) / num_present
    return _ratio(between, within, jnp.squeeze(units))


def _variances(residuals, labels, counts):
    """The biased variance of each class and feature [k, d]; 0 for an absent class."""
    squares = jax.ops.segment_sum(jnp.square(residuals), labels, counts.shape[0])
    return squares / jnp.maximum(counts, 1)[:, None]


@_compiled
def fisher_trace(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """Fisher's criterion after whitening the classes: tr(pinv(S_W) S_B).

    Invariant to invertible linear maps. Needs more points than features: with n <= d,
    S_W is singular and the pseudo-inverse drops just the directions that separate best.
    Use float64: small eigenvalues of S_W decide.
    """
    x = in_float32(x) / power_of_two(x)
    inverse = jnp.linalg.pinv(within_scatter(x, labels, num_classes), hermitian=True)
    return jnp.sum(inverse * between_scatter(x, labels, num_classes))


def _generalised_eigenvalues(x, labels, num_classes):
    """Eigenvalues of (S_B, S_W + r tr(S_W) I), ascending; r = 1e-12, in float32 its epsilon."""
    x = in_float32(x) / power_of_two(x)
    within = within_scatter(x, labels, num_classes)
    between = between_scatter(x, labels, num_classes)
    eigenvalues, vectors = jnp.linalg.eigh(within)
    trace = jnp.trace(within)
    ridge = max(1e-12, float(jnp.finfo(within.dtype).eps)) * trace
    variances = jnp.where(trace > 0, jnp.maximum(eigenvalues, 0.0) + ridge, 1.0)
    whiten = vectors * jax.lax.rsqrt(variances)[None, :]
    whitened = jnp.matmul(
        jnp.matmul(whiten.T, between, precision=HIGHEST), whiten, precision=HIGHEST
    )
    values = jnp.maximum(jnp.linalg.eigvalsh(whitened), 0.0)
    return jnp.where(trace > 0, values, _ratio(values, jnp.zeros_like(values)))


@_compiled
def fisher_max_eigenvalue(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """Fisher's ratio along the one direction in which it is largest.

    The largest lambda with S_B v = lambda (S_W + r tr(S_W) I) v, with r = 1e-12 in
    float64 (the machine epsilon in float32) so that a singular S_W gives a finite value.
    """
    return _generalised_eigenvalues(x, labels, num_classes)[-1]


@_compiled
def fisher_logdet_ratio(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """Minus the logarithm of Wilks' lambda: log det(S_W + S_B) - log det S_W.

    Computed as sum_i log(1 + lambda_i) over the generalised eigenvalues of
    `fisher_max_eigenvalue`, which stays finite for a singular S_W.
    """
    return jnp.sum(jnp.log1p(_generalised_eigenvalues(x, labels, num_classes)))


@_compiled
def ho_basu_f1(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """The complexity measure F1: 1 / (1 + the largest Fisher ratio of a feature).

    Between 0 and 1; smaller means that one feature alone separates the classes.
    """
    return 1.0 / (1.0 + reduce_max(fisher_ratio_per_feature(x, labels, num_classes)))


@_compiled
def fisher_ratio_two_class(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int = 2
) -> Float[Array, 'd']:
    """The two-class Fisher ratio of each feature: (mu_1 - mu_0)^2 / (var_1 + var_0).

    Biased variances; both classes weigh the same. 0 where one class has no points.
    """
    if num_classes != 2:
        raise ValueError(f'fisher_ratio_two_class expects num_classes=2, got {num_classes}')
    residuals, means, counts, units = _in_range(x, labels, 2, 0)
    apart = jnp.square(means[1] - means[0])
    ratio = _ratio(apart, jnp.sum(_variances(residuals, labels, counts), axis=0), units[0])
    return jnp.where(jnp.all(counts > 0), ratio, 0.0)


@_compiled
def pairwise_fisher_ratio(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'k k']:
    """How well each pair of classes is separated: ||mu_a - mu_b||^2 / (tr Cov_a + tr Cov_b).

    Biased covariances; 0 on the diagonal and wherever a class has no points.
    """
    residuals, means, counts, units = _in_range(x, labels, num_classes)
    traces = jnp.sum(_variances(residuals, labels, counts), axis=-1)
    ratio = _ratio(direct_squared_distances(means, means), traces[:, None] + traces[None, :], units)
    present = counts > 0
    both = present[:, None] & present[None, :] & ~jnp.eye(num_classes, dtype=bool)
    return jnp.where(both, ratio, 0.0)
