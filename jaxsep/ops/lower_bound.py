"""A lower bound that lets a value come back."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def lower_bound(x: Float[Array, '...'], bound: float) -> Float[Array, '...']:
    """max(x, bound), with a gradient below the bound too where descent would raise x.

    The cotangent g passes where x >= bound or g < 0, else 0: a parameter that is below its
    bound does not get stuck there, and is not pushed further down. So the gradient is not
    that of max(x, bound), on purpose, and there is no forward mode.

    Args:
      bound: a number; gets no gradient.

    Source: Ballé 2018 (tensorflow-compression's and CompressAI's LowerBound),
    https://arxiv.org/abs/1802.01436

    >>> import jax.numpy as jnp
    >>> pull = lambda x, sign: jax.grad(lambda x: sign * lower_bound(x, 1.0))(jnp.array(x)).item()
    >>> pull(2.0, 1.0), pull(0.5, 1.0), pull(0.5, -1.0)
    (1.0, 0.0, -1.0)
    """
    return jnp.maximum(x, jnp.asarray(bound, x.dtype))


def _forward(x, bound):
    return lower_bound(x, bound), x >= bound


def _backward(bound, passes, g):
    return (jnp.where(passes | (g < 0), g, jnp.zeros_like(g)),)


lower_bound.defvjp(_forward, _backward)
