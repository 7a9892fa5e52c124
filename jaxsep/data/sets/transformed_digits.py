"""Forty classes out of ten digits: each digit as it is and under three exact transformations.

The transformations move pixels and invert them; nothing is interpolated. A transformed digit is a
class of its own: an offline stand-in for class-incremental data with more than ten classes.
"""

import numpy as np
from jaxtyping import UInt8

from jaxsep.data.sets import mnist5k, sklearn_sets
from jaxsep.data.source import Arrays, Source, take_all

IMAGES = {'digits': sklearn_sets.digits, 'mnist5k': mnist5k.load}
TRANSFORMS = ('upright', 'turned', 'negative', 'rolled')


def load(
    *, images: str = 'digits', num_transforms: int = 4, test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """Digits in 10 num_transforms classes: class 10 t + d is digit d under transformation t.

    Every digit appears once under each transformation, all of them in the same split. Transformation
    0 leaves it, 1 turns it by 90 degrees, 2 inverts its grey levels and mirrors it, 3 rolls rows
    and columns by half of the image. Labels: `label` of 10 num_transforms classes, and its
    factors `digit` and `transform`.

    Args:
      images: 'digits' (scikit-learn, 8 x 8) or 'mnist5k' (28 x 28, a package of 1.4 MB).
      num_transforms: the first so many transformations, 1 to 4.
      test_fraction: share of the digits that is kept for test.
      seed: of the division.
    """
    if images not in IMAGES:
        raise ValueError(f'images: expected one of {sorted(IMAGES)}, got {images!r}')
    if not 1 <= num_transforms <= len(TRANSFORMS):
        raise ValueError(f'num_transforms: expected 1 to {len(TRANSFORMS)}, got {num_transforms}')
    found = IMAGES[images](test_fraction=test_fraction, seed=seed)
    digits = found.labels['label']
    splits = {}
    for name, split in found.splits.items():
        rows = take_all(split)
        transform = np.repeat(np.arange(num_transforms, dtype=np.int32), len(split))
        digit = np.tile(rows['label'], num_transforms)
        image = np.concatenate([transformed(rows['image'], t) for t in range(num_transforms)])
        splits[name] = Arrays(
            {
                'image': image,
                'label': (len(digits) * transform + digit).astype(np.int32),
                'digit': digit,
                'transform': transform,
            }
        )
    names = TRANSFORMS[:num_transforms]
    labels = {
        'label': tuple(f'{digit} {name}' for name in names for digit in digits),
        'digit': digits,
        'transform': names,
    }
    return Source(splits, labels, 'handwritten digits under exact transformations')


def transformed(images: UInt8[np.ndarray, 'n h w c'], number: int) -> UInt8[np.ndarray, 'n h w c']:
    """The images under one of the transformations.

    >>> image = np.array([[[[0], [9]], [[0], [0]]]], np.uint8)
    >>> [transformed(image, t)[0, ..., 0].tolist() for t in range(4)]
    [[[0, 9], [0, 0]], [[9, 0], [0, 0]], [[246, 255], [255, 255]], [[0, 0], [9, 0]]]
    """
    _, height, width, _ = images.shape
    if number == 1:
        return np.rot90(images, axes=(1, 2))
    if number == 2:
        return (255 - images)[:, :, ::-1]
    if number == 3:
        return np.roll(images, (height // 2, width // 2), axis=(1, 2))
    return images
