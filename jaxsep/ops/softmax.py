"""Softmax of logits that may be large and are computed in place, as scores over a temperature.

`jax.nn.softmax` takes the largest logit out first. The compiler may compute `scores / temperature` anew
for each of its two uses, with and without rounding in between: the difference to the largest is then
not at most 0 but a rounding of it, whose exponential overflows from logits of 1e9 on.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def log_softmax(logits: Float[Array, '... k']) -> Float[Array, '... k']:
    """The logarithm of `softmax`: x_k - log sum_j exp(x_j) over the last axis.

    Finite for any finite logits whose differences are. float32 for half precision.
    """
    below = _below_largest(logits)
    return below - jnp.log(jnp.sum(jnp.exp(below), axis=-1, keepdims=True))


def softmax(logits: Float[Array, '... k']) -> Float[Array, '... k']:
    """Shares exp(x_k) / sum_j exp(x_j) over the last axis.

    >>> softmax(jnp.array([1e30, 0.0, 1e30])).tolist()
    [0.5, 0.0, 0.5]
    """
    powers = jnp.exp(_below_largest(logits))
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


def _below_largest(logits):
    """Logits less the largest, which is a constant."""
    logits = in_float32(logits)
    largest = jnp.max(logits, axis=-1, keepdims=True, initial=-jnp.inf)
    return _below(logits, jax.lax.stop_gradient(largest))


@jax.custom_jvp
def _below(logits, largest):
    """The difference, exactly 0 at the largest and below 0 elsewhere, with the gradient of logits."""
    return jnp.where(logits >= largest, 0.0, jnp.minimum(logits - largest, 0.0))


@_below.defjvp
def _below_jvp(primals, tangents):
    return _below(*primals), tangents[0]
