"""Skip-gram with negative sampling: pairs that occur together against random ones."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def sgns_loss(
    center: Float[Array, 'b d'], context: Float[Array, 'b d'], negatives: Float[Array, 'b n d']
) -> Float[Array, 'b']:
    """The loss of each pair of a centre and its context, against n negatives of its own.

    -log sigmoid(center.context) - sum_n log sigmoid(-center.negative_n). Vectors are taken as they
    are, not normalised; products of entries beyond 1e18 overflow float32. Without negatives only
    the first term is left.

    >>> import jax.numpy as jnp
    >>> zero = jnp.zeros((1, 2))
    >>> round(sgns_loss(zero, zero, jnp.zeros((1, 3, 2))).item(), 4)  # 4 log 2
    2.7726

    Source: Mikolov 2013, equation 4, https://arxiv.org/abs/1310.4546
    """
    center, context, negatives = (in_float32(x) for x in (center, context, negatives))
    together = jnp.sum(center * context, axis=1)
    apart = jnp.sum(center[:, None, :] * negatives, axis=2)
    return jax.nn.softplus(-together) + jnp.sum(jax.nn.softplus(apart), axis=1)
