"""Images of any shape brought to a square, and the boxes and masks on them brought along."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

FITS = ('crop', 'pad')


class Placement(NamedTuple):
    """Where an image goes: scaled, then moved so that pixel (top, left) becomes (0, 0).

    Attributes:
      height, width: after scaling.
      top, left: what is cut off there.
      size: of a side of the square; what is not covered is 0.
    """

    height: int
    width: int
    top: int
    left: int
    size: int


def placement(height: int, width: int, size: int, fit: str = 'crop') -> Placement:
    """How an image of this shape is brought to a square of `size` pixels a side.

    Args:
      fit: 'crop': the shorter side is scaled to `size` and the middle square is kept; 'pad': the
        longer side is, and the rest, below or to the right, is 0.

    >>> placement(6, 9, 4), placement(6, 9, 4, 'pad')[:2]
    (Placement(height=4, width=6, top=0, left=1, size=4), (3, 4))
    """
    if fit not in FITS:
        raise ValueError(f'fit: expected one of {FITS}, got {fit!r}')
    if min(height, width, size) < 1:
        raise ValueError(
            f'image_size: expected positive sizes, got {height} x {width} to be brought to {size}'
        )
    if fit == 'crop':
        scale = size / min(height, width)
        height, width = max(round(height * scale), size), max(round(width * scale), size)
        return Placement(height, width, (height - size) // 2, (width - size) // 2, size)
    scale = size / max(height, width)
    height, width = (min(max(round(side * scale), 1), size) for side in (height, width))
    return Placement(height, width, 0, 0, size)


def place_image(
    image: UInt8[np.ndarray, 'h w c'], to: Placement, nearest: bool = False
) -> UInt8[np.ndarray, 's s c']:
    """The image at its place: means of pixels where it shrinks, bilinear where it grows.

    Args:
      nearest: take the nearest pixel in place of that, as masks need it.
    """
    height, width, channels = image.shape
    how = Image.Resampling.BOX if to.height < height else Image.Resampling.BILINEAR
    how = Image.Resampling.NEAREST if nearest else how
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    scaled = np.asarray(picture.resize((to.width, to.height), how))
    scaled = scaled.reshape(to.height, to.width, channels)
    kept = scaled[to.top : to.top + to.size, to.left : to.left + to.size]
    if kept.shape[:2] == (to.size, to.size):
        return kept
    placed = np.zeros((to.size, to.size, channels), np.uint8)
    placed[: kept.shape[0], : kept.shape[1]] = kept
    return placed


def place_boxes(boxes: Float[np.ndarray, 'n 4'], to: Placement) -> Float[np.ndarray, 'n 4']:
    """Boxes xyxy in pixels of the square, cut at what is kept of the image; outside they are empty.

    Args:
      boxes: xyxy as shares of the image's width and height.

    >>> place_boxes(np.array([[0.0, 0.0, 0.5, 1.0]]), placement(6, 9, 4)).tolist()
    [[0.0, 0.0, 2.0, 4.0]]
    """
    sides = np.array([to.width, to.height] * 2, np.float64)
    moved = boxes * sides - np.array([to.left, to.top] * 2)
    most = np.minimum(sides, to.size)
    return np.clip(moved, 0, most).astype(np.float32)
