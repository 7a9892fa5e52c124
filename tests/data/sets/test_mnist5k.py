import gzip

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxsep.data.sets import mnist5k
from jaxsep.data.source import load, take_all


def test_each_row_of_the_table_is_one_image_and_its_label(packed, monkeypatch):
    table = np.random.default_rng(0).integers(0, 256, (50, 785))
    table[:, -1] = np.arange(50) // 5
    text = '\n'.join(','.join(map(str, row)) for row in table) + '\n'
    files = {mnist5k.MEMBER: gzip.compress(text.encode())}
    monkeypatch.setattr(mnist5k, 'ARCHIVE', packed('pypi', 'digits==1', files))
    rows = [take_all(split) for split in load('mnist5k').splits.values()]
    assert [np.bincount(r['label']).tolist() for r in rows] == [[4] * 10, [1] * 10]
    found = {
        (i.tobytes(), int(y)) for r in rows for i, y in zip(r['image'], r['label'], strict=True)
    }
    assert found == {(row[:-1].astype(np.uint8).tobytes(), row[-1]) for row in table}


def test_options_are_checked_before_anything_is_fetched(packed, monkeypatch):
    monkeypatch.setattr(mnist5k, 'ARCHIVE', packed('pypi', 'digits==1', {}))
    with pytest.raises(ValueError, match='test_fraction'):
        load('mnist5k', test_fraction=1.5)


def test_real_digits_are_complete_and_as_easy_as_known(real):
    real(mnist5k.ARCHIVE, small=True)
    train, test = (take_all(split) for split in load('mnist5k').splits.values())
    assert train['image'].shape == (4000, 28, 28, 1) and test['image'].shape == (1000, 28, 28, 1)
    assert np.bincount(train['label']).tolist() == [400] * 10
    pixels = [r['image'].reshape(-1, 784).astype(np.float32) for r in (train, test)]
    nearest = KNeighborsClassifier(1).fit(pixels[0], train['label'])
    assert abs(nearest.score(pixels[1], test['label']) - 0.933) < 0.02  # published for this set
