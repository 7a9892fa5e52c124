import numpy as np
import pytest

from jaxsep.data.placement import place_boxes, place_image, placement


def test_a_crop_keeps_the_middle_of_the_longer_side():
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 4:8] = 200
    for size in (4, 2, 8):
        placed = place_image(image, placement(4, 12, size))
        assert placed.shape == (size, size, 3)
        np.testing.assert_array_equal(placed[:, 1:-1], 200)


def test_padding_keeps_everything_and_fills_with_zeros():
    image = np.full((6, 3, 1), 100, np.uint8)
    to = placement(6, 3, 4, 'pad')
    placed = place_image(image, to)
    np.testing.assert_array_equal(placed[:, :2, 0], 100)
    np.testing.assert_array_equal(placed[:, 2:], 0)
    np.testing.assert_allclose(place_boxes(np.array([[0.0, 0.0, 1.0, 1.0]]), to), [[0, 0, 2, 4]])


@pytest.mark.parametrize('fit', ['crop', 'pad'])
@pytest.mark.parametrize('shape', [(40, 64), (64, 40), (48, 48)])
def test_boxes_stay_on_what_they_surround(fit, shape):
    """A bright rectangle is found where its box says, within a pixel."""
    rng = np.random.default_rng(0)
    to = placement(*shape, 32, fit)
    for _ in range(5):
        y, x = rng.integers(8, 16, 2)
        image = np.zeros((*shape, 1), np.uint8)
        image[y : y + 20, x : x + 20] = 255
        share = np.array([[x, y, x + 20, y + 20]]) / np.array([shape[1], shape[0]] * 2)
        box = place_boxes(share, to)[0]
        for nearest in (False, True):
            rows, columns = np.nonzero(place_image(image, to, nearest)[..., 0] > 127)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(found, box, atol=1)


def test_masks_keep_their_numbers():
    mask = np.random.default_rng(0).choice([1, 3], (9, 14, 1)).astype(np.uint8)
    placed = place_image(mask, placement(9, 14, 6), nearest=True)
    assert set(np.unique(placed)) == {1, 3}


def test_boxes_outside_are_empty():
    box = place_boxes(np.array([[0.0, 0.0, 0.1, 1.0]]), placement(10, 40, 8))[0]
    assert box[2] == box[0]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((4, 4, 0), 'image_size: expected positive sizes, got 4 x 4 to be brought to 0'),
        ((4, 4, 2, 'fill'), "fit: expected one of .*, got 'fill'"),
    ],
)
def test_wrong_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        placement(*arguments)
