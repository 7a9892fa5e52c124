import json
import pathlib

import matplotlib
import numpy as np
import pytest

from jaxsep.data.sets import icons4
from jaxsep.data.source import load, take_all

FACES = ('Sans', 'Sans-Bold', 'Serif', 'SansMono')


@pytest.fixture
def letters(packed, monkeypatch):
    """A package like the real one whose icons are letters, one of them under two names."""
    fonts = pathlib.Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    files = {}
    for (style, ending), face in zip(icons4.FONTS.items(), FACES, strict=True):
        points = {
            name: f'{ord(name[0]):x}' for name in ('a', 'b', 'g', 'k', 'm', 'q', 'x', 'a_too')
        }
        if style == 'round':
            del points['q']
        files[f'tkinter_icons_gmi/glyphmap-{style}.json'] = json.dumps(points).encode()
        font = (fonts / f'DejaVu{face}.ttf').read_bytes()
        files[f'tkinter_icons_gmi/fonts/MaterialIcons{ending}'] = font
    monkeypatch.setattr(icons4, 'ARCHIVE', packed('pypi', 'icons==1', files))
    icons4.distinct_icons.cache_clear()
    yield
    icons4.distinct_icons.cache_clear()


def test_items_are_those_of_all_fonts_each_once(letters):
    source = load('icons4', image_size=16)
    assert source.labels['item'] == ('a', 'b', 'g', 'k', 'm', 'x')
    assert source.labels['style'] == ('baseline', 'outlined', 'round', 'sharp')
    rows = take_all(source.splits['train'])
    assert rows['image'].shape[1:] == (16, 16, 1)
    ink = rows['image'].sum((1, 2, 3), dtype=np.int64).reshape(-1, 4)
    assert ink.min() > 0
    assert (ink[:, 1] > ink[:, 0]).all()  # the bold font lies where the second style belongs


def test_ink_is_centred(letters):
    rows = take_all(load('icons4', image_size=32).splits['train'])['image'][..., 0] > 127
    for axis in (1, 2):
        used = rows.any(axis)
        free = used.argmax(1) - used[:, ::-1].argmax(1)  # before minus behind
        assert np.abs(free).max() <= 3


@pytest.mark.parametrize(
    'wrong', [{'image_size': 3}, {'layout': 'grid'}, {'test_fraction': 0.0}], ids=str
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load('icons4', **wrong)


def test_real_icons_are_complete_distinct_and_recognised_across_styles(real):
    real(icons4.ARCHIVE, small=True)
    source = load('icons4', layout='views')
    assert len(source.labels['item']) == 2087
    views = np.concatenate([take_all(s)['views'] for s in source.splits.values()])
    assert views.shape == (2087, 4, 32, 32, 1)
    assert len({drawing.tobytes() for drawing in views}) == 2087
    pixels = views.reshape(2087, 4, -1).astype(np.float32)
    to_sharp = (pixels[:, 3] ** 2).sum(1) - 2 * pixels[:, 2] @ pixels[:, 3].T  # round -> sharp
    assert np.mean(to_sharp.argmin(1) == np.arange(2087)) > 0.8
