"""Pooling of a feature map into one vector."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def gem(
    x: Float[Array, '...'],
    p: float | Float[Array, ''] = 3.0,
    *,
    axes: Sequence[int] = (1, 2),
    eps: float = 1e-6,
) -> Float[Array, '...']:
    """The generalised mean over the places of a feature map: (mean max(x, eps)^p)^(1/p).

    p = 1 is average pooling of what is above 0, p to infinity max pooling; p may be learnt. The
    largest value is divided out first, so that no power over- or underflows. Values below eps get
    no gradient.

    Args:
      axes: those of the places; (1, 2) for [b, h, w, c].

    >>> import jax.numpy as jnp
    >>> gem(jnp.array([[[[1.0], [3.0]]]]), 1.0).tolist()
    [[2.0]]

    Source: Radenovic 2018, equation 3, https://arxiv.org/abs/1711.02512
    """
    axes = tuple(axes)
    x = jnp.maximum(in_float32(x), eps)
    largest = jax.lax.stop_gradient(jnp.max(x, axis=axes, keepdims=True))
    mean = jnp.mean(jnp.power(x / largest, p), axis=axes, keepdims=True)
    return jnp.squeeze(largest * jnp.power(mean, 1.0 / p), axis=axes)
