"""Persistent homology in dimension 0: at which distances the pieces of a point cloud join.

Grow the scale from 0: every point is a component at first, and two components become one when
the distance between them is reached. The n - 1 distances at which this happens, the deaths or
bars of the Vietoris-Rips filtration, are the edges of the minimum spanning tree. A few tight,
well separated clusters have few long bars and many short ones. The scale is the distance of
the two points (as in ripser and gudhi), not the radius of balls (half of it).

Scores follow Ghalyan et al. 2023, "Estimating class separability of text embeddings with
persistent homology", https://arxiv.org/abs/2305.15016, which gives no formula for the statistic:
the mean of the bars over the longest is ours. Compare scores on the same points only (bars
shrink like n^(-1/d)), and read the median too: one outlier makes the mean small.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import geometry

_METRICS = ('euclidean', 'cosine')
_STATISTICS = ('mean', 'median', 'std', 'entropy')


@functools.partial(jax.jit, static_argnames='metric')
def h0_persistence(x: Float[Array, 'n d'], metric: str = 'euclidean') -> Float[Array, 'r']:
    """Edge lengths of the minimum spanning tree, ascending; r = n - 1, none for one point.

    Prim's algorithm with n d memory: each of the n - 1 steps computes the distances of one
    point to all others from their differences, so that near-duplicates are exact in
    float32 (coinciding points give zeros). Trees may differ at ties, their lengths do not.
    Differentiable; a bar of length 0 has gradient 0.

    >>> import jax.numpy as jnp
    >>> h0_persistence(jnp.array([[0.0], [5.0], [1.0], [1.0]])).tolist()
    [0.0, 1.0, 4.0]

    Args:
      metric: 'euclidean', or 'cosine' for 1 - <x, y> / (||x|| ||y||); a zero vector is then at
        distance 1/2 from all others.
    """
    if metric not in _METRICS:
        raise ValueError(f'metric: expected one of {_METRICS}, got {metric!r}')
    n = x.shape[0]
    if metric == 'cosine':
        x, scale = geometry.l2_normalize(x), 1.0
    else:
        x, scale = _scaled(geometry.in_float32(x))
    if n < 2:
        return jnp.zeros((0,), x.dtype)

    def add_nearest(step: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        newest, visited, to_tree, edges = state
        squares = geometry.direct_squared_distances(x[newest][None, :], x)[0]
        to_tree = jnp.minimum(to_tree, squares)
        candidates = jnp.where(visited, jnp.inf, to_tree)
        newest = jnp.argmin(candidates)
        visited = visited.at[newest].set(True)
        return newest, visited, to_tree, edges.at[step].set(candidates[newest])

    start = (jnp.zeros((), jnp.argmin(x[:, 0]).dtype), _first(n), jnp.full((n,), jnp.inf, x.dtype))
    state = (*start, jnp.zeros((n - 1,), x.dtype))
    squares = jnp.sort(jax.lax.fori_loop(0, n - 1, add_nearest, state)[-1])
    # 1 - <x, y> = ||x - y||^2 / 2 for unit vectors, without the cancellation.
    return squares / 2.0 if metric == 'cosine' else geometry.sqrt(squares) * scale


@jax.jit
def normalized_persistence(p: Float[Array, 'r']) -> Float[Array, 'r']:
    """The bars over the longest, free of the diameter: p / max(p); zeros stay zeros."""
    longest = jnp.max(p, initial=0.0)
    return _divide(p, longest)


@functools.partial(jax.jit, static_argnames='statistic')
def persistence_score(p: Float[Array, 'r'], statistic: str = 'mean') -> Float[Array, '']:
    """How alike the bars are, in [0, 1]; smaller means more separable. 0 without bars.

    'mean' (S), 'median' or 'std' (biased) of p / max(p), or 'entropy': -sum q log q / log r
    with q = p / sum(p), which is 0 for a single bar.
    """
    if statistic not in _STATISTICS:
        raise ValueError(f'statistic: expected one of {_STATISTICS}, got {statistic!r}')
    p = geometry.in_float32(p)
    if p.size == 0:
        return jnp.zeros((), p.dtype)
    if statistic == 'entropy':
        return _normalized_entropy(normalized_persistence(p))
    reduce = {'mean': jnp.mean, 'median': jnp.median, 'std': jnp.std}[statistic]
    return reduce(normalized_persistence(p))


@jax.jit
def betti0(p: Float[Array, 'r'], scales: Float[Array, 's']) -> Int[Array, 's']:
    """The number of components at each scale: 1 + #{i: p_i > scale}."""
    return 1 + jnp.sum(p[None, :] > scales[:, None], axis=1)


