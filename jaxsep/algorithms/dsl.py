"""When and how an embedding divides among learners, and which samples each of them gets.

All functions have fixed shapes and run under jit: K learners among at most `max_learners`.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.ops.geometry import l2_normalize

DROPPED = -1
"""The learner of a sample that trains none in this round."""


def taylor_importance(
    activations: Float[Array, 'n d'], gradients: Float[Array, 'n d']
) -> Float[Array, 'd']:
    """The mean of activation times gradient, per dimension: how the loss changes without it.

    Source: Adiga V 2022 (Dynamic Subspace Learners), equation 5, after Molchanov 2017.
    """
    return jnp.mean(activations * gradients, axis=0)


def neuron_scores(importance: Float[Array, 'd'], members: Bool[Array, 'd']) -> Float[Array, 'd']:
    """The importance of one learner's dimensions, from 0 (least) to 1 (most); 0 for all others.

    v = |t| / sqrt(sum t^2 + 1e-8) over the members, then (v - min v) / (max v - min v).

    Empty case: 0 without members, and where all members are equally important.
    """
    t = jnp.abs(jnp.where(members, importance, 0.0))
    v = t * jax.lax.rsqrt(jnp.sum(t * t) + 1e-8)
    low = jnp.min(jnp.where(members, v, jnp.inf))
    spread = jnp.max(v) - low
    scores = (v - low) / jnp.where(spread > 0, spread, 1.0)
    return jnp.where(members & (spread > 0), scores, 0.0)


def split_learner(
    scores: Float[Array, 'd'],
    learner_of_dim: Int[Array, 'd'],
    num_learners: Int[Array, ''],
    *,
    threshold: float = 0.5,
    min_dims: int = 10,
    min_important: int = 5,
) -> tuple[Int[Array, 'd'], Bool[Array, 'd']]:
    """Divides the last learner: it keeps its important dimensions, the rest become a new one.

    Important are dimensions with a score above the threshold. The last learner is divided if it
    has more than `min_dims` dimensions, of which at least `min_important` are important. The
    original moves the important weights to the front of the slice; here dimensions stay and
    only change their owner, which is the same up to their order (its copying in place can
    overwrite a row before it is read).

    Returns:
      the new learner of every dimension, and which dimensions are to start anew: all False
      where nothing was divided.

    Source: Adiga V 2022, algorithm 1, https://github.com/adigasu/Dynamic_subspace_learners
    """
    last = learner_of_dim == num_learners - 1
    important = last & (scores > threshold)
    divided = (jnp.sum(last) > min_dims) & (jnp.sum(important) >= min_important)
    renewed = last & ~important & divided
    return jnp.where(renewed, num_learners, learner_of_dim), renewed


def match_clusters(
    previous: Int[Array, 'n'],
    current: Int[Array, 'n'],
    max_clusters: int,
    num_clusters: Int[Array, ''] | int | None = None,
) -> Int[Array, 'n']:
    """Renames the current clusters by the previous ones that they share most samples with.

    The one-to-one renaming with the smallest total of |current_i symmetric-difference previous_j|
    (Hungarian method). Negative numbers belong to no cluster.

    Args:
      num_clusters: clusters 0 .. num_clusters - 1 are in use and only these names are given;
        all `max_clusters` by default.

    >>> import jax.numpy as jnp
    >>> match_clusters(jnp.array([0, 0, 1, 1, 2]), jnp.array([1, 1, 2, 2, 0]), 3).tolist()
    [0, 0, 1, 1, 2]

    Source: Adiga V 2022's code, with the permutation itself where the released code applies
    its inverse.
    """
    cost = matching_cost(previous, current, max_clusters)
    used = jnp.arange(max_clusters) < (max_clusters if num_clusters is None else num_clusters)
    unused = 4.0 * (len(current) + 1)
    cost = jnp.where(used[:, None] == used[None, :], cost, unused)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    names = jnp.zeros(max_clusters, jnp.int32).at[rows].set(columns.astype(jnp.int32))
    return jnp.where(current >= 0, names[current], current)


def matching_cost(
    previous: Int[Array, 'n'], current: Int[Array, 'n'], max_clusters: int
) -> Float[Array, 'k k']:
    """|current_i symmetric-difference previous_j| for all pairs of clusters."""
    clusters = jnp.arange(max_clusters)[None, :]
    old = (previous[:, None] == clusters).astype(jnp.float32)
    new = (current[:, None] == clusters).astype(jnp.float32)
    shared = jnp.matmul(new.T, old, precision='highest')
    return jnp.sum(new, axis=0)[:, None] + jnp.sum(old, axis=0)[None, :] - 2 * shared


def recluster(
    features: Float[Array, 'n c'],
    present: Bool[Array, 'n'],
    previous: Int[Array, 'n'],
    num_clusters: Int[Array, ''] | int,
    max_clusters: int,
) -> Int[Array, 'n']:
    """k-means clusters of unit-length features, named as the previous ones where they overlap.

    Farthest-first seeds that pass over the 5 % outermost rows, so that a round differs from the
    one before only as far as the features do.

    Args:
      present: rows with features; the others get no cluster (-1).
      num_clusters: how many clusters, at most `max_clusters`.
    """
    unit, weights = l2_normalize(features), present.astype(features.dtype)
    seeds = unit[maximin_seeds(unit, max_clusters, trim=0.05, weights=weights)]
    active = jnp.arange(max_clusters) < num_clusters
    clusters = kmeans(unit, seeds, 50, weights=weights, active=active).labels
    clusters = jnp.where(present, clusters, DROPPED)
    return match_clusters(previous, clusters, max_clusters, num_clusters)


def drop_singletons(
    labels: Int[Array, 'n'], clusters: Int[Array, 'n'], num_classes: int, max_clusters: int
) -> Int[Array, 'n']:
    """The clusters, without the samples that are alone of their class in their cluster (-1)."""
    cell = jnp.where(clusters >= 0, labels * max_clusters + clusters, num_classes * max_clusters)
    counts = jnp.zeros(num_classes * max_clusters + 1, jnp.int32).at[cell].add(1)
    return jnp.where(counts[cell] > 1, clusters, DROPPED)
