import io

import numpy as np
import pytest
from PIL import Image

from jaxsep.archives import folder
from jaxsep.data.sets import elpv
from jaxsep.data.source import load, take_all

PROBABILITIES = ['0.0', '0.3333333333333333', '0.6666666666666666', '1.0']


@pytest.fixture
def cells(packed, monkeypatch):
    """40 photographs of 12 x 12 in a package like the real one; their pixels, labels and cells."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8)
    label, cell = np.arange(40) % 4, np.arange(40) // 4 % 2
    files, table = {}, ''
    for i in range(40):
        png = io.BytesIO()
        Image.fromarray(pixels[i]).save(png, 'png')
        files[f'{elpv.DATA}images/cell{i}.png'] = png.getvalue()
        table += f'images/cell{i}.png  {PROBABILITIES[label[i]]}  {elpv.CELLS[cell[i]]}\n'
    files[f'{elpv.DATA}labels.csv'] = table.encode()
    monkeypatch.setattr(elpv, 'ARCHIVE', packed('pypi', 'elpv==1', files))
    return pixels, label, cell


def test_photographs_are_averaged_over_areas_and_keep_their_labels(cells):
    pixels, label, cell = cells
    means = pixels.reshape(40, 4, 3, 4, 3).astype(float).mean((2, 4))
    seen = []
    for split in load('elpv', image_size=4).splits.values():
        rows = take_all(split)
        assert rows['image'].shape[1:] == (4, 4, 1) and rows['image'].dtype == np.uint8
        distance = np.abs(rows['image'][:, None, :, :, 0] - means).max((2, 3))
        which = distance.argmin(1)
        assert (distance.min(1) <= 1 + 1e-9).all()  # rounded along columns, then along rows
        np.testing.assert_array_equal(rows['label'], label[which])
        np.testing.assert_array_equal(rows['cell'], cell[which])
        np.testing.assert_array_equal(rows['defect'], label[which] >= 2)
        seen += which.tolist()
    assert sorted(seen) == list(range(40))


def test_every_pair_of_label_and_cell_is_divided_alike(cells):
    rows = take_all(load('elpv', image_size=4).splits['test'])
    assert np.bincount(2 * rows['label'] + rows['cell']).tolist() == [1] * 8


def test_sure_cells_are_those_of_probability_0_and_1(cells):
    splits = load('elpv', image_size=4, sure_only=True).splits
    labels = np.concatenate([take_all(s)['label'] for s in splits.values()])
    assert np.bincount(labels).tolist() == [10, 0, 0, 10]


def test_decoded_photographs_need_no_archive(cells):
    before = take_all(load('elpv', image_size=4).splits['train'])
    for wheel in folder(elpv.ARCHIVE).glob('*.whl'):
        wheel.unlink()
    after = take_all(load('elpv', image_size=4).splits['train'])
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match='image_size: expected at least 4 pixels, got 2'):
        load('elpv', image_size=2)


def test_real_cells_have_the_published_counts(real):
    real(elpv.ARCHIVE, small=False)
    splits = [take_all(s) for s in load('elpv').splits.values()]
    label, cell = (np.concatenate([s[name] for s in splits]) for name in ('label', 'cell'))
    # table 1 of Deitsch et al. 2019
    assert np.bincount(label).tolist() == [1508, 295, 106, 715]
    assert np.bincount(cell).tolist() == [1074, 1550]
