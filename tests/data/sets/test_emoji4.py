import importlib.util
import json
import sys

import numpy as np
import pytest

from jaxsep.archives import folder
from jaxsep.data.sets import emoji4
from jaxsep.data.source import load, take_all

HAS_RESVG = importlib.util.find_spec('resvg_py') is not None
RED, GREEN = '1F7E5', '1F7E9-FE0F'
GROUPS = {'groups': {'0': 'smileys', '7': 'objects'}, 'subgroups': {'4': 'faces', '9': 'tools'}}


def entry(hexcode, label, group, subgroup):
    return {'hexcode': hexcode, 'label': label, 'group': group, 'subgroup': subgroup}


@pytest.fixture
def squares(packed, monkeypatch):
    """Packages like the real ones: squares whose left half is coloured, right half clear."""
    table = [
        entry(RED, 'red', 7, 9), entry(GREEN, 'green', 0, 4), entry('1F600', 'grin', 0, 4),
        {'hexcode': '1F1E6', 'label': 'letter'},
    ]  # fmt: skip
    files = {'package/en/data.json': table, 'package/meta/groups.json': GROUPS}
    files = {name: json.dumps(content).encode() for name, content in files.items()}
    monkeypatch.setattr(emoji4, 'NAMES', packed('npm', 'names@1', files))
    vendors = {}
    for v, vendor in enumerate(emoji4.VENDORS):
        colors = {'r': f'rgb(255,{v},0)', 'g': f'rgb(0,{v},255)'}
        body = '<rect width="4" height="8" fill="{}"/>'
        icons = {name: {'body': body.format(color)} for name, color in colors.items()}
        icons['g'] |= {'left': -4, 'width': 8}  # the box of this one starts further left
        chars = {RED.lower(): 'r', GREEN.lower() if v % 2 else '1f7e9': 'g'}
        if v:
            chars['1f600'] = 'r'  # but not the first vendor
        files = {
            'package/chars.json': chars,
            'package/icons.json': {'icons': icons, 'width': 8, 'height': 8},
        }
        files = {name: json.dumps(content).encode() for name, content in files.items()}
        vendors[vendor] = packed('npm', f'{vendor}@1', files)
    monkeypatch.setattr(emoji4, 'VENDORS', vendors)


def all_views(**options):
    source = load('emoji4', image_size=8, layout='views', test_fraction=0.5, **options)
    rows = [take_all(split) for split in source.splits.values()]
    order = np.argsort(np.concatenate([r['item'] for r in rows]))
    return source, {name: np.concatenate([r[name] for r in rows])[order] for name in rows[0]}


@pytest.mark.skipif(not HAS_RESVG, reason='resvg-py, of the extra [data], is not installed')
def test_items_all_vendors_have_are_drawn_in_their_colours_and_boxes(squares):
    source, rows = all_views(alpha=True)
    assert source.labels['item'] == ('red', 'green')
    assert source.labels['group'] == ('smileys', 'objects') and rows['group'].tolist() == [1, 0]
    assert source.labels['subgroup'] == ('faces', 'tools') and rows['subgroup'].tolist() == [1, 0]
    red, green = rows['views']
    for v in range(4):
        assert (red[v, :, :4] == [255, v, 0, 255]).all() and (red[v, :, 4:, 3] == 0).all()
        assert (green[v, :, 4:] == [0, v, 255, 255]).all() and (green[v, :, :4, 3] == 0).all()


@pytest.mark.skipif(not HAS_RESVG, reason='resvg-py, of the extra [data], is not installed')
def test_colours_lie_on_white_and_what_is_drawn_needs_no_packages_again(squares):
    all_views()
    for archive in (emoji4.NAMES, *emoji4.VENDORS.values()):
        for package in folder(archive).glob('*.tgz'):
            package.unlink()
    _, rows = all_views()
    assert rows['views'].shape == (2, 4, 8, 8, 3)
    assert (rows['views'][0, 2, :, :4] == [255, 2, 0]).all()
    assert (rows['views'][0, 2, :, 4:] == 255).all()


def test_composition_on_white_is_the_rounded_mean_of_colour_and_white():
    rng = np.random.default_rng(0)
    drawing = rng.integers(0, 256, (64, 64, 4), np.uint8)
    exact = drawing.astype(float)
    opacity = exact[..., 3:] / 255
    exact = opacity * exact[..., :3] + (1 - opacity) * 255
    assert np.abs(emoji4.on_white(drawing) - exact).max() <= 0.5 + 1e-9


def test_without_resvg_the_error_names_the_extra(squares, monkeypatch):
    monkeypatch.setitem(sys.modules, 'resvg_py', None)
    with pytest.raises(ImportError, match=r'jaxsep\[data\]'):
        load('emoji4', image_size=8)


@pytest.mark.parametrize(
    'wrong', [{'image_size': 3}, {'layout': 'grid'}, {'test_fraction': 1.0}], ids=str
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load('emoji4', **wrong)


@pytest.mark.skipif(not HAS_RESVG, reason='resvg-py, of the extra [data], is not installed')
def test_real_emoji_are_complete_and_as_alike_as_known(real):
    real(emoji4.NAMES, *emoji4.VENDORS.values(), small=False)
    source = load('emoji4', layout='views', alpha=True)
    sizes = {name: len(names) for name, names in source.labels.items()}
    assert sizes == {'item': 1594, 'group': 9, 'subgroup': 95}
    assert len(set(source.labels['item'])) == 1594
    rows = [take_all(s)['views'] for s in source.splits.values()]
    pixels = np.concatenate(rows).reshape(1594, 4, -1).astype(np.float32)
    twemoji, noto = (pixels[:, v] - pixels[:, v].mean(0) for v in (0, 1))
    cosine = twemoji @ (noto / np.linalg.norm(noto, axis=1, keepdims=True)).T
    recall = np.mean(cosine.argmax(1) == np.arange(1594))
    assert abs(recall - 0.31) < 0.02  # measured with another reader of the same packages
