"""Max-pooling of images whose gradient is as fast on a CPU as its value."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Sides = tuple[tuple[int, int], tuple[int, int]]


def max_pool(
    x: Float[Array | np.ndarray, 'b h w c'],
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = 'VALID',
) -> Float[Array, 'b p q c']:
    """The largest value in each window, channel by channel; padding never is.

    The gradient goes to the largest of each window, the first in reading order of equals. XLA's
    gradient is the same and on CPUs some twelve times as slow as this one, which compares
    the image, shifted once for each place of the window, with the result
    (`experiments/benchmarks/convolution.py`); on other devices XLA's is used. Reverse mode only.

    Args:
      window: rows and columns.
      strides: from one window to the next; the window's sides if None.
      padding: 'VALID', 'SAME', or (before, after) for rows and for columns.

    >>> max_pool(jnp.arange(8.0).reshape(1, 2, 4, 1)).ravel().tolist()
    [5.0, 7.0]
    """
    window = tuple(window)
    strides = window if strides is None else tuple(strides)
    if len(window) != 2 or len(strides) != 2 or min(*window, *strides) < 1:
        raise ValueError(
            f'window and strides: expected two numbers of at least 1, got {window} and {strides}'
        )
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    padding = tuple((int(before), int(after)) for before, after in padding)
    for side, size in zip(padding, window, strict=True):
        if not all(0 <= pad < size for pad in side):
            raise ValueError(
                f'padding: expected 0 to {size - 1} for a window of {size}, got {side}'
            )
    return _pool(x, window, strides, padding)


def _native(x, window, strides, padding):
    """XLA's max-pool."""
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
    )


_pool = jax.custom_vjp(_native, nondiff_argnums=(1, 2, 3))


def _forward(x, window, strides, padding):
    largest = _pool(x, window, strides, padding)
    return largest, (x, largest)


def _backward(window, strides, padding, saved, cotangent):
    x, largest = saved

    def of_xla(x, largest, cotangent):
        return jax.vjp(lambda x: _native(x, window, strides, padding), x)[1](cotangent)[0]

    shifted = partial(_shifted, window=window, strides=strides, padding=padding)
    gradient = lax.platform_dependent(x, largest, cotangent, cpu=shifted, default=of_xla)
    return (gradient,)


_pool.defvjp(_forward, _backward)


def _shifted(x, largest, cotangent, window, strides, padding):
    """For each place of the window, what of the cotangent goes to the pixel that stands there."""
    lowest = jnp.asarray(-jnp.inf, x.dtype)
    padded = lax.pad(x, lowest, ((0, 0, 0), *((*side, 0) for side in padding), (0, 0, 0)))
    spans = [
        stride * (size - 1) + 1 for stride, size in zip(strides, largest.shape[1:3], strict=True)
    ]
    total, free = None, jnp.ones(largest.shape, bool)
    for i in range(window[0]):
        for j in range(window[1]):
            seen = padded[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1]]
            hit = free & (seen == largest)
            free = free & ~hit
            given = jnp.where(hit, cotangent, jnp.zeros_like(cotangent))
            ends = [
                padded.shape[axis + 1] - start - spans[axis] for axis, start in enumerate((i, j))
            ]
            placed = (
                (0, 0, 0),
                (i, ends[0], strides[0] - 1),
                (j, ends[1], strides[1] - 1),
                (0, 0, 0),
            )
            spread = lax.pad(given, jnp.zeros((), given.dtype), placed)
            total = spread if total is None else total + spread
    (top, _), (left, _) = padding
    return total[:, top : top + x.shape[1], left : left + x.shape[2]]
