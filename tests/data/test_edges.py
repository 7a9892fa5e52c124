import numpy as np
import pytest
from scipy import ndimage

from jaxsep.data import modifiers
from jaxsep.data.edges import edges
from jaxsep.data.source import Arrays, Rows, Source, load, take_all


def images(n=3):
    return np.random.default_rng(0).integers(0, 256, (n, 5, 6, 2)).astype(np.uint8)


def test_dilation_edges_are_the_grey_dilation_minus_the_image():
    for image, found in zip(images(), edges(images(), 'dilation'), strict=True):
        want = ndimage.grey_dilation(image, size=(3, 3, 1), mode='constant', cval=0) - image
        np.testing.assert_array_equal(found, want)


def test_gradient_edges_are_central_differences_and_saturate():
    x = images().astype(int)
    found = edges(images())
    inner = np.abs(x[:, 2:, 1:-1] - x[:, :-2, 1:-1]) + np.abs(x[:, 1:-1, 2:] - x[:, 1:-1, :-2])
    want = np.minimum(inner / 2, 255)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], want, atol=0.5)
    assert found.dtype == np.uint8 and found.max() == 255


@pytest.mark.parametrize('kind', ['gradient', 'dilation'])
def test_a_flat_image_has_no_edges(kind):
    assert not edges(np.full((1, 4, 4, 1), 77, np.uint8), kind)[:, 1:-1, 1:-1].any()


@pytest.mark.parametrize('lazy', [False, True])
def test_the_modifier_adds_both_views_to_every_split(lazy):
    split = Arrays({'image': images(), 'label': np.arange(3, dtype=np.int32)})
    train = Rows(split, np.array([2, 0]), {}) if lazy else split
    changed = modifiers.edge_views(Source({'train': train, 'test': split}, {'label': tuple('abc')}))
    for name, rows in (('train', [2, 0] if lazy else [0, 1, 2]), ('test', [0, 1, 2])):
        found = take_all(changed.splits[name])
        np.testing.assert_array_equal(found['views'][:, 0], images()[rows])
        np.testing.assert_array_equal(found['views'][:, 1], edges(images())[rows])
        np.testing.assert_array_equal(found['label'], rows)


def test_digits_come_as_two_views_by_name():
    source = load('digits', modifiers=({'name': 'edge_views', 'kind': 'dilation'},))
    assert source.splits['test'].take(np.arange(2))['views'].shape == (2, 2, 8, 8, 1)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="kind: expected one of .*, got 'canny'"):
        edges(images(), 'canny')
