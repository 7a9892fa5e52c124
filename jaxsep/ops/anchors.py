"""The boxes and points that a dense detector starts from, for every cell of every feature map."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Shape = tuple[int, int]


def anchors(
    shape: Shape,
    stride: int | float,
    *,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    base_scale: int | float = 4.0,
    scales_per_octave: int = 3,
) -> Float[np.ndarray, 'n 4']:
    """Boxes of several sizes and shapes around the corner (j stride, i stride) of every cell.

    Their sides are h = size sqrt(ratio) and w = size / sqrt(ratio), with
    size = stride base_scale 2^(s / scales_per_octave) for s = 0, 1, ...

    Args:
      shape: (rows, columns) of the feature map.
      ratios: of height to width.

    Returns:
      float32, row by row of cells; in a cell ratio by ratio, sizes fastest.

    >>> anchors((1, 2), 8, ratios=(1.0,), base_scale=1.0, scales_per_octave=1).tolist()
    [[-4.0, -4.0, 4.0, 4.0], [4.0, -4.0, 12.0, 4.0]]

    Source: Lin 2017 (RetinaNet), section 4, https://arxiv.org/abs/1708.02002; octaves as there,
    centres without the half cell as in the code of mmdetection
    """
    if scales_per_octave < 1 or base_scale <= 0 or stride <= 0 or not ratios or min(ratios) <= 0:
        raise ValueError(
            'stride, ratios, base_scale, scales_per_octave: expected positive numbers, got '
            f'{stride}, {tuple(ratios)}, {base_scale}, {scales_per_octave}'
        )
    sizes = stride * base_scale * 2.0 ** (np.arange(scales_per_octave) / scales_per_octave)
    roots = np.sqrt(np.asarray(ratios, np.float64))
    half_h = 0.5 * (roots[:, None] * sizes[None, :]).reshape(-1)
    half_w = 0.5 * (sizes[None, :] / roots[:, None]).reshape(-1)
    around = np.stack([-half_w, -half_h, half_w, half_h], axis=1)
    corners = points(shape, stride, offset=0.0).astype(np.float64)
    boxes = np.concatenate([corners, corners], axis=1)[:, None, :] + around[None, :, :]
    return boxes.reshape(-1, 4).astype(np.float32)


def points(shape: Shape, stride: int | float, *, offset: float = 0.5) -> Float[np.ndarray, 'n 2']:
    """((j + offset) stride, (i + offset) stride) for every cell (i, j), row by row.

    >>> points((2, 1), 4).tolist()
    [[2.0, 2.0], [2.0, 6.0]]
    """
    rows, columns = shape
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing='ij')
    return ((np.stack([x, y], axis=-1).reshape(-1, 2) + offset) * stride).astype(np.float32)
