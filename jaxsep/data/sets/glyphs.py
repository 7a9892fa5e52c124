"""Characters in the twelve DejaVu faces that matplotlib ships: all factors known exactly."""

import collections
import functools
import pathlib
import unicodedata
from collections.abc import Sequence

import matplotlib
import numpy as np
from fontTools.ttLib import TTFont
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction

FAMILIES = {
    'sans': ('Sans', 'Oblique'),
    'mono': ('SansMono', 'Oblique'),
    'serif': ('Serif', 'Italic'),
}
WEIGHTS = ('regular', 'bold')
SLANTS = ('upright', 'slanted')
CASES = {'Lu': 'upper', 'Ll': 'lower', 'Nd': 'digit', 'Lo': 'caseless'}
RARE = 10
"""Scripts with fewer characters than this are grouped as 'other'."""


def load(*, image_size: int = 32, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """Every character in every face, grey, with test characters never seen in training.

    1,262 characters x 3 families x 2 weights x 2 slants: a complete grid of content and style.
    Of the 1,348 letters and digits that all faces have, those are left out whose
    drawings equal those of an earlier character in all twelve faces (Latin A, Greek
    Alpha). Row 12 i + f shows the split's i-th character in face f, f counting slants
    fastest, then weights, then families. Drawing takes a second or two, once per process.

    Columns: `image` uint8 [image_size, image_size, 1], white on black, and the labels
    `character`, `face`, `family`, `weight`, `slant`, `script`, `case`.

    Args:
      image_size: pixels; the letters grow with it.
      test_fraction: share of the characters that is kept for test.
      seed: of the division of the characters.
    """
    check_fraction(test_fraction)
    if image_size < 4:
        raise ValueError(f'image_size: expected at least 4 pixels, got {image_size}')
    faces = [(f, w, s) for f in range(3) for w in range(2) for s in range(2)]
    characters, drawings = distinct_drawings(image_size)
    n = len(characters)
    script_names, scripts = script_labels(characters)
    of_character = {
        'character': np.arange(n),
        'script': scripts,
        'case': np.array([list(CASES).index(unicodedata.category(c)) for c in characters]),
    }
    of_face = {
        'face': np.arange(12),
        **dict(zip(('family', 'weight', 'slant'), np.array(faces).T, strict=True)),
    }
    columns = {name: np.repeat(v[:, None], 12, axis=1) for name, v in of_character.items()}
    columns |= {name: np.repeat(v[None], n, axis=0) for name, v in of_face.items()}
    columns = {name: v.astype(np.int32) for name, v in columns.items()}
    columns['image'] = drawings[..., None]
    order = np.random.default_rng(seed).permutation(n)
    num_test = min(max(round(n * test_fraction), 1), n - 1)
    rows = {'train': np.sort(order[num_test:]), 'test': np.sort(order[:num_test])}
    splits = {
        split: Arrays({name: v[i].reshape(-1, *v.shape[2:]) for name, v in columns.items()})
        for split, i in rows.items()
    }
    families = tuple(FAMILIES)
    labels = {
        'character': characters,
        'face': tuple('-'.join((families[f], WEIGHTS[w], SLANTS[s])) for f, w, s in faces),
        'family': families,
        'weight': WEIGHTS,
        'slant': SLANTS,
        'script': script_names,
        'case': tuple(CASES.values()),
    }
    return Source(splits, labels, 'letters and digits drawn in the twelve DejaVu faces')


@functools.lru_cache(2)
def distinct_drawings(image_size: int) -> tuple[tuple[str, ...], UInt8[np.ndarray, 'n f h w']]:
    """Characters, and their drawings in the twelve faces, without visual doubles; not to be changed."""
    paths = [face_path(f, w, s) for f in range(3) for w in range(2) for s in range(2)]
    characters = common_characters(paths)
    drawings = np.stack([draw(path, characters, image_size) for path in paths], axis=1)
    first = {}
    for i, drawing in enumerate(drawings):
        first.setdefault(drawing.tobytes(), i)
    kept = np.array(sorted(first.values()))
    drawings = drawings[kept]
    drawings.setflags(write=False)
    return tuple(characters[i] for i in kept), drawings


def face_path(family: int, weight: int, slant: int) -> pathlib.Path:
    """The font file of one face."""
    name, slanted = list(FAMILIES.values())[family]
    style = 'Bold' * weight + slanted * slant
    fonts = pathlib.Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    return fonts / f'DejaVu{name}{"-" if style else ""}{style}.ttf'


def common_characters(paths: list[pathlib.Path]) -> list[str]:
    """The letters and digits that every one of the fonts has, in code point order."""
    shared = None
    for path in paths:
        with TTFont(path, lazy=True) as font:
            points = set(font.getBestCmap())
        shared = points if shared is None else shared & points
    return [chr(p) for p in sorted(shared or ()) if unicodedata.category(chr(p)) in CASES]


def draw(path: pathlib.Path, characters: list[str], image_size: int) -> UInt8[np.ndarray, 'n h w']:
    """White characters on black, each centred by its bounding box, 5/8 of the image high."""
    font = ImageFont.truetype(str(path), round(image_size * 0.625))
    images = np.empty((len(characters), image_size, image_size), np.uint8)
    for i, character in enumerate(characters):
        canvas = Image.new('L', (image_size, image_size))
        pen = ImageDraw.Draw(canvas)
        left, top, right, bottom = pen.textbbox((0, 0), character, font=font)
        place = ((image_size - left - right) / 2, (image_size - top - bottom) / 2)
        pen.text(place, character, 255, font=font)
        images[i] = np.asarray(canvas)
    return images


def script_labels(characters: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the scripts, most frequent first, 'other' last; and the script of each character.

    The script is the first word of the Unicode name.
    """
    words = [unicodedata.name(c).split()[0].lower() for c in characters]
    counts = collections.Counter(words)
    names = (*(w for w, count in counts.most_common() if count >= RARE), 'other')
    numbers = {w: names.index(w) if w in names else len(names) - 1 for w in counts}
    return names, np.array([numbers[w] for w in words])
