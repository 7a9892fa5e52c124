"""Scenes with exact boxes and masks: emoji or digits pasted on photographs."""

import importlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sklearn.datasets
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from jaxsep.data.sets import emoji4
from jaxsep.data.source import Arrays, Source, nearest, take_all
from jaxsep.data.splits import stratified

PHOTOGRAPHS = ('astronaut', 'coffee', 'chelsea', 'rocket', 'brick', 'grass', 'gravel')
TRAIN_SHARE = 0.7
"""Training crops come from this share of every photograph, counted from the left; test from the rest."""
LABELS = ('item', 'group', 'subgroup')
DRAWINGS = ('emoji', 'digits')


class Sprite(NamedTuple):
    """An object where it stands in its scene: top row, left column, pixels, opacity, class."""

    top: int
    left: int
    color: Float[np.ndarray, 's s 3']
    opacity: Float[np.ndarray, 's s']
    kind: int

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns it covers."""
        size = len(self.opacity)
        return slice(self.top, self.top + size), slice(self.left, self.left + size)


def load(
    *,
    image_size: int = 64,
    num_train: int = 2000,
    num_test: int = 500,
    drawings: str = 'emoji',
    label: str = 'group',
    classes: Sequence[str] = (),
    max_objects: int = 4,
    object_size: tuple[int, int] = (12, 32),
    rotation: float = 30.0,
    min_visible: float = 0.5,
    seed: int = 0,
) -> Source:
    """Emoji of four vendors on crops of seven photographs, with what is where known exactly.

    Columns: `image` uint8 [image_size, image_size, 3]; `true_boxes` float32 [max_objects, 4], xyxy
    in pixels around the visible pixels of each object, right and lower edge beyond the last one;
    `true_classes` int32 [max_objects], -1 and a box of zeros where there are fewer objects;
    `true_mask` uint8 [image_size, image_size], 0 for the photograph and the class + 1 elsewhere. A
    pixel belongs to an object that covers more than half of it. Every object that can be seen
    is labelled: those that later ones would hide are not painted.

    Drawings and licences: `jaxsep.data.sets.emoji4`; the photographs are in the package scikit-image,
    BSD or CC0, installed with `jaxsep[data]`. Crops of training and test come from different parts
    of the photographs. Where `label` is a group, emoji of the test scenes are never seen in
    training; where it is 'item' every class is in both, at other places, sizes and angles. The digits,
    scikit-learn's in white, need no package; those of the test scenes are never seen in training.

    Args:
      image_size: pixels of a side.
      num_train, num_test: number of scenes.
      drawings: 'emoji', or 'digits' of 8 x 8 pixels, with the classes '0' to '9'.
      label: what the classes of emoji are: 'item' (1,594, one each), 'group' (9) or 'subgroup' (95).
      classes: names of the classes used; empty for all.
      max_objects: a scene has 1 .. max_objects of them, any number alike.
      object_size: smallest and largest side in pixels before rotation; the logarithm is uniform.
      rotation: largest angle in degrees.
      min_visible: share of its pixels that an object must show.
      seed: of the division and of the scenes.

    Raises:
      ValueError: for a class that does not exist, or sizes that do not fit.
      ImportError: naming the extra, without scikit-image or resvg-py.
    """
    check(image_size, num_train, num_test, label, max_objects, object_size, min_visible)
    photographs = read_photographs()
    if drawings not in DRAWINGS:
        raise ValueError(f'drawings: expected one of {DRAWINGS}, got {drawings!r}')
    if drawings == 'digits':
        label = 'digit'
        sprites, kinds, names = digit_drawings()
    else:
        sprites, kinds, names = emoji_drawings(label, 32 if object_size[1] <= 32 else 64)
    if unknown := [name for name in classes if name not in names]:
        raise ValueError(f'classes: no {label} {unknown[0]!r}: {nearest(unknown[0], names)}')
    chosen = tuple(classes) or names
    if len(chosen) > 254:
        raise ValueError(f'classes: expected at most 254, got {len(chosen)}')
    number = {names.index(name): k for k, name in enumerate(chosen)}
    kept = np.array([k in number for k in kinds])
    sprites, kinds = sprites[kept], np.array([number[k] for k in kinds[kept]], np.int32)
    parts = [np.arange(len(kinds))] * 2
    if label != 'item':
        parts = stratified(kinds, 0.3, seed)
    splits = {}
    for part, (split, size) in enumerate({'train': num_train, 'test': num_test}.items()):
        rng = np.random.default_rng((seed, part))
        own = sprites[parts[part]], kinds[parts[part]]
        options = image_size, max_objects, object_size, rotation, min_visible
        scenes = [scene(rng, photographs, split, *own, *options) for _ in range(size)]
        names_of = ('image', 'true_boxes', 'true_classes', 'true_mask')
        stacked = (np.stack(column) for column in zip(*scenes, strict=True))
        splits[split] = Arrays(dict(zip(names_of, stacked, strict=True)))
    targets = {'true_boxes': (), 'true_classes': chosen, 'true_mask': ('background', *chosen)}
    return Source(splits, {}, f'{drawings} on photographs', targets=targets)


def emoji_drawings(
    label: str, resolution: int
) -> tuple[UInt8[np.ndarray, 'n v s s 4'], np.ndarray, tuple[str, ...]]:
    """All emoji, views of each by four vendors, their classes, and the names of these."""
    emoji = emoji4.load(image_size=resolution, layout='views', alpha=True, test_fraction=0.2)
    every = [take_all(split) for split in emoji.splits.values()]
    views, kinds = (np.concatenate([rows[name] for rows in every]) for name in ('views', label))
    return views, kinds, emoji.labels[label]


def digit_drawings() -> tuple[UInt8[np.ndarray, 'n 1 8 8 4'], np.ndarray, tuple[str, ...]]:
    """scikit-learn's digits in white, as opaque as there is ink; their classes, and names."""
    digits = sklearn.datasets.load_digits()
    ink = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    views = np.stack([np.full_like(ink, 255)] * 3 + [ink], axis=-1)[:, None]
    return views, digits.target, tuple(map(str, range(10)))


