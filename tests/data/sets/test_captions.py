import json
import pathlib

import matplotlib
import numpy as np
import pytest

from jaxsep.data.sets import captions, emoji4, icons4
from jaxsep.data.source import load, take_all
from jaxsep.data.text import tokenize

OPTIONS = dict(tokens='hashed', num_tokens=500, max_length=4)
SPACIOUS = {'num_tokens': 2**20, 'max_length': 16}


@pytest.fixture
def letters(packed, monkeypatch):
    """Icons that are letters, in fonts that all look alike."""
    font = pathlib.Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'
    points = {f'letter_{c}': f'{ord(c):x}' for c in 'abgkmqx'}
    files = {}
    for style, ending in icons4.FONTS.items():
        files[f'tkinter_icons_gmi/glyphmap-{style}.json'] = json.dumps(points).encode()
        files[f'tkinter_icons_gmi/fonts/MaterialIcons{ending}'] = font.read_bytes()
    monkeypatch.setattr(icons4, 'ARCHIVE', packed('pypi', 'icons==1', files))
    icons4.distinct_icons.cache_clear()
    yield
    icons4.distinct_icons.cache_clear()


@pytest.mark.parametrize('layout', ['rows', 'views'])
def test_each_drawing_has_the_tokens_of_its_name(letters, layout):
    source = load('captions', layout=layout, image_size=12, **OPTIONS)
    plain = load('icons4', layout=layout, image_size=12)
    assert source.labels == plain.labels
    for split in ('train', 'test'):
        rows, drawings = take_all(source.splits[split]), take_all(plain.splits[split])
        names = [source.labels['item'][i].replace('_', ' ') for i in rows['item']]
        expected = tokenize(names, num_tokens=500, max_length=4)
        np.testing.assert_array_equal(rows.pop('tokens'), expected)
        assert rows.keys() == drawings.keys()
        for name, values in drawings.items():
            np.testing.assert_array_equal(rows[name], values)


@pytest.mark.parametrize(
    'wrong', [{'drawings': 'photos'}, {'tokens': 'words'}, {'layout': 'grid'}], ids=str
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load('captions', **OPTIONS | wrong)


def test_real_emoji_have_different_names(real):
    pytest.importorskip('resvg_py')
    real(emoji4.NAMES, *emoji4.VENDORS.values(), small=False)
    source = load('captions', drawings='emoji4', layout='views', **OPTIONS | SPACIOUS)
    rows = [take_all(split) for split in source.splits.values()]
    tokens = np.concatenate([r['tokens'] for r in rows])
    assert tokens.shape == (1594, 16)
    assert (tokens[:, 0] > 0).all()
    assert len(np.unique(tokens, axis=0)) > 1500
    assert rows[0]['views'].shape[1:] == (4, 32, 32, 3)


def test_names_of_real_icons_are_words(real):
    real(icons4.ARCHIVE, small=True)
    source = load('captions', **OPTIONS)
    assert (take_all(source.splits['test'])['tokens'][:, 0] > 0).all()
    assert captions.DRAWINGS.keys() == {'icons4', 'emoji4'}
