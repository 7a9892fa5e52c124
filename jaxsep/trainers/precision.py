"""Half precision where it is fast and harmless: inside the layers of networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsep.method import Method


def compute_in(method: Method, dtype: str) -> Method:
    """The method with the layers of its networks computed in `dtype` while it learns.

    Every flax layer that names no `dtype` of its own casts its inputs and its parameters to this
    one; what a whole network hands on, and with it every loss, is float32 again. Parameters and
    their gradients, the optimizer, running statistics and teachers stay float32, as do the
    outputs for evaluation.

    Args:
      dtype: 'float32' (nothing changes) or 'bfloat16'.
    """
    if dtype == 'float32':
        return method
    wanted = jnp.dtype(dtype)

    def in_dtype(run, args, kwargs, context):
        module = context.module
        if getattr(module, 'dtype', wanted) is None:  # the copy that this call of apply has made
            object.__setattr__(module, 'dtype', wanted)
        found = run(*args, **kwargs)
        return found if module.path else jax.tree.map(in_float32, found)

    def in_float32(x):
        return x.astype(jnp.float32) if getattr(x, 'dtype', None) == wanted else x

    def loss(params, extra, batch, key):
        with nn.intercept_methods(in_dtype):
            return method.loss(params, extra, batch, key)

    return method._replace(loss=loss)
