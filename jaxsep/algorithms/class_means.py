"""Running means of the features of every class, and what is nearest to them.

The simplest continual learner: a frozen encoder and one mean per class. Sums and counts add up,
so neither the order of the rows nor how they came in batches or sessions changes anything but
the last digits of the sums (Janson et al., 2022, https://arxiv.org/abs/2210.04428).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import direct_squared_distances, in_float32, l2_normalize, sqrt


class ClassMeans(NamedTuple):
    """What is remembered of the rows seen so far.

    Attributes:
      sum: of the rows of each class.
      count: how many there were.
    """

    sum: Float[Array, 'k d']
    count: Int[Array, 'k']


def empty(num_classes: int, num_features: int) -> ClassMeans:
    """Nothing seen yet, of `num_classes` classes."""
    return ClassMeans(jnp.zeros((num_classes, num_features)), jnp.zeros(num_classes, jnp.int32))


def update(
    state: ClassMeans,
    features: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    *,
    normalize: bool = True,
) -> ClassMeans:
    """Adds rows to the sums of their classes.

    Args:
      features: scaled to unit norm first, if `normalize`; a zero row then adds nothing but its
        count.
      labels: class numbers; rows with a number outside 0 .. k - 1 are left out.
    """
    rows = l2_normalize(features) if normalize else in_float32(features)
    valid = (labels >= 0) & (labels < len(state.count))
    place = jnp.where(valid, labels, len(state.count))
    total = jax.ops.segment_sum(rows, place, len(state.count) + 1)[:-1]
    count = jax.ops.segment_sum(valid.astype(jnp.int32), place, len(state.count) + 1)[:-1]
    return ClassMeans(state.sum + total, state.count + count)


def merge(a: ClassMeans, b: ClassMeans) -> ClassMeans:
    """What two learners saw, together: sums and counts add up."""
    return ClassMeans(a.sum + b.sum, a.count + b.count)


def means(state: ClassMeans) -> Float[Array, 'k d']:
    """The mean row of each class, NOT scaled to unit norm; zeros for a class without rows."""
    return state.sum / jnp.maximum(state.count, 1)[:, None]


def seen(state: ClassMeans) -> Bool[Array, 'k']:
    """The classes that had at least one row."""
    return state.count > 0


def scores(
    state: ClassMeans, features: Float[Array, 'n d'], metric: str = 'euclidean'
) -> Float[Array, 'n k']:
    """How near each row, scaled to unit norm, is to each class; -inf for classes not seen.

    'euclidean': minus the distance to the mean as it is. Means of spread-out classes are
    shorter, and so are reached from further away than by 'cosine', the inner product with the
    mean scaled to unit norm. argmax gives the class, the lowest number where several tie.

    Raises ValueError for another metric.
    """
    if metric not in ('euclidean', 'cosine'):
        raise ValueError(f"metric: expected 'euclidean' or 'cosine', got {metric!r}")
    rows, centres = l2_normalize(features), means(state)
    if metric == 'euclidean':
        near = -sqrt(direct_squared_distances(rows, centres))
    else:
        near = jnp.matmul(rows, l2_normalize(centres).T, precision=jax.lax.Precision.HIGHEST)
    return jnp.where(seen(state)[None, :], near, -jnp.inf)