@jax.jit
def number_of_clusters(p: Float[Array, 'r']) -> Int[Array, '']:
    """The number of components inside the largest gap between consecutive bars.

    1 + the number of bars above the largest p_{i+1} - p_i (the first of equal ones); 1 if no
    gap exists: fewer than two bars, or all alike. A guess, of use for clear clusters only: an
    outlier counts as a cluster, and where nothing is separated the gaps are noise.

    >>> import jax.numpy as jnp
    >>> int(number_of_clusters(jnp.array([0.5, 0.6, 0.7, 4.0, 5.0])))
    3

    Args:
      p: ascending.
    """
    if p.size < 2:
        return jnp.ones((), jnp.int32)
    gaps = p[1:] - p[:-1]
    above = p.size - 1 - jnp.argmax(gaps)
    return jnp.where(jnp.max(gaps) > 0, 1 + above, 1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=('patience', 'min_delta'))
def stop_rule(
    scores: Float[Array, 't'], patience: int, min_delta: float = 0.0
) -> tuple[Int[Array, ''], Int[Array, '']]:
    """When to stop training from the scores of its checkpoints, without labels (our rule).

    Stop at the first checkpoint t >= patience whose running minimum lies no more than
    min_delta below that at t - patience; at the last one if there is none. Checkpoints after the
    stop are not looked at, so that the rule gives the same result online.

    Args:
      scores: one per checkpoint, smaller is better.
      patience: checkpoints without progress before stopping, at least 1.
      min_delta: a fall of this size or less is no progress.

    Returns:
      best_index: the lowest score up to the stop, the first of equal ones.
      stop_index: where training stops.
    """
    if scores.size == 0:
        raise ValueError('scores: expected at least one checkpoint, got none')
    if patience < 1:
        raise ValueError(f'patience: expected at least 1 checkpoint, got {patience}')
    if min_delta < 0:
        raise ValueError(f'min_delta: expected a fall >= 0, got {min_delta}')
    num = scores.size
    last = jnp.asarray(num - 1, jnp.int32)
    stop = last
    if num > patience:
        lowest = jax.lax.cummin(scores)
        stalled = lowest[:-patience] - lowest[patience:] <= min_delta
        first = patience + jnp.argmax(stalled)
        stop = jnp.where(jnp.any(stalled), first, last).astype(jnp.int32)
    seen = jnp.where(jnp.arange(num) <= stop, scores, jnp.inf)
    return jnp.argmin(seen).astype(jnp.int32), stop


def _first(n: int) -> Bool[Array, 'n']:
    return jnp.arange(n) == 0


def _scaled(x: Float[Array, 'n d']) -> tuple[Float[Array, 'n d'], Float[Array, '']]:
    """The points over a power of 2 near their largest entry, and that power.

    Exact, and squares of differences neither overflow nor vanish.
    """
    _, exponent = jnp.frexp(jnp.max(jnp.abs(x), initial=0.0))
    # Short of the range of the dtype, so that the power has an inverse.
    limit = jnp.finfo(x.dtype).maxexp - 28
    exponent = jnp.clip(exponent, -limit, limit)
    one = jnp.ones((), x.dtype)
    return x * jnp.ldexp(one, -exponent), jnp.ldexp(one, exponent)


def _divide(values: Float[Array, '...'], by: Float[Array, '']) -> Float[Array, '...']:
    positive = by > 0
    return jnp.where(positive, values / jnp.where(positive, by, 1.0), 0.0)


def _normalized_entropy(values: Float[Array, 'r']) -> Float[Array, '']:
    if values.size < 2:
        return jnp.zeros((), values.dtype)
    q = _divide(values, jnp.sum(values))
    positive = q > 0
    terms = jnp.where(positive, q * jnp.log(jnp.where(positive, q, 1.0)), 0.0)
    return -jnp.sum(terms) / jnp.log(jnp.asarray(values.size, values.dtype))
