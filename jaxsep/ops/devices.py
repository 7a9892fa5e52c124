"""What a loss needs so that one device and many give the same value and gradient.

Everything here is the identity, or its plain form, when `axis_name` is None:
under jit with a sharded global batch, the compiler places the collectives.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped


def gather(values: Shaped[Array, 'b ...'], axis_name: str | None) -> Shaped[Array, 'n ...']:
    """The rows of all devices in device order; differentiable exactly.

    Under pmap the transpose of the gather sums the cotangents of all devices, so
    the mean over devices of the gradients of a loss that every device computes
    on gathered rows is the gradient of that loss on the global batch.
    """
    if axis_name is None:
        return values
    return jax.lax.all_gather(values, axis_name, tiled=True)


def example_keys(key: Key[Array, ''], batch_size: int, axis_name: str | None) -> Key[Array, 'b']:
    """One key per row of the (local) batch, the same for any number of devices.

    Args:
      batch_size: rows on this device.
    """
    if axis_name is None:
        return jax.random.split(key, batch_size)
    num_devices = jax.lax.axis_size(axis_name)
    keys = jax.random.split(key, batch_size * num_devices)
    start = jax.lax.axis_index(axis_name) * batch_size
    return jax.lax.dynamic_slice_in_dim(keys, start, batch_size)


def mean(values: Shaped[Array, 'b ...'], axis_name: str | None) -> Shaped[Array, '...']:
    """The mean over the rows of all devices (equal shards)."""
    local = jnp.mean(values, axis=0)
    return local if axis_name is None else jax.lax.pmean(local, axis_name)
