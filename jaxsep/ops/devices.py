"""What a loss needs so that one device and many give the same value and gradient.

Everything here is the identity, or its plain form, when `axis_name` is None:
under jit with a sharded global batch, the compiler places the collectives.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Shaped


def gather(values: Shaped[Array, 'b ...'], axis_name: str | None) -> Shaped[Array, 'n ...']:
    """The rows of all devices in device order; differentiable exactly.

    Under pmap the transpose of the gather sums the cotangents of all devices, so
    the mean over devices of the gradients of a loss that every device computes
    on gathered rows is the gradient of that loss on the global batch.
    """
    if axis_name is None:
        return values
    return jax.lax.all_gather(values, axis_name, tiled=True)


def positions(num_rows: int, axis_name: str | None) -> Int[Array, 'b']:
    """Where the rows of this device stand among the gathered rows of all devices."""
    local = jnp.arange(num_rows, dtype=jnp.int32)
    return local if axis_name is None else local + jax.lax.axis_index(axis_name) * num_rows


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


def varying_like(tree: Any, like: Shaped[Array, '...']) -> Any:
    """The same arrays, typed by shard_map as differing between devices where `like` does.

    A scan inside shard_map that starts from constants needs it. The compiler removes it.
    """
    nothing = jnp.sum(jnp.where(like == like, 0, 0))  # 0, also where like is NaN
    return jax.tree.map(lambda x: x + nothing.astype(x.dtype), tree)


def total(values: Any, axis_name: str | None) -> Any:
    """The sum over the devices of what each has summed over its rows."""
    return values if axis_name is None else jax.lax.psum(values, axis_name)


def mean(values: Shaped[Array, 'b ...'], axis_name: str | None) -> Shaped[Array, '...']:
    """The mean over the rows of all devices (equal shards); 0 without rows."""
    local = jnp.sum(values, axis=0) / max(values.shape[0], 1)
    return local if axis_name is None else jax.lax.pmean(local, axis_name)


def logsumexp(values: Float[Array, 'b'], axis_name: str | None) -> Float[Array, '']:
    """The logarithm of the sum of exponentials over the rows of all devices."""
    largest = jax.lax.stop_gradient(jnp.max(values, initial=-jnp.inf))
    if axis_name is not None:
        largest = jax.lax.pmax(largest, axis_name)
    largest = jnp.where(largest == -jnp.inf, 0.0, largest)
    return jnp.log(total(jnp.sum(jnp.exp(values - largest)), axis_name)) + largest
