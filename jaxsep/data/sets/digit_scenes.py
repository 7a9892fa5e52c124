"""Digits on photographs, some of them to be segmented and the others to be left alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import ndimage

from jaxsep.data.sets import scenes
from jaxsep.data.sets.transformed_digits import IMAGES
from jaxsep.data.source import Arrays, Source, take_all

HALF = 127.5
"""Half of the range of a pixel: ink of contrast 1 differs so much from what is below it."""


def load(
    *,
    image_size: int = 48,
    num_train: int = 2000,
    num_test: int = 500,
    kept: Sequence[int] = (1, 2, 3, 4),
    images: str = 'mnist5k',
    max_objects: int = 4,
    object_size: tuple[int, int] = (16, 28),
    contrast: tuple[float, float] = (0.4, 1.0),
    blur: float = 1.0,
    noise: float = 4.0,
    min_visible: float = 0.6,
    seed: int = 0,
) -> Source:
    """Handwritten digits pasted on crops of photographs, and the exact mask of those that are kept.

    Columns: `image` uint8 [image_size, image_size, 3], and `true_mask` uint8 [image_size,
    image_size], k + 1 where the k-th of the kept digits covers a pixel by more than half, 0 for the
    photograph and for all other digits. These, the distractors, have the same strokes, so that
    a pixel alone does not tell what it belongs to. Every scene has a kept digit on top.

    The photographs are those of `jaxsep.data.sets.scenes`, of different parts for training and test; the
    digits of the two are different ones too. Ink is darker or brighter than what lies below it,
    in any colour; the contrast of the photograph varies, and the whole scene is blurred.

    Args:
      image_size: pixels of a side.
      num_train, num_test: number of scenes.
      kept: the digits of the mask, in the order of their classes.
      images: 'mnist5k' (28 x 28, a package of 1.4 MB) or 'digits' (scikit-learn, 8 x 8).
      max_objects: a scene has 1 .. max_objects digits, any number alike.
      object_size: smallest and largest side in pixels; the logarithm is uniform.
      contrast: smallest and largest, of the ink and of the photograph; 1 is half of the range of a
        pixel for ink, and the photograph as it is.
      blur: largest standard deviation in pixels; the mask stays sharp.
      noise: standard deviation of a grey level.
      min_visible: share of its pixels that a digit must show.
      seed: of the division of the digits and of the scenes.

    Raises:
      ValueError: for options that make no scene.
      ImportError: naming the extra, without scikit-image.
    """
    scenes.check(image_size, num_train, num_test, 'item', max_objects, object_size, min_visible)
    if images not in IMAGES:
        raise ValueError(f'images: expected one of {sorted(IMAGES)}, got {images!r}')
    if not kept or len(set(kept)) < len(kept) or not set(kept) <= set(range(10)):
        raise ValueError(f'kept: expected different digits from 0 to 9, got {kept}')
    if not 0 < contrast[0] <= contrast[1] <= 1:
        raise ValueError(f'contrast: expected 0 < smallest <= largest <= 1, got {contrast}')
    if blur < 0 or noise < 0:
        raise ValueError(f'blur, noise: expected 0 or more, got {blur} and {noise}')
    photographs, digits = scenes.read_photographs(), IMAGES[images](test_fraction=0.2, seed=seed)
    splits = {}
    for part, (split, size) in enumerate({'train': num_train, 'test': num_test}.items()):
        rng = np.random.default_rng((seed, part))
        rows = take_all(digits.splits[split])
        found = [
            scene(
                rng, scenes.background(rng, photographs, split, image_size),
                rows['image'][..., 0], rows['label'], tuple(kept), max_objects, object_size,
                contrast, blur, noise, min_visible,
            )
            for _ in range(size)
        ]  # fmt: skip
        image, mask = (np.stack(column) for column in zip(*found, strict=True))
        splits[split] = Arrays({'image': image, 'true_mask': mask})
    names = ('background', *(str(digit) for digit in kept))
    return Source(splits, {}, 'handwritten digits on photographs', targets={'true_mask': names})


def scene(
    rng, photograph: Float[np.ndarray, 'h w 3'], images: UInt8[np.ndarray, 'n s s'], labels, kept,
    max_objects, object_size, contrast, blur, noise, min_visible,
) -> tuple[UInt8[np.ndarray, 'h w 3'], UInt8[np.ndarray, 'h w']]:  # fmt: skip
    """One scene, its image and its mask. Arguments as in `load`."""
    mean = photograph.mean(axis=(0, 1))
    image = mean + rng.uniform(*contrast) * (photograph - mean)
    image_size = len(image)
    count = rng.integers(1, max_objects + 1)
    # The last one lies on top, and is always seen.
    chosen = [*rng.integers(len(images), size=count - 1)]
    chosen.append(rng.choice(np.flatnonzero(np.isin(labels, kept))))
    sprites = []
    for digit in chosen:
        size = round(float(np.exp(rng.uniform(*np.log(object_size)))))
        resized = Image.fromarray(images[digit]).resize((size, size), Image.BILINEAR)
        opacity = np.asarray(resized, np.float32) / 255
        top, left = (int(x) for x in rng.integers(0, image_size - size + 1, 2))
        below = image[top : top + size, left : left + size].mean(axis=(0, 1))
        # Towards the farther end of the range: brighter on dark ground, darker on bright.
        sign = np.where(below.mean() > HALF, -1, 1) * rng.uniform(0.5, 1.0, 3)
        ink = np.clip(below + HALF * rng.uniform(*contrast) * sign, 0, 255)
        color = np.broadcast_to(ink.astype(np.float32), (size, size, 3))
        sprites.append(scenes.Sprite(top, left, color, opacity, int(labels[digit])))
    mask = np.zeros((image_size, image_size), np.uint8)
    for sprite, seen in scenes.visible(sprites, image_size, min_visible):
        part = image[sprite.place]
        part += sprite.opacity[..., None] * (sprite.color - part)
        mask[seen] = kept.index(sprite.kind) + 1 if sprite.kind in kept else 0
    image = ndimage.gaussian_filter(image, (*2 * [rng.uniform(0, blur)], 0), mode='nearest')
    image = image + rng.normal(0, noise, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask
