"""Digits at random places of a noisy canvas: what pixels cannot compare."""

from collections.abc import Sequence

import numpy as np

from jaxsep.data.sets.sklearn_sets import digits
from jaxsep.data.source import Arrays, Source, take_all


def load(
    *,
    size: int = 14,
    noise: float = 0.2,
    copies: int = 1,
    classes: Sequence[int] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """scikit-learn's digits, 8 x 8 pixels, pasted anywhere in `image` uint8 [size, size, 1]; `label`.

    Normal noise is added to all pixels of the canvas, in units of the full range, and the sum is
    cut off at 0 and 255. Test canvases show digits that no training canvas shows.

    Args:
      size: of the canvas, at least 8.
      noise: standard deviation.
      copies: canvases of each training digit, at other places and with other noise.
      classes: only these digits, numbered in this order; None for all ten.
      test_fraction: share of the digits that is kept for test.
      seed: of the division, the places and the noise.
    """
    if size < 8:
        raise ValueError(f'size: expected at least 8 pixels, got {size}')
    if noise < 0:
        raise ValueError(f'noise: expected 0 or more, got {noise}')
    if copies < 1:
        raise ValueError(f'copies: expected at least 1, got {copies}')
    source = digits(test_fraction=test_fraction, seed=seed, classes=classes)
    rng = np.random.default_rng(seed)
    splits = {}
    for name, split in source.splits.items():
        rows = take_all(split)
        times = copies if name == 'train' else 1
        images = np.repeat(rows['image'], times, axis=0)
        places = rng.integers(0, size - 8 + 1, (len(images), 2))
        canvas = np.zeros((len(images), size, size, 1), np.float32)
        for row, image, (top, left) in zip(canvas, images, places, strict=True):
            row[top : top + 8, left : left + 8] = image
        canvas += 255 * noise * rng.standard_normal(canvas.shape, np.float32)
        columns = {'image': np.clip(np.rint(canvas), 0, 255).astype(np.uint8)}
        splits[name] = Arrays(columns | {'label': np.repeat(rows['label'], times)})
    return Source(splits, source.labels, 'handwritten digits anywhere on a noisy canvas')
