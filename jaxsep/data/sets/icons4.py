"""Google's Material icons in four styles, from the fonts inside the package tkinter-icons-gmi."""

import functools
import io
import json

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxsep.archives import Archive, members
from jaxsep.data.duplicates import first_of_each
from jaxsep.data.source import Source
from jaxsep.data.splits import check_fraction
from jaxsep.data.views import check_layout, drawings_source

ARCHIVE = Archive(
    'pypi',
    'tkinter-icons-gmi==1.1.2',
    'e4961793b685cae4daf8bb8e969f4938d06ef5a2834007ab1e38568399c8687e',
)
FONTS = {
    'baseline': '-Regular.ttf',
    'outlined': 'Outlined-Regular.otf',
    'round': 'Round-Regular.otf',
    'sharp': 'Sharp-Regular.otf',
}


def load(
    *, image_size: int = 32, layout: str = 'rows', test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """2,087 icons, each drawn in 4 styles, with test icons never seen in training.

    Apache-2.0; drawn from the fonts in the 0.9 MB wheel of tkinter-icons-gmi 1.1.2. Of the 2,191
    icons that all four fonts have, the 104 are left out whose drawings (at 32 pixels) equal those
    of an earlier one in every style: other names of the same picture. Drawing takes a
    second or two, once per process.

    Drawings are uint8 [image_size, image_size, 1], white on black, like the glyphs. The labels are
    `item`, whose classes are the icons' English names, and in layout 'rows' `style`; see
    `jaxsep.data.views.drawings_source` for the two layouts.

    Args:
      image_size: pixels; the icons grow with it.
      layout: 'rows': one drawing a row, `image`; 'views': one icon a row, `views` [4, ...].
      test_fraction: share of the icons that is kept for test.
      seed: of the division of the icons.
    """
    check_fraction(test_fraction)
    check_layout(layout)
    if image_size < 4:
        raise ValueError(f'image_size: expected at least 4 pixels, got {image_size}')
    items, drawings = distinct_icons(image_size)
    return drawings_source(
        drawings[..., None], {}, {'item': items, 'style': tuple(FONTS)},
        layout=layout, test_fraction=test_fraction, seed=seed,
        content='icons drawn in four styles',
    )  # fmt: skip


@functools.lru_cache(2)
def distinct_icons(image_size: int) -> tuple[tuple[str, ...], UInt8[np.ndarray, 'n v h w']]:
    """Names and their drawings in the four styles, without visual doubles; not to be changed."""
    files = members(ARCHIVE)
    points = {s: json.loads(files[f'tkinter_icons_gmi/glyphmap-{s}.json']()) for s in FONTS}
    names = sorted(set.intersection(*(set(found) for found in points.values())))
    drawings = np.empty((len(names), len(FONTS), image_size, image_size), np.uint8)
    for s, (style, ending) in enumerate(FONTS.items()):
        data = io.BytesIO(files[f'tkinter_icons_gmi/fonts/MaterialIcons{ending}']())
        font = ImageFont.truetype(data, round(image_size * 0.875))
        for i, name in enumerate(names):
            drawings[i, s] = draw(font, chr(int(points[style][name], 16)), image_size)
    kept = first_of_each(drawings)
    drawings = drawings[kept]
    drawings.setflags(write=False)
    return tuple(names[i] for i in kept), drawings


def draw(font: ImageFont.FreeTypeFont, character: str, image_size: int) -> np.ndarray:
    """A white character on black, centred by its bounding box."""
    canvas = Image.new('L', (image_size, image_size))
    pen = ImageDraw.Draw(canvas)
    left, top, right, bottom = pen.textbbox((0, 0), character, font=font)
    place = ((image_size - left - right) / 2, (image_size - top - bottom) / 2)
    pen.text(place, character, 255, font=font)
    return np.asarray(canvas)
