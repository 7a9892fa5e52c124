"""Resizing and sampling of maps by the rules of PyTorch, which most papers' code is written with.

Pixel i of a side of n pixels has its centre at i + 1/2, and the side spans 0 to n: 'half-pixel'. With
`align_corners` the centres of the first and of the last pixel are the ends. There is no protection
against aliasing; `jaxsep.ops.warp.crop_and_resize` has one, and is what augmentations use.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxsep.ops.geometry import in_float32

PADDINGS = ('zeros', 'border')


def resize_bilinear(
    x: Float[Array, 'b _ _ c'], shape: tuple[int, int], *, align_corners: bool = False
) -> Float[Array, 'b h w c']:
    """Maps of another size, linear between the centres of pixels, constant beyond the outermost.

    Output row i looks at (i + 1/2) n / m - 1/2 of n input rows, m output rows, cut to 0 .. n - 1; with
    `align_corners` at i (n - 1) / (m - 1), and at 0 if m = 1. Columns alike. Equal to
    `torch.nn.functional.interpolate(mode='bilinear')`, to the bit where the size stays the same.
    Computed in float32 for half precision, and returned as it came.

    Args:
      shape: height and width of the result.

    >>> import jax.numpy as jnp
    >>> resize_bilinear(jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1), (1, 4)).ravel().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    check_sizes(x.shape[1:3], shape)
    y = in_float32(x)
    for equation, size, out in zip(
        ('oh,bhwc->bowc', 'ow,bhwc->bhoc'), x.shape[1:3], shape, strict=True
    ):
        if size != out:
            weights = jnp.asarray(linear_weights(size, out, align_corners), y.dtype)
            y = jnp.einsum(equation, weights, y, precision=jax.lax.Precision.HIGHEST)
    return y.astype(x.dtype)


def linear_weights(size: int, out: int, align_corners: bool) -> Float[np.ndarray, 'out size']:
    """What each output pixel of a line takes from each input pixel; rows sum to 1."""
    places = np.arange(out)
    if align_corners:
        wanted = places * ((size - 1) / max(out - 1, 1))
    else:
        wanted = (places + 0.5) * (size / out) - 0.5
    wanted = np.clip(wanted, 0, size - 1)
    return np.maximum(1 - np.abs(wanted[:, None] - np.arange(size)), 0)


def resize_nearest(
    x: Shaped[Array, 'b _ _ *c'], shape: tuple[int, int]
) -> Shaped[Array, 'b h w *c']:
    """Row floor(i n / m) for row i of m, of n rows; columns alike. Also for label maps [b, h, w].

    PyTorch's 'nearest', in integers, so that no rounding moves a pixel. `jax.image.resize` looks at
    the centres instead, which differs where the ratio is not whole.

    >>> import jax.numpy as jnp
    >>> resize_nearest(jnp.arange(3).reshape(1, 1, 3), (1, 5)).ravel().tolist()
    [0, 0, 1, 1, 2]
    """
    check_sizes(x.shape[1:3], shape)
    if x.shape[1:3] == tuple(shape):
        return x
    rows, columns = (
        np.arange(out) * size // out for size, out in zip(x.shape[1:3], shape, strict=True)
    )
    return x[:, rows][:, :, columns]


def grid_sample(
    x: Float[Array, 'b h w c'],
    grid: Float[Array, 'b *q 2'],
    *,
    padding: str = 'zeros',
    align_corners: bool = False,
) -> Float[Array, 'b *q c']:
    """The bilinear values of maps at places (x, y), -1 at the left and upper end, 1 at the others.

    The ends are the edges of the outermost pixels, or their centres with `align_corners`. Beyond
    them all is 0, or as at the nearest place within ('border'). Differentiable in maps and places;
    of a place whose value does not depend on it the gradient is 0. As PyTorch's `grid_sample`.
    Computed and returned in float32 for half precision.

    Args:
      grid: x (column) first; any number of axes between batch and coordinates.
      padding: 'zeros' or 'border'.

    >>> import jax.numpy as jnp
    >>> row = jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> grid_sample(row, jnp.array([[[0.0, 0.0], [1.0, 0.0]]])).ravel().tolist()
    [2.0, 1.5]
    """
    if padding not in PADDINGS:
        raise ValueError(f'padding: expected one of {PADDINGS}, got {padding!r}')
    b, h, w, c = x.shape
    check_sizes((h, w), (h, w))
    x, grid = in_float32(x), in_float32(grid)
    # Row and column of each place in pixels, and of the pixel above and left of it.
    places = []
    for size, coordinate in ((h, grid[..., 1]), (w, grid[..., 0])):
        scaled = (coordinate + 1) * (size - 1) if align_corners else (coordinate + 1) * size - 1
        # Two pixels beyond the border nothing is seen: numbers too large for integers end there.
        low, high = (0, size - 1) if padding == 'border' else (-2, size + 1)
        places.append(jnp.clip(scaled / 2, low, high).reshape(b, -1))
    corners = [jnp.floor(jax.lax.stop_gradient(place)).astype(jnp.int32) for place in places]
    total = jnp.zeros((b, places[0].shape[1], c), x.dtype)
    for down in (0, 1):
        for right in (0, 1):
            weight, pixel = jnp.ones_like(places[0]), []
            for size, place, corner, step in zip(
                (h, w), places, corners, (down, right), strict=True
            ):
                at = corner + step
                inside = (at >= 0) & (at < size)
                weight = weight * (1 - jnp.abs(place - at)) * inside
                pixel.append(jnp.clip(at, 0, size - 1))
            total += weight[..., None] * jax.vmap(lambda m, i, j: m[i, j])(x, *pixel)
    return total.reshape(*grid.shape[:-1], c)


def check_sizes(given: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raises ValueError unless both have a row and a column."""
    if min(*given, *wanted) < 1:
        raise ValueError(f'shape: expected at least one pixel a side, got {given} to {wanted}')
