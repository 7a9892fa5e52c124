"""Cluster indices: do points lie with their own class, and apart from the others.

Silhouette, Davies-Bouldin and Calinski-Harabasz, with the conventions of
scikit-learn. A class that no point carries is ignored.

References: Rousseeuw, 1987, https://doi.org/10.1016/0377-0427(87)90125-7; Davies &
Bouldin, 1979; Calinski & Harabasz, 1974.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.metrics.scatter import class_counts, class_means, fisher_trace_ratio
from jaxsep.ops.extremes import reduce_max, reduce_min
from jaxsep.ops.geometry import (
    direct_squared_distances,
    in_float32,
    l2_normalize,
    norm,
    power_of_two,
    sqrt,
    squared_distances,
)

METRICS = ('euclidean', 'cosine')


@functools.partial(jax.jit, static_argnames=('num_classes', 'metric', 'chunk_size'))
def silhouette_samples(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_classes: int,
    metric: str = 'euclidean',
    chunk_size: int = 256,
) -> Float[Array, 'n']:
    """Per point, how much closer its own class is than the nearest other class.

    s_i = (b_i - a_i) / max(a_i, b_i), with a_i the mean distance to the other members
    of the class of i, b_i the smallest mean distance to another class. 0 for the only
    member of a class, and where there is no other class. The cosine distance is
    1 - z_i . z_j (1 at a zero vector). Rows are taken `chunk_size` at a time, so the
    memory grows with n, not with n^2.

    Distances come from matrix products: those within a class from the points minus
    their class mean, so that tight classes far apart keep their digits in float32.

    Args:
      metric: 'euclidean' or 'cosine'.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[0.0], [1.0], [4.0]])
      >>> [round(float(s), 3) for s in silhouette_samples(x, jnp.array([0, 0, 1]), 2)]
      [0.75, 0.667, 0.0]
    """
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    cosine = metric == 'cosine'
    x = l2_normalize(x) if cosine else in_float32(x) / power_of_two(x)
    zero = jnp.all(x == 0, axis=-1)
    x = x - jnp.mean(x, axis=0, keepdims=True)
    residuals = x - class_means(x, labels, num_classes)[labels]
    counts = class_counts(labels, num_classes, x.dtype)
    members = jax.nn.one_hot(labels, num_classes, dtype=x.dtype)

    def distances(row, keys, row_is_zero):
        squares = squared_distances(row[None, :], keys)[0]
        if not cosine:
            return sqrt(squares)
        return jnp.where(row_is_zero | zero, 1.0, 0.5 * squares)

    def sample(index):
        label, others = labels[index], jnp.arange(labels.shape[0]) != index
        own = (labels == label) & others
        own_distances = distances(residuals[index], residuals, zero[index])
        within = jnp.sum(jnp.where(own, own_distances, 0.0))
        within = within / jnp.maximum(counts[label] - 1, 1)
        sums = jnp.matmul(distances(x[index], x, zero[index]), members)
        elsewhere = (counts > 0) & (jnp.arange(num_classes) != label)
        means = jnp.where(elsewhere, sums / jnp.maximum(counts, 1), jnp.inf)
        nearest = reduce_min(means)
        larger = jnp.maximum(within, nearest)
        usable = (counts[label] > 1) & jnp.any(elsewhere) & (larger > 0)
        return jnp.where(usable, (nearest - within) / jnp.where(usable, larger, 1.0), 0.0)

    chunk_size = max(min(chunk_size, labels.shape[0]), 1)
    return jax.lax.map(sample, jnp.arange(labels.shape[0]), batch_size=chunk_size)


def silhouette(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int, metric: str = 'euclidean'
) -> Float[Array, '']:
    """The mean of `silhouette_samples`: 1 for tight classes far apart, below 0 for mixed ones."""
    return jnp.mean(silhouette_samples(x, labels, num_classes, metric))


@functools.partial(jax.jit, static_argnames=('num_classes',))
def davies_bouldin(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """How much each class overlaps with its most similar other class; smaller is better.

    mean_c max_{e != c} (s_c + s_e) / ||mu_c - mu_e||, with s_c the mean distance of the
    members of c to mu_c. Infinite where two classes share their mean, as long as they
    have any width; 0 with fewer than two classes.
    """
    x = in_float32(x) / power_of_two(x)
    x = x - jnp.mean(x, axis=0, keepdims=True)
    means = class_means(x, labels, num_classes)
    counts = class_counts(labels, num_classes, x.dtype)
    widths = jax.ops.segment_sum(norm(x - means[labels]), labels, num_classes)
    widths = widths / jnp.maximum(counts, 1)
    apart = sqrt(direct_squared_distances(means, means))
    sums = widths[:, None] + widths[None, :]
    ratios = sums / jnp.where(apart > 0, apart, 1.0)
    ratios = jnp.where(apart > 0, ratios, jnp.where(sums > 0, jnp.inf, 0.0))
    present = counts > 0
    other = present[None, :] & ~jnp.eye(num_classes, dtype=bool)
    worst = reduce_max(jnp.where(other, ratios, 0.0), axis=-1)
    return jnp.sum(jnp.where(present, worst, 0.0)) / jnp.maximum(jnp.sum(present), 1)


@functools.partial(jax.jit, static_argnames=('num_classes',))
def calinski_harabasz(
    x: Float[Array, 'n d'], labels: Int[Array, 'n'], num_classes: int
) -> Float[Array, '']:
    """The F statistic of the class means: (tr S_B / (C - 1)) / (tr S_W / (n - C)).

    C counts the classes that have points. Grows with n: compare only sets of the same
    size. 0 with one class, or with as many classes as points. Infinite where every class is a point.
    """
    present = jnp.sum(class_counts(labels, num_classes) > 0)
    free = labels.shape[0] - present
    ratio = fisher_trace_ratio(x, labels, num_classes)
    scaled = ratio * free.astype(ratio.dtype) / jnp.maximum(present - 1, 1).astype(ratio.dtype)
    return jnp.where((present > 1) & (free > 0), scaled, 0.0)
