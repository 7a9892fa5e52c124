import numpy as np
import pytest

from jaxsep.data.source import load, take_all


def test_a_class_is_a_digit_under_a_transformation():
    source = load('transformed_digits')
    assert len(source.labels['label']) == 40 and source.labels['label'][13] == '3 turned'
    for split in source.splits.values():
        rows = take_all(split)
        np.testing.assert_array_equal(rows['label'], 10 * rows['transform'] + rows['digit'])
        assert (np.bincount(rows['label'], minlength=40) > 0).all()


def test_every_digit_is_in_one_split_under_all_transformations():
    source = load('transformed_digits')
    for split in source.splits.values():
        rows = take_all(split)
        n = len(split) // 4
        upright, turned, negative, rolled = np.split(rows['image'], 4)
        np.testing.assert_array_equal(np.rot90(upright, axes=(1, 2)), turned)
        np.testing.assert_array_equal(255 - upright, negative[:, :, ::-1])
        np.testing.assert_array_equal(
            np.sort(upright.reshape(n, -1)), np.sort(rolled.reshape(n, -1))
        )


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'images': 'mnist'}, 'images: expected one of'), ({'num_transforms': 5}, 'expected 1 to 4')],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('transformed_digits', **options)
