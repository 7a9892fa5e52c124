"""Linear discriminant analysis from running moments: class means and one covariance for all.

As with `jaxsep.algorithms.class_means`, moments of sessions merge, whatever their order.

Source: Hayes and Kanan, Lifelong machine learning with deep streaming linear discriminant analysis
(2020), https://arxiv.org/abs/1909.01520
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.algorithms import class_means
from jaxsep.algorithms.class_means import ClassMeans
from jaxsep.ops.geometry import in_float32, l2_normalize, matmul


class ClassMoments(NamedTuple):
    """What is remembered of the rows seen so far.

    Attributes:
      means: sums and counts of the classes.
      scatter: summed outer products of the rows' deviations from the mean of their class.
    """

    means: ClassMeans
    scatter: Float[Array, 'd d']


def empty(num_classes: int, num_features: int) -> ClassMoments:
    """Nothing seen yet, of `num_classes` classes."""
    return ClassMoments(
        class_means.empty(num_classes, num_features), jnp.zeros((num_features, num_features))
    )


def update(
    state: ClassMoments,
    features: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    *,
    normalize: bool = True,
) -> ClassMoments:
    """Adds rows; see `jaxsep.algorithms.class_means.update`."""
    rows = l2_normalize(features) if normalize else in_float32(features)
    num_classes, num_features = state.means.sum.shape
    batch = class_means.update(
        class_means.empty(num_classes, num_features), rows, labels, normalize=False
    )
    valid = (labels >= 0) & (labels < num_classes)
    centres = class_means.means(batch)[jnp.where(valid, labels, 0)]
    apart = jnp.where(valid[:, None], rows - centres, 0.0)
    return merge(state, ClassMoments(batch, matmul(apart.T, apart)))


def merge(a: ClassMoments, b: ClassMoments) -> ClassMoments:
    """What two learners saw, together.

    Scatters add up, and n_a n_b / (n_a + n_b) (m_a - m_b)(m_a - m_b)^T for each class, whose
    mean moves.
    """
    counts = [jnp.asarray(each.means.count, jnp.float32) for each in (a, b)]
    weight = counts[0] * counts[1] / jnp.maximum(counts[0] + counts[1], 1.0)
    moved = class_means.means(b.means) - class_means.means(a.means)
    between = matmul(moved.T, weight[:, None] * moved)
    return ClassMoments(class_means.merge(a.means, b.means), a.scatter + b.scatter + between)


def scores(
    state: ClassMoments,
    features: Float[Array, 'n d'],
    *,
    shrinkage: float = 1e-4,
    normalize: bool = True,
) -> Float[Array, 'n k']:
    """The discriminant of each class, -inf for classes not seen: all are equally likely before.

        x^T A m_c - m_c^T A m_c / 2,   A = ((1 - s) C + s I)^-1,   C = scatter / rows

    Softmax of it is the posterior where the classes are Gaussian with this covariance.

    Args:
      shrinkage: s, the original's 1e-4, towards the identity.
      normalize: rows are scaled to unit norm, as in `update`.
    """
    if not 0 < shrinkage <= 1:
        raise ValueError(f'shrinkage: expected 0 < shrinkage <= 1, got {shrinkage}')
    rows = l2_normalize(features) if normalize else in_float32(features)
    total = jnp.maximum(jnp.sum(state.means.count), 1)
    identity = jnp.eye(state.scatter.shape[0], dtype=state.scatter.dtype)
    covariance = (1.0 - shrinkage) * state.scatter / total + shrinkage * identity
    centres = class_means.means(state.means)
    weights = jax.scipy.linalg.solve(covariance, centres.T, assume_a='pos')
    offsets = 0.5 * jnp.sum(centres.T * weights, axis=0)
    found = matmul(rows, weights) - offsets[None, :]
    return jnp.where(class_means.seen(state.means)[None, :], found, -jnp.inf)
