"""Local CKA: how well a pair fits into the geometry that known pairs span.

Anchors are pairs that are known. A candidate pair (x_i, y_j) is added to them as one more row,
and the CKA of all of them is its score: the true partner disturbs the agreement least.
Maniparambil et al. 2024, https://arxiv.org/abs/2401.05224 (there "local CKA based retrieval").
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import (
    in_float32,
    l2_normalize,
    matmul,
    power_of_two,
    sqrt,
    squared_distances,
)


@jax.jit
def local_cka(
    x_anchors: Float[Array, 'n p'],
    y_anchors: Float[Array, 'n q'],
    x_queries: Float[Array, 'a p'],
    y_queries: Float[Array, 'b q'],
) -> Float[Array, 'a b']:
    """Linear CKA of the anchors with (x_i, y_j) as one more row, for all i and j at once.

    One more row changes a centred scatter matrix by a rank-one term: with n anchors of mean m,
    S' = S + n / (n + 1) (x - m_x) (y - m_y)^T, and HSIC is ||S'||_F^2. So all scores together
    cost (a + b) p q + a b, in place of a CKA of n + 1 rows for each.

    The scores of a row differ by about one part in n: with more than some 10,000 anchors use
    float64. 0 where one side is constant. Fourth powers of the distance of a query from the mean, in
    units of the anchors' size, must be representable: up to 1e8 in float32.
    """
    n = len(x_anchors)
    x_mean, y_mean = (jnp.mean(in_float32(z), axis=0) for z in (x_anchors, y_anchors))
    x, y = in_float32(x_anchors) - x_mean[None, :], in_float32(y_anchors) - y_mean[None, :]
    u, v = in_float32(x_queries) - x_mean[None, :], in_float32(y_queries) - y_mean[None, :]
    # Neither scale matters; unit scales keep the fourth powers below within range.
    (x, u), (y, v) = ((a / power_of_two(a), b / power_of_two(a)) for a, b in ((x, u), (y, v)))
    x_size, y_size = (jnp.sqrt(jnp.sum(jnp.square(z))) for z in (x, y))
    x, u = (z / jnp.where(x_size > 0, x_size, 1.0) for z in (x, u))
    y, v = (z / jnp.where(y_size > 0, y_size, 1.0) for z in (y, v))
    weight = n / (n + 1)
    between, within_x, within_y = matmul(x.T, y), matmul(x.T, x), matmul(y.T, y)
    u_norm, v_norm = jnp.sum(u * u, axis=1), jnp.sum(v * v, axis=1)
    hsic = (
        jnp.sum(jnp.square(between))
        + 2.0 * weight * matmul(matmul(u, between), v.T)
        + weight**2 * u_norm[:, None] * v_norm[None, :]
    )
    hsic_x = _self_hsic(within_x, u, u_norm, weight)
    hsic_y = _self_hsic(within_y, v, v_norm, weight)
    scale = sqrt(hsic_x)[:, None] * sqrt(hsic_y)[None, :]
    return jnp.where(scale > 0, hsic / jnp.where(scale > 0, scale, 1.0), 0.0)


@functools.partial(jax.jit, static_argnames='chunk_size')
def local_cka_rbf(
    x_anchors: Float[Array, 'n p'],
    y_anchors: Float[Array, 'n q'],
    x_queries: Float[Array, 'a p'],
    y_queries: Float[Array, 'b q'],
    chunk_size: int = 16,
) -> Float[Array, 'a b']:
    """The same with Gaussian kernels exp(-d^2 / (2 sigma^2)).

    sigma^2 is the median of the non-zero squared distances (the lower one of two in the middle, as
    in the released code), of each side's n + 1 rows anew. Every
    pair needs its own two kernel matrices centred: a b n^2 operations, for small sets.

    Args:
      chunk_size: kernel matrices of one side that are held at a time.
    """

    def kernel(anchors, query):
        rows = jnp.concatenate([in_float32(anchors), in_float32(query)[None, :]])
        rows = rows / power_of_two(rows)
        squares = squared_distances(rows, rows)
        squares = jnp.where(jnp.eye(len(rows), dtype=bool), 0.0, squares)
        ordered = jnp.sort(jnp.where(squares > 0, squares, jnp.inf).reshape(-1))
        median = ordered[(jnp.sum(squares > 0) - 1) // 2]
        k = jnp.exp(-0.5 * squares / jnp.where(jnp.isfinite(median), median, 1.0))
        k = k - jnp.mean(k, axis=0, keepdims=True)
        k = k - jnp.mean(k, axis=1, keepdims=True)
        return l2_normalize(k.reshape(-1))

    def row(x_query):
        k = kernel(x_anchors, x_query)
        pair = lambda y_query: jnp.sum(k * kernel(y_anchors, y_query))  # noqa: E731
        return jax.lax.map(pair, y_queries, batch_size=chunk_size)

    return jax.lax.map(row, x_queries)


def _self_hsic(scatter, rows, squared_norms, weight):
    """||S + w u u^T||_F^2 for every row u."""
    quadratic = jnp.sum(matmul(rows, scatter) * rows, axis=1)
    constant = jnp.sum(jnp.square(scatter))
    return constant + 2.0 * weight * quadratic + jnp.square(weight * squared_norms)
