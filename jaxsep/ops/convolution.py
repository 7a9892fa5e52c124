"""Convolutions of images that are as fast on a CPU as they can be, and XLA's own elsewhere.

XLA's convolution on CPUs is fast forward and in the gradient of its input. It is slow, up to
twenty times, in the gradient of the kernel, which it computes as one convolution whose window is
the whole image, and where every channel has a kernel of its own (depthwise). Here the gradient of
a kernel is a product of matrices, summed over blocks of images small enough for the cache, and a
depthwise convolution is a sum over the places of its kernel. `experiments/benchmarks/convolution.py`
measures both against PyTorch.

    net = nn.Conv(64, (3, 3), conv_general_dilated=convolution)

or `jaxsep.models.blocks.conv.Conv`, which is that.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32

LAYOUT = ('NHWC', 'HWIO', 'NHWC')
MOST_IMAGES = 8
BLOCK_BYTES = 2**22
"""Of the patches that one block of images makes: they stay in the cache."""


class Window(NamedTuple):
    """How a kernel moves over an image.

    Attributes:
      strides: rows and columns from one place to the next.
      padding: (before, after) for rows and for columns.
      dilation: of the kernel, rows and columns.
      depthwise: every channel has its own kernel, [h, w, 1, c].
      precision: of `jax.lax`.
    """

    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    depthwise: bool
    precision: lax.PrecisionLike


def convolution(
    lhs: Float[Array | np.ndarray, '...'],
    rhs: Float[Array | np.ndarray, '...'],
    window_strides: Sequence[int] = (1, 1),
    padding: str | Sequence[tuple[int, int]] = 'SAME',
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvDimensionNumbers | None = None,
    feature_group_count: int = 1,
    precision: lax.PrecisionLike = None,
) -> Float[Array, '...']:
    """`jax.lax.conv_general_dilated` with the arguments of that, and its values.

    For images x [b, h, w, c] and a kernel [i, j, a, k], [b, p, q, k]:
    out[b, p, q, k] = sum over i, j, a of x[b, s p + d i - before, s q + d j - before, a] rhs[i, j, a, k]
    with stride s and dilation d, in layout NHWC, HWIO, unless `dimension_numbers` says otherwise.
    Images with one group, or one group for each channel and as many outputs, take the way described
    above on CPUs; all others are handed to `jax.lax` as they are. Reverse mode only: forward-mode
    differentiation (`jax.jvp`, `jax.jacfwd`) of the former raises jax's TypeError.
    """
    if dimension_numbers is None:
        dimension_numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
    given = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    plain = lhs.ndim == 4 and given == lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
    depthwise = feature_group_count == lhs.shape[-1] == rhs.shape[-1] and rhs.shape[-2] == 1
    dilated = lhs_dilation is not None and any(step != 1 for step in lhs_dilation)
    if not plain or dilated or (feature_group_count > 1 and not depthwise) or lhs.size == 0:
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
            feature_group_count, precision=precision,
        )  # fmt: skip
    dilation = tuple(rhs_dilation or (1, 1))
    if isinstance(padding, str):
        extent = [d * (size - 1) + 1 for d, size in zip(dilation, rhs.shape[:2], strict=True)]
        padding = lax.padtype_to_pads(lhs.shape[1:3], extent, window_strides, padding)
    padding = tuple((int(before), int(after)) for before, after in padding)
    if min(pad for pair in padding for pad in pair) < 0:
        raise ValueError(f'padding: expected numbers of at least 0, got {padding}')
    depthwise = depthwise and feature_group_count > 1
    window = Window(tuple(window_strides), padding, dilation, depthwise, precision)
    return _convolve(lhs, rhs, window)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x, kernel, window):
    if not window.depthwise:
        return _native(x, kernel, window)
    return lax.platform_dependent(
        x, kernel, cpu=partial(_shifted, window=window), default=partial(_native, window=window)
    )


def _forward(x, kernel, window):
    return _convolve(x, kernel, window), (x, kernel)


def _backward(window, saved, cotangent):
    x, kernel = saved
    of_input = _shifted if window.depthwise else _native

    def input_gradient(x, kernel, cotangent, convolve):
        return jax.vjp(lambda x: convolve(x, kernel, window), x)[1](cotangent)[0]

    def kernel_gradient(x, kernel, cotangent):
        return jax.vjp(lambda kernel: _native(x, kernel, window), kernel)[1](cotangent)[0]

    return (
        lax.platform_dependent(
            x, kernel, cotangent,
            cpu=partial(input_gradient, convolve=of_input),
            default=partial(input_gradient, convolve=_native),
        ),
        lax.platform_dependent(
            x, kernel, cotangent,
            cpu=partial(_blocks_of_images, window=window), default=kernel_gradient,
        ),
    )  # fmt: skip


_convolve.defvjp(_forward, _backward)


def _native(x, kernel, window):
    """XLA's convolution."""
    return lax.conv_general_dilated(
        x, kernel, window.strides, window.padding, None, window.dilation, LAYOUT,
        x.shape[-1] if window.depthwise else 1, precision=window.precision,
    )  # fmt: skip


