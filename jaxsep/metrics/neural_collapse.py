"""Neural collapse: how close last-layer features and a linear classifier are to a simplex.

At the end of training the features of a class shrink to their mean (NC1), the centred means
form a simplex equiangular tight frame (ETF) (NC2), the classifier's rows become the means (NC3),
and the classifier decides by the nearest mean (NC4). Papyan et al. 2020,
https://arxiv.org/abs/2008.08186; the measures are those of Zhu et al. 2021,
https://arxiv.org/abs/2105.02375. 0 is full collapse in all of them.

Class means are rows; the originals write them as columns. A class without points has a
zero row among the centred means and takes no part in NC1 and NC4.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import geometry

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.partial(jax.jit, static_argnames='num_classes')
def centered_class_means(
    features: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, 'k d']:
    """mu_c - mu_G, with mu_G the mean of all features; zero for a class without points.

    The rows of the matrix M^T in the measures of this module.
    """
    return _class_means(features, labels, num_classes)[0]


@functools.partial(jax.jit, static_argnames=('num_classes', 'rcond'))
def within_class_variability(
    features: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_classes: int,
    rcond: float = 1e-10,
) -> Float[Array, '']:
    """NC1: the variance within classes, measured in units of that between the class means.

    tr(Sigma_W pinv(Sigma_B)) / C with Sigma_W = (1/n) sum_i (h_i - mu_{y_i})(h_i - mu_{y_i})^T
    and Sigma_B = (1/C) sum_c (mu_c - mu_G)(mu_c - mu_G)^T, C the number of classes that have
    points. The singular vectors v_r and values s_r of the C x d matrix of centred means give
    it without a d x d matrix: sum_r mean_i <h_i - mu_{y_i}, v_r>^2 / s_r^2. 0 if the means of
    the classes coincide. Only what varies along the span of the means is seen.

    Args:
      rcond: eigenvalues of Sigma_B below this fraction of the largest count as 0; Sigma_B has
        rank C - 1 at most. Rounding of the means is 1e-14 of it even in float32.
    """
    features = geometry.in_float32(features) / geometry.power_of_two(features)
    means, _, residuals = _class_means(features, labels, num_classes)
    _, scale, directions = jnp.linalg.svd(means, full_matrices=False)
    kept = scale > rcond**0.5 * jnp.max(scale, initial=0.0)
    projections = jnp.matmul(residuals, directions.T, precision=_HIGHEST)
    variances = jnp.sum(jnp.square(projections), axis=0) / max(features.shape[0], 1)
    # Sigma_B has eigenvalues s_r^2 / C, and the sum is divided by C: the two cancel.
    ratios = jnp.where(kept, variances / jnp.square(jnp.where(kept, scale, 1.0)), 0.0)
    return jnp.sum(ratios)


@jax.jit
def etf_distance_of_weights(weights: Float[Array, 'k d']) -> Float[Array, '']:
    """NC2 of the classifier: how far its rows are from a simplex ETF.

    || W W^T / ||W W^T||_F - (I - 1 1^T / C) / sqrt(C - 1) ||_F, in [0, 2].

    Args:
      weights: one row per class, at least two.
    """
    weights = _unit(geometry.in_float32(weights))
    return _etf_distance(jnp.matmul(weights, weights.T, precision=_HIGHEST))


@jax.jit
def etf_distance_of_products(
    weights: Float[Array, 'k d'], centered_means: Float[Array, 'k d']
) -> Float[Array, '']:
    """NC3: how far the classifier's responses to the class means are from a simplex ETF.

    || W M / ||W M||_F - (I - 1 1^T / C) / sqrt(C - 1) ||_F with M the centred means as columns,
    in [0, 2].
    """
    weights, means = _unit(weights), _unit(centered_means)
    return _etf_distance(jnp.matmul(weights, means.T, precision=_HIGHEST))


@jax.jit
def bias_cancellation(
    weights: Float[Array, 'k d'], bias: Float[Array, 'k'], global_mean: Float[Array, 'd']
) -> Float[Array, '']:
    """||W mu_G + b||_2: what the bias leaves of the response to the mean feature."""
    weights, bias, mean = (geometry.in_float32(v) for v in (weights, bias, global_mean))
    return geometry.norm(jnp.matmul(weights, mean, precision=_HIGHEST) + bias)


@jax.jit
def equinorm(vectors: Float[Array, 'k d']) -> Float[Array, '']:
    """How unequal the lengths are: their standard deviation (biased) over their mean.

    For the centred class means or the rows of the classifier. 0 if all are zero.
    """
    norms = geometry.norm(vectors)
    norms = norms / geometry.power_of_two(norms)
    mean = jnp.mean(norms)
    deviation = geometry.sqrt(jnp.mean(jnp.square(norms - mean)))
    return jnp.where(mean > 0, deviation / jnp.where(mean > 0, mean, 1.0), 0.0)


@jax.jit
def equiangularity(vectors: Float[Array, 'k d']) -> tuple[Float[Array, ''], Float[Array, '']]:
    """How unequal the angles between pairs are, and how far from the widest possible.

    Over the cosines of all pairs of different rows: their standard deviation (biased), and the
    mean of |cos + 1 / (C - 1)|, where -1 / (C - 1) is the cosine in a simplex of C vectors.

    Args:
      vectors: the centred class means or the rows of the classifier, at least two.
    """
    num_classes = vectors.shape[0]
    _require_two_classes('vectors', num_classes)
    directions = geometry.l2_normalize(vectors)
    cosines = jnp.matmul(directions, directions.T, precision=_HIGHEST)
    different = ~jnp.eye(num_classes, dtype=bool)
    spread = jnp.std(cosines, where=different)
    return spread, jnp.mean(jnp.abs(cosines + 1.0 / (num_classes - 1)), where=different)


@jax.jit
def self_duality(
    weights: Float[Array, 'k d'], centered_means: Float[Array, 'k d']
) -> Float[Array, '']:
    """How far the classifier is from the class means, both scaled to Frobenius norm 1.

    || W / ||W||_F - M^T / ||M||_F ||_F^2 = 2 - 2 <W, M^T> / (||W||_F ||M||_F), in [0, 4].
    """
    return jnp.sum(jnp.square(_unit(weights) - _unit(centered_means)))


@jax.jit
def nearest_mean_mismatch(
    features: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    weights: Float[Array, 'k d'],
    bias: Float[Array, 'k'],
) -> Float[Array, '']:
    """NC4: the share of points where the classifier and the nearest class mean disagree.

    argmax_c (<w_c, h> + b_c) against argmin_c ||h - mu_c||; ties go to the smallest class.
    0 without points.
    """
    features = geometry.in_float32(features)
    means, present, _ = _class_means(features, labels, weights.shape[0])
    logits = jnp.matmul(features, geometry.in_float32(weights).T, precision=_HIGHEST)
    decided = jnp.argmax(logits + geometry.in_float32(bias)[None, :], axis=1)
    power = geometry.power_of_two(features)
    distances = geometry.squared_distances(_centered(features) / power, means / power)
    nearest = jnp.argmin(jnp.where(present[None, :], distances, jnp.inf), axis=1)
    return jnp.sum(decided != nearest) / jnp.asarray(max(labels.size, 1), features.dtype)


def _require_two_classes(name: str, num_classes: int) -> None:
    if num_classes < 2:
        raise ValueError(f'{name}: expected at least 2 rows, one per class, got {num_classes}')


def _centered(features: Float[Array, 'n d']) -> Float[Array, 'n d']:
    features = features - features[:1]  # coinciding points become zeros exactly
    return features - jnp.sum(features, axis=0, keepdims=True) / max(features.shape[0], 1)


def _class_means(
    features: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> tuple[Float[Array, 'k d'], Bool[Array, 'k'], Float[Array, 'n d']]:
    """Centred class means, which classes have points, and each point minus its class mean."""
    features = geometry.in_float32(features)
    centered = _centered(features)
    counts = jax.ops.segment_sum(jnp.ones_like(centered[:, 0]), labels, num_classes)
    sums = jax.ops.segment_sum(centered, labels, num_classes)
    means = sums / jnp.maximum(counts, 1.0)[:, None]
    return means, counts > 0, centered - means[labels]


def _unit(matrix: Float[Array, 'k d']) -> Float[Array, 'k d']:
    """Frobenius norm 1; a zero matrix stays zero."""
    return geometry.l2_normalize(matrix.reshape(-1)).reshape(matrix.shape)


def _etf_distance(products: Float[Array, 'k k']) -> Float[Array, '']:
    num_classes = products.shape[0]
    _require_two_classes('weights', num_classes)
    simplex = jnp.eye(num_classes, dtype=products.dtype) - 1.0 / num_classes
    return geometry.norm((_unit(products) - simplex / (num_classes - 1) ** 0.5).reshape(-1))
