import gzip
import pickle

import numpy as np
import pytest

from jaxsep.data.sets import animals
from jaxsep.data.source import load, take_all


def pack(packed, image, label):
    files = {
        animals.MEMBER.format(name): gzip.compress(pickle.dumps(values, protocol=4))
        for name, values in (('data', image), ('label', label))
    }
    return packed('pypi', 'animals==1', files)


def test_repeated_pictures_are_dropped_before_the_division(packed, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)
    label = np.arange(50) // 5
    twice = np.concatenate([image, image[::2]]), np.concatenate([label, label[::2]])
    monkeypatch.setattr(animals, 'ARCHIVE', pack(packed, *twice))
    rows = [take_all(split) for split in load('animals').splits.values()]
    found = [
        (i.tobytes(), int(y)) for r in rows for i, y in zip(r['image'], r['label'], strict=True)
    ]
    assert len(found) == 50
    assert set(found) == {(i.tobytes(), y) for i, y in zip(image, label.tolist(), strict=True)}


def test_a_pickle_that_is_no_array_is_refused(packed, monkeypatch):
    monkeypatch.setattr(animals, 'ARCHIVE', pack(packed, load, np.zeros(3)))
    with pytest.raises(ValueError, match='pickle refused'):
        load('animals')


def test_real_animals_are_complete_and_no_picture_is_in_both_splits(real):
    real(animals.ARCHIVE, small=True)
    source = load('animals')
    train, test = ({i.tobytes() for i in take_all(s)['image']} for s in source.splits.values())
    assert not train & test
    assert len(train | test) == 10_000 - 284
    counts = sum(np.bincount(take_all(s)['label']) for s in source.splits.values())
    assert len(counts) == 10 and counts.max() == 1000 and counts.min() > 800
    # zebras have stripes, all others are filled: their grey levels tell label from picture
    rows = take_all(source.splits['train'])
    inside = (rows['image'] > 40).sum((1, 2, 3))
    grey = ((rows['image'] > 40) & (rows['image'] < 215)).sum((1, 2, 3)) / inside
    means = [grey[rows['label'] == k].mean() for k in range(10)]
    assert source.labels['label'][int(np.argmax(means))] == 'zebra'
