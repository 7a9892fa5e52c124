"""Maxima and minima whose gradient goes where the value came from."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def reduce_max(
    x: Float[Array, '...'], axis: int | Sequence[int] | None = None, *, empty: float | None = None
) -> Float[Array, '...']:
    """The largest entry along an axis, along some axes, or of all.

    The gradient goes to one of the largest, the first. That of `jnp.max` goes to the entries that
    equal the maximum, which XLA may have computed a second time and rounded otherwise: on CPUs it
    is lost, or NaN, now and then.

    Args:
      empty: the value where there are no entries; without it that is an error.

    >>> jax.grad(lambda x: reduce_max(x))(jnp.array([1.0, 3.0, 3.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    if axis is None:
        x, axis = x.ravel(), 0
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if not axes or not all(-x.ndim <= a < x.ndim for a in axes):
        raise ValueError(f'axis: expected axes of {x.ndim} dimensions, got {axis}')
    axes = sorted(a % x.ndim for a in axes)
    x = jnp.moveaxis(x, axes, range(axes[0], axes[0] + len(axes)))
    before, after = x.shape[: axes[0]], x.shape[axes[0] + len(axes) :]
    size = math.prod(x.shape[axes[0] : axes[0] + len(axes)])
    if size == 0:
        if empty is None:
            raise ValueError(f'x: expected entries along axis {axis}, got shape {x.shape}')
        return jnp.full((*before, *after), empty, x.dtype)
    return _along(x.reshape(*before, size, *after), len(before))


def reduce_min(
    x: Float[Array, '...'], axis: int | Sequence[int] | None = None, *, empty: float | None = None
) -> Float[Array, '...']:
    """The smallest entry, found as `reduce_max` finds the largest."""
    return -reduce_max(-x, axis, empty=None if empty is None else -empty)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _along(x, axis):
    return jnp.max(x, axis=axis)


@_along.defjvp
def _along_jvp(axis, primals, tangents):
    (x,), (tangent,) = primals, tangents
    place = jnp.argmax(x, axis=axis, keepdims=True)
    return _along(x, axis), jnp.squeeze(jnp.take_along_axis(tangent, place, axis), axis)
