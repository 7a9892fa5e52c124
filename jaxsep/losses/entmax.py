"""Classification losses whose predictions can be exactly 0: the Fenchel-Young losses of entmax."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.devices import mean
from jaxsep.ops.entmax import entmax
from jaxsep.ops.geometry import in_float32


def entmax_loss(
    logits: Float[Array, 'b k'],
    labels: Int[Array, 'b'],
    alpha: float = 1.5,
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean over rows of the Fenchel-Young loss of alpha-entmax.

    L = (p - e_y).x + (1 - sum_i p_i^alpha) / (alpha (alpha - 1)), p = entmax(x), e_y the label as a
    unit vector; its gradient is p - e_y. It is never negative, and 0 as soon as p = e_y, which
    happens at a finite margin of 1 / (alpha - 1). With alpha = 1 it is cross-entropy.

    Empty case: 0 without rows.

    Args:
      alpha: at least 1; 1.5 and 2 are exact.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    >>> import jax.numpy as jnp
    >>> entmax_loss(jnp.array([[5.0, 1.0, 0.0]]), jnp.array([0])).item()
    0.0

    Source: Peters 2019, https://arxiv.org/abs/1905.05702; Blondel 2020,
    https://arxiv.org/abs/1901.02324
    """
    own = jax.nn.one_hot(labels, logits.shape[1], dtype=in_float32(logits).dtype)
    return mean(_fenchel_young(in_float32(logits), own, float(alpha)), axis_name)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fenchel_young(logits, own, alpha):
    return _fenchel_young_forward(logits, own, alpha)[0]


def _fenchel_young_forward(logits, own, alpha):
    p = entmax(logits, alpha)
    difference = p - own
    # Logits of -inf have probability 0, and 0 times them is 0.
    linear = jnp.sum(jnp.where(difference != 0, difference * logits, 0.0), axis=1)
    if alpha == 1:
        entropy = jnp.sum(jax.scipy.special.entr(p), axis=1)
    else:
        entropy = (1.0 - jnp.sum(p**alpha, axis=1)) / (alpha * (alpha - 1.0))
    return jnp.maximum(linear + entropy, 0.0), difference


def _fenchel_young_backward(alpha, difference, g):
    return difference * g[:, None], jnp.zeros_like(difference)


_fenchel_young.defvjp(_fenchel_young_forward, _fenchel_young_backward)