def _shifted(x, kernel, window):
    """The depthwise convolution as a sum over the places of the kernel, which XLA fuses."""
    taps = in_float32(kernel).reshape(-1, 1, 1, 1, kernel.shape[-1])
    total = sum(seen * tap for seen, tap in zip(_seen(x, kernel, window), taps, strict=True))
    return total.astype(x.dtype)


def _seen(x, kernel, window) -> list[Array]:
    """What each place of the kernel sees: the padded image, shifted and strided, [b, p, q, c]."""
    padded = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    places = [
        (size - window.dilation[axis] * (kernel.shape[axis] - 1) - 1) // window.strides[axis]
        for axis, size in enumerate(padded.shape[1:3])
    ]
    last = [places[axis] * window.strides[axis] + 1 for axis in (0, 1)]
    starts = [
        (window.dilation[0] * i, window.dilation[1] * j)
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return [
        padded[:, i : i + last[0] : window.strides[0], j : j + last[1] : window.strides[1]]
        for i, j in starts
    ]


def _blocks_of_images(x, kernel, cotangent, window):
    """The gradient of the kernel, summed over blocks of images in float32.

    Block t holds the images t, t + b/n, t + 2 b/n, ...: with the batch divided over devices,
    each has its share of every block.
    """
    taps, places = kernel.shape[0] * kernel.shape[1], cotangent.shape[1] * cotangent.shape[2]
    bytes_an_image = 4 * taps * places * x.shape[-1]
    n = next(
        n for n in (MOST_IMAGES, 4, 2, 1)
        if len(x) % n == 0 and (n == 1 or n * bytes_an_image <= BLOCK_BYTES)
    )  # fmt: skip
    images = x.reshape(n, -1, *x.shape[1:])
    cotangents = cotangent.reshape(n, -1, *cotangent.shape[1:])
    gradient = _depthwise_gradient if window.depthwise else _dense_gradient

    def add(total, block):
        of_block = (lax.dynamic_index_in_dim(a, block, 1, False) for a in (images, cotangents))
        return total + gradient(*of_block, kernel, window), None

    zero = jnp.zeros(kernel.shape, jnp.promote_types(kernel.dtype, jnp.float32))
    total, _ = lax.scan(add, zero, jnp.arange(images.shape[1]))
    return total.astype(kernel.dtype)


def _dense_gradient(x, cotangent, kernel, window):
    """Patches, transposed, times the cotangent."""
    patches = jnp.concatenate(_seen(x, kernel, window), -1)
    patches = patches.reshape(-1, patches.shape[-1])
    cotangent = cotangent.reshape(-1, cotangent.shape[-1])
    wide = jnp.promote_types(kernel.dtype, jnp.float32)
    product = jnp.matmul(
        patches.T, cotangent, precision=window.precision, preferred_element_type=wide
    )
    return product.reshape(kernel.shape)


def _depthwise_gradient(x, cotangent, kernel, window):
    """For each place of the kernel and each channel the sum of what it sees times the cotangent."""
    cotangent = in_float32(cotangent)
    sums = [jnp.sum(seen * cotangent, (0, 1, 2)) for seen in _seen(x, kernel, window)]
    return jnp.stack(sums).reshape(kernel.shape)
