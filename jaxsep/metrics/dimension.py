"""TwoNN: the dimension of the manifold that points lie on, from their two nearest neighbours.

Near a point of a d-dimensional manifold the ratio mu = r2 / r1 of the distances to the second
and first neighbour is Pareto distributed with exponent d, whatever the density there.
Facco et al. 2017, https://doi.org/10.1038/s41598-017-11873-y; for representations
Ansuini et al. 2019, https://arxiv.org/abs/1905.12784.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxsep.ops import geometry


@functools.partial(jax.jit, static_argnames='fraction')
def twonn(nearest: Float[Array, 'n 2'], fraction: float = 0.9) -> Float[Array, '']:
    """Intrinsic dimension as the slope of the empirical distribution of r2 / r1.

    With the N points that have 0 < r1 < r2, mu = r2 / r1 ascending: the least-squares line through
    the origin of y_i = -log(1 - i / N) on x_i = log mu_i, i = 1 .. N, over the first
    floor(fraction N) points and never the last two. 0 if fewer than three points remain.

    Args:
      nearest: distances to the nearest and second nearest other point, in this order; from
        differences (`nearest_two_distances`): rounding of near-duplicates changes the slope.
      fraction: the largest ratios beyond it are left out: noise and boundary.
    """
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f'fraction: expected 0 < fraction <= 1, got {fraction}')
    n = nearest.shape[0]
    log_ratios, kept = _log_ratios(nearest)
    x = jnp.sort(jnp.where(kept, log_ratios, jnp.inf))
    count = jnp.sum(kept)
    # floor(fraction * N) in double precision, also where the arrays are single.
    fitted = jnp.asarray(np.floor(fraction * np.arange(n + 1)).astype(np.int32))[count]
    rank = jnp.arange(1, n + 1)
    used = (rank <= fitted) & (rank <= count - 2)
    survivors = jnp.where(used, count - rank, 1).astype(x.dtype)
    y = jnp.log(jnp.maximum(count, 1).astype(x.dtype)) - jnp.log(survivors)
    x = jnp.where(used, x, 0.0)
    return _divide(jnp.sum(x * jnp.where(used, y, 0.0)), jnp.sum(x * x))


@jax.jit
def twonn_mle(nearest: Float[Array, 'n 2']) -> Float[Array, '']:
    """Intrinsic dimension by maximum likelihood: N / sum_i log(r2_i / r1_i).

    Over the N points with 0 < r1 < r2; 0 if there are none. Uses every ratio, so that it is more
    precise than `twonn` on clean data and less robust. Arguments as there.

    >>> import jax.numpy as jnp
    >>> float(twonn_mle(jnp.array([[1.0, 2.0], [0.0, 1.0]])) * jnp.log(2.0))
    1.0
    """
    log_ratios, kept = _log_ratios(nearest)
    return _divide(jnp.sum(kept).astype(log_ratios.dtype), jnp.sum(log_ratios))


@jax.jit
def nearest_two_distances(x: Float[Array, 'n d']) -> Float[Array, 'n 2']:
    """Distances of each point to its nearest and second nearest other point, from differences.

    Exact for near-duplicates; n d memory, n^2 d time. At least three points.
    """
    n = x.shape[0]
    if n < 3:
        raise ValueError(f'x: expected at least 3 points, got {n}')
    x = geometry.in_float32(x)
    power = geometry.power_of_two(x)
    x = x / power

    def two_nearest(index: Array) -> Array:
        squares = geometry.direct_squared_distances(x[index][None, :], x)[0]
        others = jnp.where(jnp.arange(n) == index, jnp.inf, squares)
        return -jax.lax.top_k(-others, 2)[0]

    return power * geometry.sqrt(jax.lax.map(two_nearest, jnp.arange(n)))


def intrinsic_dimension(x: Float[Array, 'n d'], fraction: float = 0.9) -> Float[Array, '']:
    """`twonn` of points. At least three points; 0 if all their ratios are degenerate."""
    return twonn(nearest_two_distances(x), fraction)


def _log_ratios(nearest: Float[Array, 'n 2']) -> tuple[Float[Array, 'n'], Bool[Array, 'n']]:
    """log(r2 / r1), 0 where left out, and which points are kept."""
    nearest = geometry.in_float32(nearest)
    first, second = nearest[:, 0], nearest[:, 1]
    kept = (first > 0) & (second > first)
    excess = jnp.where(kept, second - first, 0.0) / jnp.where(kept, first, 1.0)
    smallest = jnp.finfo(nearest.dtype).tiny
    far = jnp.log(jnp.maximum(second, smallest)) - jnp.log(jnp.maximum(first, smallest))
    return jnp.where(jnp.isinf(excess), far, jnp.log1p(excess)), kept


def _divide(numerator: Float[Array, ''], denominator: Float[Array, '']) -> Float[Array, '']:
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)
