"""k-means that always gives the same answer: farthest-first seeds, then Lloyd's steps.

Everything is a pure function of arrays, with loops in `lax`, so that it runs under
jit and on rows that are sharded over devices. Nothing of size n x k x d is made.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, matmul

BLOCK = 1024  # points; what is made of them stays in the caches of a CPU


class KMeans(NamedTuple):
    """A partition of n points into k clusters.

    Attributes:
      labels: int32 [n], the nearest of the returned centroids; ties to the smaller index.
      centroids: [k, d].
      inertia: scalar, sum of (weighted) squared distances to the own centroid.
      steps: int32, Lloyd steps done.
      converged: whether the last step moved the centroids by no more than the tolerance.
    """

    labels: Array
    centroids: Array
    inertia: Array
    steps: Array
    converged: Array


@functools.partial(jax.jit, static_argnames=('k', 'trim'))
def maximin_seeds(
    x: Float[Array, 'n d'],
    k: int,
    *,
    trim: float = 0.0,
    weights: Float[Array, 'n'] | None = None,
) -> Int[Array, 'k']:
    """Rows of `x` to start k clusters from, farthest first.

        s_1 = argmin_i ||x_i - mean(x)||,   s_j = argmax_i min_{l<j} ||x_i - x_{s_l}||

    The first index wins ties, so the same rows in the same order give the same seeds;
    the seeds of k clusters are the first k seeds of more clusters. Farthest points are
    often outliers: that is the price of having no random start. With `trim` > 0 the
    farthest trim * n points are passed over at every step and the next one is taken,
    which also passes over clusters that are smaller than that. Where fewer than k
    points are distinct, the remaining seeds repeat points that are seeds already.

    Args:
      x: the points.
      k: number of seeds, at most n.
      trim: fraction of farthest points to skip, in [0, 1).
      weights: of the points in the grand mean; points of weight 0 are never seeds.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance (1985).

    >>> import jax.numpy as jnp
    >>> maximin_seeds(jnp.array([[0.0], [1.0], [2.0], [9.0]]), 3).tolist()
    [2, 3, 0]
    """
    num_points = x.shape[0]
    if not 1 <= k <= num_points:
        raise ValueError(f'k: expected between 1 and the n = {num_points} points, got k = {k}')
    if not 0 <= trim < 1:
        raise ValueError(f'trim: expected a fraction in [0, 1), got {trim}')
    x = in_float32(x)
    weights = jnp.ones(num_points, x.dtype) if weights is None else in_float32(weights)
    present = weights > 0

    def squared_distances_to(point):
        return jnp.sum(jnp.square(x - point[None, :]), axis=-1)

    def farthest(nearest):
        nearest = jnp.where(present, nearest, -1.0)
        if not trim:
            return jnp.argmax(nearest)
        skipped = jnp.floor(trim * jnp.sum(present)).astype(int)
        return jnp.argmax(nearest == jnp.sort(nearest, descending=True)[skipped])

    def step(carry, _):
        nearest, seed = carry
        nearest = jnp.minimum(nearest, squared_distances_to(x[seed]))
        return (nearest, farthest(nearest)), seed

    total = jnp.sum(weights)
    mean = jnp.sum(weights[:, None] * x, axis=0) / jnp.where(total > 0, total, 1.0)
    first = jnp.argmin(jnp.where(present, squared_distances_to(mean), jnp.inf))
    unseen = jnp.full(num_points, jnp.inf, x.dtype)
    return jax.lax.scan(step, (unseen, first), length=k)[1].astype(jnp.int32)


def assign(
    x: Float[Array, 'n d'],
    centroids: Float[Array, 'k d'],
    active: Bool[Array, 'k'] | None = None,
) -> Int[Array, 'n']:
    """Index of the nearest centroid of every point; ties to the smaller index.

    argmin_j ||c_j||^2 - 2 x_i . c_j by one matrix product (on CPUs one of each 1,024 points),
    around the first centroid so that a common offset costs no digits. Each row depends on itself
    only.

    Args:
      x: the points; no points give no labels.
      centroids: at least one.
      active: centroids that may be chosen; all of them by default.

    >>> import jax.numpy as jnp
    >>> assign(jnp.array([[0.0], [0.9], [1.0]]), jnp.array([[0.0], [2.0]])).tolist()
    [0, 0, 0]
    """
    x, centroids = in_float32(x), in_float32(centroids)
    active = jnp.ones(len(centroids), bool) if active is None else active
    if len(x) <= BLOCK:
        return _assign(x, centroids, active)
    return jax.lax.platform_dependent(x, centroids, active, cpu=_assign_in_blocks, default=_assign)


def _assign(x, centroids, active):
    x, centroids = x - centroids[:1], centroids - centroids[:1]
    squares = jnp.sum(centroids * centroids, axis=-1)[None, :]
    scores = squares - 2.0 * matmul(x, centroids.T)
    return jnp.argmin(jnp.where(active[None, :], scores, jnp.inf), axis=-1).astype(jnp.int32)


def _assign_in_blocks(x, centroids, active):
    """The same without anything of size n x k: block after block in the caches of a CPU."""

    def label(point):
        return _assign(point[None, :], centroids, active)[0]

    return jax.lax.map(label, x, batch_size=BLOCK)


def membership(labels: Int[Array, 'n'], k: int, weights: Float[Array, 'n']) -> Float[Array, 'n k']:
    """The weight of every point in the column of its label, 0 elsewhere."""
    return jnp.where(labels[:, None] == jnp.arange(k)[None, :], weights[:, None], 0.0)


def _sums(x, centroids, weights, active):
    """The weight of each cluster [k], and of its points their weighted sum [k, d]."""
    members = membership(_assign(x, centroids, active), len(centroids), weights)
    return jnp.sum(members, axis=0), matmul(members.T, x)


def _sums_in_blocks(x, centroids, weights, active):
    """The same, block after block in the caches of a CPU, where points are added one by one."""
    k, num_blocks = len(centroids), len(x) // BLOCK

    def of_block(x, weights):
        labels = _assign(x, centroids, active)
        mass = jnp.zeros(k, x.dtype).at[labels].add(weights)
        return mass, jnp.zeros_like(centroids).at[labels].add(weights[:, None] * x)

    def visit(i, found):
        block = (jax.lax.dynamic_slice_in_dim(y, i * BLOCK, BLOCK) for y in (x, weights))
        return jax.tree.map(jnp.add, found, of_block(*block))

    rest = of_block(x[num_blocks * BLOCK :], weights[num_blocks * BLOCK :])
    return jax.lax.fori_loop(0, num_blocks, visit, rest)


@functools.partial(jax.jit, static_argnames=('max_steps', 'tolerance'))
def kmeans(
    x: Float[Array, 'n d'],
    centroids: Float[Array, 'k d'],
    max_steps: int = 300,
    tolerance: float = 0.0,
    weights: Float[Array, 'n'] | None = None,
    active: Bool[Array, 'k'] | None = None,
) -> KMeans:
    """Lloyd's iteration: assign every point to its nearest centroid, move centroids to means.

        c_j <- sum_{i in j} w_i x_i / sum_{i in j} w_i

    A cluster without points keeps its centroid. It ends when the centroids moved by a
    total squared distance of at most `tolerance` (0: when no label changes any more), or
    after `max_steps`.

    Args:
      x: the points.
      centroids: where to start, for example `x[maximin_seeds(x, k)]`.
      max_steps: upper bound on the number of steps.
      tolerance: on the summed squared movement of the centroids.
      weights: of the points; all 1 by default.
      active: clusters that may have points, so that one compiled program serves
        every number of clusters up to k; all of them by default.

    Source: Lloyd, Least squares quantization in PCM (1982).
    """
    x, centroids = in_float32(x), in_float32(centroids).astype(in_float32(x).dtype)
    weights = jnp.ones(len(x), x.dtype) if weights is None else weights.astype(x.dtype)
    active = jnp.ones(len(centroids), bool) if active is None else active

    def lloyd(sums, x, centroids, weights, active):
        def unfinished(state):
            _, moved, steps = state
            return (steps < max_steps) & (moved > tolerance)

        def step(state):
            old, _, steps = state
            mass, total = sums(x, old, weights, active)
            mass = mass[:, None]
            new = jnp.where(mass > 0, total / jnp.where(mass > 0, mass, 1.0), old)
            return new, jnp.sum(jnp.square(new - old)), steps + 1

        start = (centroids, jnp.asarray(jnp.inf, x.dtype), jnp.int32(0))
        return jax.lax.while_loop(unfinished, step, start)

    centroids, moved, steps = jax.lax.platform_dependent(
        x,
        centroids,
        weights,
        active,
        cpu=functools.partial(lloyd, _sums_in_blocks if len(x) > BLOCK else _sums),
        default=functools.partial(lloyd, _sums),
    )
    labels = assign(x, centroids, active)
    inertia = jnp.sum(weights * jnp.sum(jnp.square(x - centroids[labels]), axis=-1))
    return KMeans(labels, centroids, inertia, steps, moved <= tolerance)
