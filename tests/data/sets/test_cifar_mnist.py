import numpy as np
import pytest

from jaxsep.data.sets.cifar_mnist import overlay
from jaxsep.data.source import Arrays, Source, take_all


def source(h, c, names, seed, n=20):
    rng = np.random.default_rng(seed)
    label = np.arange(n, dtype=np.int32) % len(names)
    image = rng.integers(0, 256, (n, h, h, c), np.uint8)
    split = Arrays({'image': image, 'label': label})
    return Source({'train': split, 'test': split}, {'label': names})


def test_targets_are_the_sum_of_two_halves_and_the_background_is_one():
    photographs, drawings = source(6, 3, ('cat', 'dog'), 0), source(3, 1, ('0', '1', '2'), 1)
    mixed = overlay(photographs, drawings)
    singles = take_all(drawings.splits['train'])
    for name, split in mixed.splits.items():
        rows, plain = take_all(split), take_all(photographs.splits[name])
        assert rows['target'].sum() == 10
        np.testing.assert_array_equal(rows['common'], plain['label'])
        added = rows['image'].astype(int) - plain['image'] // 2
        for difference, salient, target in zip(added, rows['salient'], rows['target'], strict=True):
            if not target:
                assert salient == 3 and not difference.any()
                continue
            inside = difference[1:4, 1:4]
            assert np.abs(difference).sum() == inside.sum()
            same = (singles['image'] // 2 == inside).all((1, 2, 3))  # all three channels alike
            assert singles['label'][np.argmax(same)] == salient and same.any()
    assert mixed.labels['salient'] == ('0', '1', '2', 'none')


def test_drawings_larger_than_the_photographs_are_refused():
    with pytest.raises(ValueError, match='drawings: expected at most'):
        overlay(source(3, 3, ('cat',), 0), source(6, 1, ('0',), 1))