def check(image_size, num_train, num_test, label, max_objects, object_size, min_visible):
    """Raises ValueError for options that make no scene."""
    smallest, largest = object_size
    if not 4 <= smallest <= largest <= image_size:
        raise ValueError(
            f'object_size: expected 4 <= smallest <= largest <= image_size, got {object_size} '
            f'in images of {image_size}'
        )
    if image_size > 128:
        raise ValueError(f'image_size: expected at most 128, got {image_size}')
    for name, value in dict(
        num_train=num_train, num_test=num_test, max_objects=max_objects
    ).items():
        if value < 1:
            raise ValueError(f'{name}: expected at least 1, got {value}')
    if label not in LABELS:
        raise ValueError(f'label: expected one of {", ".join(LABELS)}, got {label!r}')
    if not 0 < min_visible <= 1:
        raise ValueError(f'min_visible: expected a number in (0, 1], got {min_visible}')


def read_photographs() -> list[UInt8[np.ndarray, 'h w 3']]:
    """The photographs in colour; ImportError naming the extra where scikit-image is missing."""
    try:
        pictures = importlib.import_module('skimage.data')
    except ImportError:
        raise ImportError(
            "scenes takes photographs of scikit-image: pip install 'jaxsep[data]'"
        ) from None
    found = [getattr(pictures, name)() for name in PHOTOGRAPHS]
    return [p if p.ndim == 3 else np.stack([p] * 3, -1) for p in found]


def scene(
    rng, photographs, split, drawings, kinds, image_size, max_objects, object_size, rotation,
    min_visible,
):  # fmt: skip
    """One scene: its image, boxes, classes and mask. Arguments as in `load`."""
    image = background(rng, photographs, split, image_size)
    sprites = []
    for _ in range(rng.integers(1, max_objects + 1)):
        drawing = rng.integers(len(drawings))
        size = round(float(np.exp(rng.uniform(*np.log(object_size)))))
        picture = Image.fromarray(drawings[drawing, rng.integers(drawings.shape[1])])
        turned = picture.rotate(rng.uniform(-rotation, rotation), Image.BILINEAR)
        pixels = np.asarray(turned.resize((size, size), Image.BILINEAR), np.float32)
        top, left = rng.integers(0, image_size - size + 1, 2)
        sprites.append(
            Sprite(int(top), int(left), pixels[..., :3], pixels[..., 3] / 255, int(kinds[drawing]))
        )
    boxes = np.zeros((max_objects, 4), np.float32)
    classes = np.full(max_objects, -1, np.int32)
    mask = np.zeros((image_size, image_size), np.uint8)
    shown = visible(sprites, image_size, min_visible)
    for k, (sprite, seen) in enumerate(shown):
        part = image[sprite.place]
        part += sprite.opacity[..., None] * (sprite.color - part)
        rows, columns = np.nonzero(seen)
        boxes[k] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        classes[k] = sprite.kind
        mask[seen] = sprite.kind + 1
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), boxes, classes, mask


def background(rng, photographs, split, image_size) -> Float[np.ndarray, 'h w 3']:
    """A square crop of a photograph, of the split's part, at any scale that is not an enlargement."""
    photograph = photographs[rng.integers(len(photographs))]
    height, width = photograph.shape[:2]
    border = round(width * TRAIN_SHARE)
    first, last = (0, border) if split == 'train' else (border, width)
    largest = min(height, last - first)
    side = int(rng.integers(min(image_size, largest), largest + 1))
    top, left = rng.integers(0, height - side + 1), rng.integers(first, last - side + 1)
    crop = Image.fromarray(photograph[top : top + side, left : left + side])
    return np.asarray(crop.resize((image_size, image_size), Image.BILINEAR), np.float32).copy()


def visible(
    sprites: Sequence[Sprite], image_size: int, min_visible: float
) -> list[tuple[Sprite, Bool[np.ndarray, 'h w']]]:
    """The sprites to paint, first ones lowest, and the pixels that each of them shows at the end.

    From the top one down, a sprite is kept if at least `min_visible` of the pixels it covers by
    more than half are not covered by the kept ones above it.
    """
    covered, kept = np.zeros((image_size, image_size), bool), []
    for sprite in reversed(sprites):
        own = np.zeros_like(covered)
        own[sprite.place] = sprite.opacity > 0.5
        seen = own & ~covered
        if own.any() and seen.sum() >= min_visible * own.sum():
            kept.append((sprite, seen))
            covered |= own
    return kept[::-1]
