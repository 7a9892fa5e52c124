"""Boxes in pixels: areas, overlaps, and the numbers that networks predict in place of corners.

A box is (x1, y1, x2, y2): its left, upper, right and lower edge as floats, the right and lower one
beyond the last pixel, so that a width is x2 - x1. Functions work in float32 or wider.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxsep.ops.geometry import in_float32

Boxes = Float[Array | np.ndarray, '... 4']


def as_floats(x: Float[Array | np.ndarray, '...']) -> Float[Array, '...']:
    """An array of jax in float32 or wider."""
    return in_float32(jnp.asarray(x))


def sides(boxes: Boxes) -> tuple[Float[Array, '...'], Float[Array, '...']]:
    """Widths and heights; negative where corners are swapped."""
    boxes = as_floats(boxes)
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def centers(boxes: Boxes) -> tuple[Float[Array, '...'], Float[Array, '...']]:
    """The x and y of the centres."""
    boxes = as_floats(boxes)
    return 0.5 * (boxes[..., 0] + boxes[..., 2]), 0.5 * (boxes[..., 1] + boxes[..., 3])


def areas(boxes: Boxes) -> Float[Array, '...']:
    """Width times height.

    >>> import numpy as np
    >>> areas(np.array([[1.0, 2.0, 4.0, 4.0]])).tolist()
    [6.0]
    """
    width, height = sides(boxes)
    return width * height


def intersections(a: Boxes, b: Boxes) -> Float[Array, '...']:
    """The area that two boxes share, 0 where they do not meet; leading axes broadcast."""
    a, b = as_floats(a), as_floats(b)
    low, high = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    return jnp.prod(jnp.maximum(high - low, 0.0), axis=-1)


def hull(a: Boxes, b: Boxes) -> tuple[Float[Array, '...'], Float[Array, '...']]:
    """Width and height of the smallest box around both, at least 0."""
    a, b = as_floats(a), as_floats(b)
    low, high = jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
    size = jnp.maximum(high - low, 0.0)
    return size[..., 0], size[..., 1]


def iou(a: Boxes, b: Boxes, epsilon: float = 1e-6) -> Float[Array, '...']:
    """Intersection over union of boxes with boxes; leading axes broadcast.

    Args:
      epsilon: the union is at least that, so that two empty boxes have 0.
    """
    shared = intersections(a, b)
    return shared / jnp.maximum(areas(a) + areas(b) - shared, epsilon)


def giou(a: Boxes, b: Boxes, epsilon: float = 1e-6) -> Float[Array, '...']:
    """IoU - (hull - union) / hull, from -1 (far apart) to 1 (equal); leading axes broadcast.

    Source: Rezatofighi 2019, algorithm 1, https://arxiv.org/abs/1902.09630
    """
    shared = intersections(a, b)
    union = jnp.maximum(areas(a) + areas(b) - shared, epsilon)
    width, height = hull(a, b)
    around = jnp.maximum(width * height, epsilon)
    return shared / union - (around - union) / around


def iof(a: Boxes, b: Boxes, epsilon: float = 1e-6) -> Float[Array, '...']:
    """The share of `a` that lies in `b`, intersection / area(a); leading axes broadcast."""
    return intersections(a, b) / jnp.maximum(areas(a), epsilon)


def pairwise_iou(
    a: Float[Array | np.ndarray, 'n 4'], b: Float[Array | np.ndarray, 'm 4']
) -> Float[Array, 'n m']:
    """`iou` of every box with every box.

    >>> import numpy as np
    >>> a = np.array([[0.0, 0.0, 2.0, 2.0]])
    >>> pairwise_iou(a, np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 1.0]])).tolist()[0][0]
    1.0
    """
    return iou(jnp.asarray(a)[:, None, :], jnp.asarray(b)[None, :, :])


def pairwise_giou(
    a: Float[Array | np.ndarray, 'n 4'], b: Float[Array | np.ndarray, 'm 4']
) -> Float[Array, 'n m']:
    """`giou` of every box with every box."""
    return giou(jnp.asarray(a)[:, None, :], jnp.asarray(b)[None, :, :])


def pairwise_iof(
    a: Float[Array | np.ndarray, 'n 4'], b: Float[Array | np.ndarray, 'm 4']
) -> Float[Array, 'n m']:
    """`iof` of every box with every box: what share of each box of `a` lies in each of `b`."""
    return iof(jnp.asarray(a)[:, None, :], jnp.asarray(b)[None, :, :])


def xyxy_to_cxcywh(boxes: Boxes) -> Float[Array, '... 4']:
    """Corners as centre and size (x, y, width, height)."""
    return jnp.stack([*centers(boxes), *sides(boxes)], axis=-1)


def cxcywh_to_xyxy(boxes: Boxes) -> Float[Array, '... 4']:
    """Centre and size as corners.

    >>> import numpy as np
    >>> cxcywh_to_xyxy(np.array([2.0, 3.0, 2.0, 4.0])).tolist()
    [1.0, 1.0, 3.0, 5.0]
    """
    boxes = as_floats(boxes)
    half = 0.5 * boxes[..., 2:]
    return jnp.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def scale(boxes: Boxes, factor: float) -> Float[Array, '... 4']:
    """The boxes with both sides multiplied by `factor`, centres unchanged."""
    center, half = jnp.stack(centers(boxes), axis=-1), 0.5 * jnp.stack(sides(boxes), axis=-1)
    return jnp.concatenate([center - factor * half, center + factor * half], axis=-1)


def clip(boxes: Boxes, height: int | float, width: int | float) -> Float[Array, '... 4']:
    """Corners moved into an image of that height and width; a box outside becomes empty."""
    boxes = as_floats(boxes)
    bounds = jnp.array([width, height, width, height], boxes.dtype)
    return jnp.clip(boxes, 0.0, bounds.reshape((1,) * (boxes.ndim - 1) + (4,)))


def contains(
    boxes: Float[Array | np.ndarray, 'm 4'], points: Float[Array | np.ndarray, 'n 2']
) -> Bool[Array, 'n m']:
    """Whether each point lies strictly inside each box."""
    boxes, points = as_floats(boxes)[None, :, :], as_floats(points)[:, None, :]
    return jnp.all((points > boxes[..., :2]) & (points < boxes[..., 2:]), axis=-1)


def encode_deltas(priors: Boxes, boxes: Boxes) -> Float[Array, '... 4']:
    """What carries priors to boxes: ((bx - px)/pw, (by - py)/ph, log(bw/pw), log(bh/ph)).

    Centres and sides; sides count as at least 1e-6, so that padding (boxes of zeros) is finite.
    Leading axes broadcast.

    Source: Ren 2015 (Faster R-CNN), equation 2, https://arxiv.org/abs/1506.01497
    """
    (px, py), (pw, ph) = centers(priors), positive_sides(priors)
    (bx, by), (bw, bh) = centers(boxes), positive_sides(boxes)
    parts = [(bx - px) / pw, (by - py) / ph, jnp.log(bw / pw), jnp.log(bh / ph)]
    return jnp.stack(jnp.broadcast_arrays(*parts), axis=-1)


def positive_sides(boxes: Boxes) -> tuple[Float[Array, '...'], Float[Array, '...']]:
    """Widths and heights, at least 1e-6."""
    width, height = sides(boxes)
    return jnp.maximum(width, 1e-6), jnp.maximum(height, 1e-6)


def decode_deltas(
    priors: Boxes,
    deltas: Float[Array | np.ndarray, '... 4'],
    *,
    shape: tuple[int | float, int | float] | None = None,
    largest_ratio: float = 1000 / 16,
) -> Float[Array, '... 4']:
    """The boxes that `encode_deltas` made the numbers of; leading axes broadcast.

    Args:
      shape: (height, width) of the image that corners are clipped to, if any.
      largest_ratio: the logarithms of sides are clipped to plus or minus that of this.
    """
    deltas, bound = as_floats(deltas), abs(math.log(largest_ratio))
    (px, py), (pw, ph) = centers(priors), sides(priors)
    x, y = px + pw * deltas[..., 0], py + ph * deltas[..., 1]
    grown = jnp.exp(jnp.clip(deltas[..., 2:], -bound, bound))
    half_w, half_h = 0.5 * pw * grown[..., 0], 0.5 * ph * grown[..., 1]
    boxes = jnp.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=-1)
    return boxes if shape is None else clip(boxes, *shape)


def encode_tblr(priors: Boxes, boxes: Boxes, normalizer: float = 4.0) -> Float[Array, '... 4']:
    """Distances from a prior's centre (x, y) to the box's top, bottom, left and right edge.

    ((y - y1)/h, (y2 - y)/h, (x - x1)/w, (x2 - x)/w) / normalizer, where w and h are the prior's
    sides. Negative where the centre is outside. Leading axes broadcast.

    Source: Zhu 2019 (FSAF), section 3.2, https://arxiv.org/abs/1903.00621
    """
    boxes, (x, y), (w, h) = as_floats(boxes), centers(priors), positive_sides(priors)
    parts = [y - boxes[..., 1], boxes[..., 3] - y, x - boxes[..., 0], boxes[..., 2] - x]
    scaled = [part / (normalizer * side) for part, side in zip(parts, (h, h, w, w), strict=True)]
    return jnp.stack(jnp.broadcast_arrays(*scaled), axis=-1)


def decode_tblr(
    priors: Boxes,
    distances: Float[Array | np.ndarray, '... 4'],
    *,
    normalizer: float = 4.0,
    shape: tuple[int | float, int | float] | None = None,
) -> Float[Array, '... 4']:
    """The boxes that `encode_tblr` made the numbers of; leading axes broadcast.

    Args:
      shape: (height, width) of the image that corners are clipped to, if any.
    """
    (x, y), (w, h) = centers(priors), sides(priors)
    top, bottom, left, right = jnp.moveaxis(as_floats(distances) * normalizer, -1, 0)
    parts = [x - left * w, y - top * h, x + right * w, y + bottom * h]
    boxes = jnp.stack(jnp.broadcast_arrays(*parts), axis=-1)
    return boxes if shape is None else clip(boxes, *shape)
