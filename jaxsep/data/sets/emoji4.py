"""Emoji as four vendors draw them, from the npm packages of the Iconify project."""

import importlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxsep.archives import Archive, decoded, members
from jaxsep.data.source import Source
from jaxsep.data.splits import check_fraction
from jaxsep.data.views import check_layout, drawings_source

VENDORS = {
    'twemoji': Archive(
        'npm',
        '@iconify-json/twemoji@1.2.5',
        '19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7',
    ),
    'noto': Archive(
        'npm',
        '@iconify-json/noto@1.2.9',
        '3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad',
    ),
    'fluent-emoji-flat': Archive(
        'npm',
        '@iconify-json/fluent-emoji-flat@1.2.6',
        '7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175',
    ),
    'openmoji': Archive(
        'npm',
        '@iconify-json/openmoji@1.2.29',
        '03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5',
    ),
}
NAMES = Archive(
    'npm',
    'emojibase-data@17.0.0',
    'd01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a',
)


def load(
    *,
    image_size: int = 32,
    layout: str = 'rows',
    alpha: bool = False,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """1,594 emoji, each drawn by 4 vendors, with test emoji never seen in training.

    Drawings: twemoji CC BY 4.0, Noto Apache-2.0, Fluent MIT, OpenMoji CC BY-SA 4.0; names and
    groups: emojibase, MIT. 14 MB from npm; drawing needs resvg-py, the extra `jaxsep[data]`,
    and takes some ten seconds, once for each image size. Each emoji is there in its neutral
    form only, without skin tones.

    Drawings are uint8 [image_size, image_size, 3] on white, or 4 channels with `alpha`. The
    labels are `item`, whose classes are the English names, `group` and `subgroup`, those of
    Unicode (9 and 95), and in layout 'rows' `style`; every group is divided alike. See
    `jaxsep.data.views.drawings_source` for the two layouts.

    Args:
      image_size: pixels.
      layout: 'rows': one drawing a row, `image`; 'views': one emoji a row, `views` [4, ...].
      alpha: red, green, blue and opacity instead of the composition on white.
      test_fraction: share of the emoji that is kept for test.
      seed: of the division of the emoji.
    """
    check_fraction(test_fraction)
    check_layout(layout)
    if image_size < 4:
        raise ValueError(f'image_size: expected at least 4 pixels, got {image_size}')
    found = decoded(
        [NAMES, *VENDORS.values()], f'emoji4-{image_size}-v1', lambda: decode(image_size)
    )
    drawings = found['drawings'] if alpha else on_white(found['drawings'])
    labels = {name: found[name] for name in ('group', 'subgroup')}
    names = {name: tuple(found[f'{name}_names'].tolist()) for name in ('item', *labels)}
    return drawings_source(
        drawings, labels, names | {'style': tuple(VENDORS)},
        layout=layout, test_fraction=test_fraction, seed=seed, strata=found['group'],
        content='emoji drawn by four vendors',
    )  # fmt: skip


def on_white(drawings: UInt8[np.ndarray, '*b 4']) -> UInt8[np.ndarray, '*b 3']:
    """Composes colours with opacity a on white: a color + (1 - a) 255, rounded.

    >>> on_white(np.array([[10, 20, 30, 0], [10, 20, 30, 255]], np.uint8)).tolist()
    [[255, 255, 255], [10, 20, 30]]
    """
    color, opacity = drawings[..., :3].astype(np.uint16), drawings[..., 3:].astype(np.uint16)
    return ((color * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def decode(image_size: int) -> dict[str, np.ndarray]:
    """All drawings [n, v, h, w, 4], and names and groups of the emoji, in order of code points."""
    rasterize = rasterizer()
    texts = members(NAMES)
    table = json.loads(texts['package/en/data.json']())
    known = {plain(entry['hexcode']): entry for entry in table if 'group' in entry}
    sets = {vendor: members(archive) for vendor, archive in VENDORS.items()}
    named = {
        vendor: {plain(h): name for h, name in json.loads(files['package/chars.json']()).items()}
        for vendor, files in sets.items()
    }
    items = sorted(set(known).intersection(*named.values()))
    drawings = np.empty((len(items), len(sets), image_size, image_size, 4), np.uint8)
    for v, (vendor, files) in enumerate(sets.items()):
        icons = json.loads(files['package/icons.json']())
        for i, item in enumerate(items):
            drawings[i, v] = rasterize(svg(icons, named[vendor][item], image_size))
    arrays = {'drawings': drawings, 'item_names': np.array([known[h]['label'] for h in items])}
    meta = json.loads(texts['package/meta/groups.json']())
    for label in ('group', 'subgroup'):
        present, numbers = np.unique([known[h][label] for h in items], return_inverse=True)
        arrays[label] = numbers.astype(np.int32)
        arrays[f'{label}_names'] = np.array([meta[f'{label}s'][str(k)] for k in present])
    return arrays


def plain(hexcode: str) -> str:
    """Code points without the colour selector and the joiner, which not all vendors write."""
    return hexcode.lower().replace('-fe0f', '').replace('-200d', '')


def svg(icons: Mapping[str, Any], name: str, image_size: int) -> str:
    """One icon of an Iconify set as a square SVG document.

    The box is the icon's own, else the set's, else (0, 0, 16, 16).
    """
    icon = icons['icons'][name]
    defaults = {'left': 0, 'top': 0, 'width': 16, 'height': 16}
    box = ' '.join(str(icon.get(k, icons.get(k, d))) for k, d in defaults.items())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{image_size}" height="{image_size}" viewBox="{box}">{icon["body"]}</svg>'
    )


def rasterizer() -> Callable[[str], np.ndarray]:
    """SVG document -> uint8 [h, w, 4]; ImportError naming the extra where resvg-py is missing."""
    try:
        resvg = importlib.import_module('resvg_py')
    except ImportError:
        raise ImportError("emoji4 draws with resvg-py: pip install 'jaxsep[data]'") from None

    def rasterize(document: str) -> np.ndarray:
        png = resvg.svg_to_bytes(svg_string=document, skip_system_fonts=True)
        return np.asarray(Image.open(io.BytesIO(bytes(png))).convert('RGBA'))

    return rasterize
