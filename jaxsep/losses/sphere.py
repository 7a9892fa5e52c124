"""Alignment and uniformity: what a contrastive loss asks of points on the unit sphere.

Both expect rows of unit norm and do NOT normalise them: uniformity of raw features can
be made arbitrarily good by scaling them up, and those beyond 1e18 overflow float32.
`axis_name` and `chunk_size` as in
`jaxsep.losses.contrastive`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops import chunked, devices
from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import in_float32, squared_distances
from jaxsep.ops.masks import masked_logsumexp


def alignment(
    x: Float[Array, 'n d'],
    y: Float[Array, 'n d'],
    alpha: Scalar = 2,
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean distance between matching rows, to the power alpha; small is aligned.

    mean_i ||x_i - y_i||^alpha, rows of unit norm. The gradient of a coinciding pair is 0.

    Empty case: 0.

    Source: Wang 2020, https://arxiv.org/abs/2005.10242
    """
    squares = jnp.sum(jnp.square(in_float32(x) - in_float32(y)), axis=-1)
    apart = squares > 0
    powers = jnp.where(apart, jnp.where(apart, squares, 1.0) ** (alpha / 2), 0.0)
    return devices.mean(powers, axis_name)


def uniformity(
    z: Float[Array, 'n d'],
    t: Scalar = 2,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """The logarithm of the mean Gaussian potential of all pairs; small is uniform.

    log mean_{i<j} exp(-t ||z_i - z_j||^2), rows of unit norm: 0 when all points
    coincide, never below -4t.

    Empty case: fewer than two points give 0.

    >>> import jax.numpy as jnp
    >>> round(uniformity(jnp.array([[1.0, 0.0], [-1.0, 0.0]])).item(), 4)
    -8.0

    Source: Wang 2020, https://arxiv.org/abs/2005.10242
    """
    z = in_float32(z)
    rows, places = devices.gather(z, axis_name), devices.positions(len(z), axis_name)
    n = len(rows)
    if n < 2:
        return jnp.zeros((), z.dtype)
    if chunk_size is None:
        others = places[:, None] != jnp.arange(n)[None, :]
        losses = masked_logsumexp(-t * squared_distances(z, rows), others)
    else:
        losses = _chunked_potentials(z, rows, places, t, axis_name, chunk_size)
    return devices.logsumexp(losses, axis_name) - jnp.log(n * (n - 1.0))


def _chunked_potentials(z, rows, places, t, axis_name, chunk_size):
    """The log of sum_{j != i} exp(-t ||z_i - z_j||^2), the exponent written as an inner product."""

    def factors(x):
        squares = jnp.sum(x * x, axis=-1, keepdims=True)
        one = jnp.ones_like(squares)
        left = jnp.concatenate([2 * t * x, -t * squares, one], axis=1)
        return left, jnp.concatenate([x, one, -t * squares], axis=1)

    left, right = factors(z)
    if axis_name is None:
        return chunked.self_logsumexp(left, chunk_size, right=right)
    groups = places, jnp.arange(len(rows), dtype=jnp.int32)
    return chunked.cross_logsumexp(
        left, factors(rows)[1], chunk_size, keep='different', groups=groups
    )
