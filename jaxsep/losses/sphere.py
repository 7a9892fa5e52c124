"""Alignment and uniformity: what a contrastive loss asks of points on the unit sphere.

Both expect rows of unit norm and do NOT normalise them: uniformity of raw features can
be made arbitrarily good by scaling them up.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops.geometry import in_float32, squared_distances
from jaxsep.ops.masks import masked_logsumexp


def alignment(
    x: Float[Array, 'n d'], y: Float[Array, 'n d'], alpha: Scalar = 2
) -> Float[Array, '']:
    """The mean distance between matching rows, to the power alpha; small is aligned.

    mean_i ||x_i - y_i||^alpha, rows of unit norm. The gradient of a coinciding pair is 0.

    Empty case: 0.

    Source: Wang 2020, https://arxiv.org/abs/2005.10242
    """
    squares = jnp.sum(jnp.square(in_float32(x) - in_float32(y)), axis=-1)
    apart = squares > 0
    powers = jnp.where(apart, jnp.where(apart, squares, 1.0) ** (alpha / 2), 0.0)
    return jnp.sum(powers) / max(x.shape[0], 1)


def uniformity(z: Float[Array, 'n d'], t: Scalar = 2) -> Float[Array, '']:
    """The logarithm of the mean Gaussian potential of all pairs; small is uniform.

    log mean_{i<j} exp(-t ||z_i - z_j||^2), rows of unit norm: 0 when all points
    coincide, never below -4t.

    Empty case: fewer than two points give 0.

    >>> import jax.numpy as jnp
    >>> round(uniformity(jnp.array([[1.0, 0.0], [-1.0, 0.0]])).item(), 4)
    -8.0

    Source: Wang 2020, https://arxiv.org/abs/2005.10242
    """
    n = z.shape[0]
    if n < 2:
        return jnp.zeros((), in_float32(z).dtype)
    potentials = (-t * squared_distances(z, z)).reshape(-1)
    pairs = jnp.triu(jnp.ones((n, n), dtype=bool), k=1).reshape(-1)
    return masked_logsumexp(potentials, pairs) - jnp.log(n * (n - 1) / 2)
