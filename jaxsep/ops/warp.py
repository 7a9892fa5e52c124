"""Geometric warps of images without a single gather: two passes of weighted sums.

How fast XLA's gathers are depends on device, version and number of channels; dense sums are
the same everywhere. An affine warp is done as one pass along the columns and one along the
rows (Catmull and Smith 1980, "3-D transformations of images in scanline order"): every output
pixel of a pass is the sum of all pixels of its line, weighted by a tent that is 1 at the
wanted position and 0 one pixel away.

A warp is a 3 x 3 matrix from output to source coordinates, (row, column, 1) in pixels
relative to the centres of the two images; warps compose by the matrix product:
`first_seen @ then`, where the left one is applied to the source first.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

UNROLLED = 64
"""Lines up to this length are summed by unrolled code (fast on CPU), longer ones by a product."""


def tent(x: Float[Array, '...']) -> Float[Array, '...']:
    """max(1 - |x|, 0), the weights of linear interpolation."""
    return jnp.maximum(1.0 - jnp.abs(x), 0.0)


def resample(
    values: Float[Array, 'h w c'],
    positions: Float[Array, 'p q'],
    axis: int,
    support: Float[Array, ''] | float | None = None,
) -> Float[Array, 'o r c']:
    """Linear interpolation of all lines of an image along one axis.

    axis 0: out[o, m, c] = sum_s values[s, m, c] tent(s - positions[o, m]);
    axis 1: out[m, o, c] = sum_s values[m, s, c] tent(s - positions[m, o]).
    `positions` broadcasts over the lines m. Beyond the image all values are 0.

    Args:
      support: half width of the tent in source pixels, at least 1, against aliasing
        where the output is coarser than the source. The weights are then divided by
        their sum, so that nothing fades towards the border. None: plain interpolation.
    """
    size = values.shape[axis]
    width = 1.0 if support is None else support
    if size <= UNROLLED:
        lines = [jax.lax.slice_in_dim(values, s, s + 1, axis=axis) for s in range(size)]
        total = sum(line * tent((s - positions) / width)[..., None] for s, line in enumerate(lines))
    else:
        places = jnp.arange(size, dtype=positions.dtype)
        equation = 'smc,som->omc' if axis == 0 else 'msc,mso->moc'
        lines = values.shape[1 - axis]
        at = jnp.broadcast_to(
            positions, (positions.shape[0], lines) if axis == 0 else (lines, positions.shape[1])
        )
        distance = jnp.expand_dims(places, (1, 2) if axis == 0 else (0, 2)) - jnp.expand_dims(
            at, axis
        )
        total = jnp.einsum(
            equation, values, tent(distance / width), precision=jax.lax.Precision.HIGHEST
        )
    if support is None:
        return total
    weight = sum(tent((s - positions) / width) for s in range(size))
    return total / jnp.where(weight > 0, weight, 1.0)[..., None]


def affine_matrix(
    rotation: Float[Array, ''] | float = 0.0,
    shear: Float[Array, ''] | float = 0.0,
    scale: Float[Array, '2'] | Float[Array, ''] | float = 1.0,
    translation: Float[Array, '2'] | float = 0.0,
) -> Float[Array, '3 3']:
    """The warp that moves what is seen: enlarge, shear, rotate, then shift.

    A source point p appears at R S diag(scale) p + translation, R the rotation from
    rows towards columns (counter-clockwise on the screen) and S = [[1, 0], [tan(shear), 1]];
    the matrix returned is the inverse of that map.

    Args:
      rotation: radians.
      shear: radians; columns move by tan(shear) pixels per row.
      scale: above 1 enlarges; one number or (rows, columns).
      translation: pixels (rows, columns), downwards and to the right.

    >>> import jax.numpy as jnp
    >>> float(affine_matrix(translation=jnp.array([0.0, 2.0]))[1, 2])
    -2.0
    """
    dtype = jnp.result_type(float)
    cos, sin = jnp.cos(jnp.asarray(rotation, dtype)), jnp.sin(jnp.asarray(rotation, dtype))
    lean = jnp.tan(jnp.asarray(shear, dtype))
    y, x = jnp.broadcast_to(jnp.asarray(1.0 / scale, dtype), (2,))
    dy, dx = jnp.broadcast_to(jnp.asarray(translation, dtype), (2,))
    # diag(1 / scale) S^-1 R^T, written out
    linear = jnp.array([[y * cos, y * sin], [x * (-lean * cos - sin), x * (-lean * sin + cos)]])
    shift = -(linear[:, 0] * dy + linear[:, 1] * dx)
    return jnp.concatenate(
        [jnp.concatenate([linear, shift[:, None]], axis=1), jnp.array([[0.0, 0.0, 1.0]], dtype)]
    )


def crop_matrix(
    top: Float[Array, ''] | float,
    left: Float[Array, ''] | float,
    height: Float[Array, ''] | float,
    width: Float[Array, ''] | float,
    source_shape: tuple[int, int],
    shape: tuple[int, int],
) -> Float[Array, '3 3']:
    """The warp that shows the box [top, top + height) x [left, left + width) in full.

    Args:
      top, left, height, width: in source pixels, need not be whole.
      source_shape: rows and columns of the image to crop from.
      shape: rows and columns of the output.
    """
    dtype = jnp.result_type(float)
    rows = [
        jnp.asarray(v, dtype) for v in (height / shape[0], top + (height - source_shape[0]) / 2)
    ]
    columns = [
        jnp.asarray(v, dtype) for v in (width / shape[1], left + (width - source_shape[1]) / 2)
    ]
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    return jnp.array([[rows[0], zero, rows[1]], [zero, columns[0], columns[1]], [zero, zero, one]])


def compose(*matrices: Float[Array, '3 3']) -> Float[Array, '3 3']:
    """One warp that does what the given ones do one after the other, the first one first."""
    total = jnp.eye(3)
    for matrix in matrices:
        total = jnp.matmul(total, matrix, precision=jax.lax.Precision.HIGHEST)
    return total


def warp_affine(
    image: Float[Array, 'h w c'],
    matrix: Float[Array, '3 3'],
    shape: tuple[int, int] | None = None,
) -> Float[Array, 'i j c']:
    """Shows the image through an affine warp; 0 where it looks beyond the border.

    out[u, v] = source at (a u + b v + e, c u + d v + f). Columns first: at source row r,
    output column v needs u = (r - b v - e) / a, hence source column
    (c / a) r + (d - b c / a) v + f - (c / a) e. Then rows, at a u + b v + e. Where
    |a| < |c|, the image is transposed before, so that any rotation works. Exact for
    the identity, for shifts by whole pixels and for quarter turns; otherwise bilinear along
    sheared lines, which differs a little from gathering four neighbours. There is no
    protection against aliasing: for strong reduction use `crop_and_resize`.
    The matrix must be invertible.

    Args:
      shape: rows and columns of the output; those of the image if None.
    """
    h, w, _ = image.shape
    out_h, out_w = (h, w) if shape is None else shape
    side = max(h, w)
    image = jnp.pad(image, ((0, side - h), (0, side - w), (0, 0)))
    (a, b, e), (c, d, f) = matrix[0], matrix[1]
    e, f = e + (h - 1) / 2, f + (w - 1) / 2
    turned = jnp.abs(a) < jnp.abs(c)
    image = jnp.where(turned, jnp.swapaxes(image, 0, 1), image)
    a, c = jnp.where(turned, c, a), jnp.where(turned, a, c)
    b, d = jnp.where(turned, d, b), jnp.where(turned, b, d)
    e, f = jnp.where(turned, f, e), jnp.where(turned, e, f)
    u = (jnp.arange(out_h, dtype=matrix.dtype) - (out_h - 1) / 2)[:, None]
    v = (jnp.arange(out_w, dtype=matrix.dtype) - (out_w - 1) / 2)[None, :]
    r = jnp.arange(side, dtype=matrix.dtype)[:, None]
    slope = c / a
    # f + d v + slope (r - e - b v), in an order that leaves whole numbers whole
    columns = resample(image, slope * (r - e - b * v) + d * v + f, axis=1)
    return resample(columns, a * u + b * v + e, axis=0)


def crop_and_resize(
    image: Float[Array, 'h w c'],
    top: Float[Array, ''] | float,
    left: Float[Array, ''] | float,
    height: Float[Array, ''] | float,
    width: Float[Array, ''] | float,
    shape: tuple[int, int],
) -> Float[Array, 'i j c']:
    """The box [top, top + height) x [left, left + width), resized; free of aliasing.

    Pixel i of the output looks at top + (i + 1/2) height / shape[0] - 1/2, with a tent as wide
    as the reduction factor, normalised within the image. The same as
    `jax.image.resize(method='linear')` when the box is the whole image.
    """
    for axis, (start, extent) in enumerate(((top, height), (left, width))):
        step = jnp.asarray(extent / shape[axis], image.dtype)
        places = (jnp.arange(shape[axis], dtype=image.dtype) + 0.5) * step - 0.5 + start
        image = resample(
            image, jnp.expand_dims(places, 1 - axis), axis, support=jnp.maximum(step, 1.0)
        )
    return image
