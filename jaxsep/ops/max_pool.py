"""Max-pooling of images whose gradient is as fast on a CPU as its value."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

MOST_PLACES = 64  # of a window: a slice of the image for each


def max_pool(
    x: Float[Array | np.ndarray, 'b h w c'],
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = 'VALID',
) -> Float[Array, 'b p q c']:
    """The largest value in each window, channel by channel; padding never is.

    The gradient goes to the largest of each window, the first in reading order of equals. XLA's
    gradient is the same and on CPUs much slower (`experiments/benchmarks/convolution.py`) than this
    one, which keeps the place of the largest, found among copies of the image that are shifted
    once for each place of the window; on other devices, and for windows of more than 64 places,
    XLA's is used. Reverse mode only.

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
    pool = _pool if window[0] * window[1] <= MOST_PLACES else _native
    return pool(x, window, strides, padding)


def _native(x, window, strides, padding):
    """XLA's max-pool."""
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
    )


_pool = jax.custom_vjp(_native, nondiff_argnums=(1, 2, 3))


def _forward(x, window, strides, padding):
    largest, place = lax.platform_dependent(
        x,
        cpu=lambda x: _with_place(x, window, strides, padding),
        default=lambda x: _without_place(x, window, strides, padding),
    )
    return largest, (x, place)


def _backward(window, strides, padding, saved, cotangent):
    x, place = saved

    def of_xla(x, place, cotangent):
        del place
        return jax.vjp(lambda x: _native(x, window, strides, padding), x)[1](cotangent)[0]

    def of_place(x, place, cotangent):
        return _to_place(x, place, cotangent, window, strides, padding)

    gradient = lax.platform_dependent(x, place, cotangent, cpu=of_place, default=of_xla)
    return (gradient,)


_pool.defvjp(_forward, _backward)


def _without_place(x, window, strides, padding):
    """XLA's max-pool, whose gradient finds the places again."""
    largest = _native(x, window, strides, padding)
    return largest, jnp.zeros(largest.shape, jnp.uint8)


def _with_place(x, window, strides, padding):
    """Of each window the largest (NaN if any is), and where it stands: the first, in reading order.

    To look for the pixel that equals the largest would be shorter, and wrong: XLA may compute the
    image once more where it is compared, and round it otherwise.
    """
    pads = ((0, 0, 0), *((*side, 0) for side in padding), (0, 0, 0))
    padded = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), pads)
    largest = place = None
    for number, cut in enumerate(_cuts(x.shape, window, strides, padding)):
        seen = padded[cut]
        if largest is None:
            largest, place = seen, jnp.zeros(seen.shape, jnp.uint8)
            continue
        better = (seen > largest) | jnp.isnan(seen)
        largest = jnp.where(better, seen, largest)
        place = jnp.where(better, jnp.asarray(number, place.dtype), place)
    return largest, place


def _to_place(x, place, cotangent, window, strides, padding):
    """For each place of the window, what of the cotangent goes to the pixel that stands there."""
    (top, bottom), (left, right) = padding
    sides = x.shape[1] + top + bottom, x.shape[2] + left + right
    total = None
    for number, (_, rows, columns) in enumerate(_cuts(x.shape, window, strides, padding)):
        given = jnp.where(place == number, cotangent, jnp.zeros_like(cotangent))
        placed = (
            (0, 0, 0),
            *(
                (cut.start, side - cut.stop, cut.step - 1)
                for cut, side in zip((rows, columns), sides, strict=True)
            ),
            (0, 0, 0),
        )
        spread = lax.pad(given, jnp.zeros((), given.dtype), placed)
        total = spread if total is None else total + spread
    return total[:, top : top + x.shape[1], left : left + x.shape[2]]


def _cuts(shape, window, strides, padding):
    """Slices of the padded images: all that stands in a place of its window, place after place."""
    counts = [
        (size + sum(side) - length) // stride + 1
        for size, side, length, stride in zip(shape[1:3], padding, window, strides, strict=True)
    ]
    for i in range(window[0]):
        for j in range(window[1]):
            yield (
                slice(None),
                *(
                    slice(start, start + max(stride * (count - 1) + 1, 0), stride)
                    for start, stride, count in zip((i, j), strides, counts, strict=True)
                ),
            )
