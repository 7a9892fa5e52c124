"""Several looks at one image that are always the same ones: crops, turns, mirrors, sub-patches."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsep.ops.warp import affine_matrix, crop_and_resize, warp_affine

CROP = 2 / 3
"""Side of a crop over that of the image: 4/9 of the area."""
TURN = math.radians(30.0)
VIEWS = ('augment16', 'spatial')


def augment16(image: Float[Array, 'h w c']) -> Float[Array, '16 h w c']:
    """The image, five crops, two rotations, and the mirror images of these eight.

    Crops have 4/9 of the area, stand in the corners (top left, top right, bottom left, bottom
    right) and in the middle, and are resized to the whole; rotations are by 30 degrees either way,
    with 0 where nothing is known. Mirrors swap left and right. Source: Sharif Razavian et al., 2014,
    https://arxiv.org/abs/1403.6382.
    """
    h, w, _ = image.shape
    free = 1 - CROP
    corners = ((0.0, 0.0), (0.0, free), (free, 0.0), (free, free), (free / 2, free / 2))
    crops = [
        crop_and_resize(image, top * h, left * w, CROP * h, CROP * w, (h, w))
        for top, left in corners
    ]
    turned = [warp_affine(image, affine_matrix(rotation=angle)) for angle in (TURN, -TURN)]
    eight = jnp.stack([image, *crops, *turned])
    return jnp.concatenate([eight, eight[:, :, ::-1]])


def spatial_boxes(levels: int) -> Float[np.ndarray, 'p 4']:
    """Boxes (x0, y0, x1, y1) of sub-patches in the unit square, levels 1 to `levels` in order.

    Level h has h^2 patches of side 2 / (h + 1) at steps of 1 / (h + 1), row by row; level 1 is the
    whole image. Source: Sharif Razavian et al., 2014, section 4.

    >>> spatial_boxes(1).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    if levels < 1:
        raise ValueError(f'levels: expected at least 1, got {levels}')
    boxes = [
        (x / (h + 1), y / (h + 1), (x + 2) / (h + 1), (y + 2) / (h + 1))
        for h in range(1, levels + 1)
        for y in range(h)
        for x in range(h)
    ]
    return np.array(boxes)


def spatial_patches(image: Float[Array, 'h w c'], levels: int) -> Float[Array, 'p h w c']:
    """The sub-patches of `spatial_boxes`, each resized to the size of the image."""
    h, w, _ = image.shape
    patches = [
        crop_and_resize(image, y0 * h, x0 * w, (y1 - y0) * h, (x1 - x0) * w, (h, w))
        for x0, y0, x1, y1 in spatial_boxes(levels).tolist()
    ]
    return jnp.stack(patches)


def make_views(
    *, name: str, levels: int = 2
) -> Callable[[Float[Array, 'b h w c']], Float[Array, 'b v h w c']]:
    """The function from images to their views that a config names.

    Args:
      name: augment16, or spatial (`spatial_patches`).
      levels: of the latter.
    """
    if name not in VIEWS:
        raise ValueError(f'views.name: expected one of {VIEWS}, got {name!r}')
    if name == 'augment16':
        return jax.vmap(augment16)
    spatial_boxes(levels)
    return jax.vmap(lambda image: spatial_patches(image, levels))
