import numpy as np
import pytest

from jaxsep.data.sets import mnist5k
from jaxsep.data.source import load, take_all

SMALL = dict(num_train=30, num_test=20)


@pytest.fixture(scope='module')
def small(real):
    real(mnist5k.ARCHIVE, small=True)
    return {
        name: take_all(split) for name, split in load('cluttered_digits', **SMALL).splits.items()
    }


def test_columns_have_their_shapes_and_every_box_is_a_square_on_the_canvas(small):
    for name, size in (('train', 30), ('test', 20)):
        rows = small[name]
        assert rows['image'].shape == (size, 32, 32, 1) and rows['image'].dtype == np.uint8
        boxes = rows['true_boxes'][:, 0]
        assert rows['true_boxes'].shape == (size, 1, 4)
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        np.testing.assert_array_equal(width, height)
        assert set(width) <= {9, 10, 11, 12, 13} and len(set(width)) > 2
        assert boxes.min() >= 0 and boxes.max() <= 32
        assert rows['label'].dtype == np.int32 and len(set(rows['label'])) > 5


def test_without_clutter_only_the_digit_is_there_and_with_it_the_digit_is_still_seen(real):
    real(mnist5k.ARCHIVE, small=True)
    clean = take_all(load('cluttered_digits', num_pieces=0, noise=0.0, **SMALL).splits['train'])
    for image, (left, top, right, bottom) in zip(
        clean['image'][..., 0], clean['true_boxes'][:, 0].astype(int), strict=True
    ):
        inside = image[top:bottom, left:right]
        assert inside.max() > 100
        assert image.sum(dtype=int) == inside.sum(dtype=int)


def test_the_same_seed_gives_the_same_scenes_and_another_seed_others(small):
    again = take_all(load('cluttered_digits', **SMALL).splits['train'])
    other = take_all(load('cluttered_digits', seed=1, **SMALL).splits['train'])
    np.testing.assert_array_equal(again['image'], small['train']['image'])
    assert (other['image'] != again['image']).any()


def test_no_digit_comes_a_second_time_before_all_were_there():
    from jaxsep.data.sets.cluttered_digits import in_turns

    chosen = in_turns(np.random.default_rng(0), 7, 17)
    assert len(chosen) == 17
    assert sorted(chosen[:7]) == sorted(chosen[7:14]) == list(range(7))
    assert len(set(chosen[14:])) == 3


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(digit_size=(3, 9)), r'digit_size: expected 4 <= smallest .*, got \(3, 9\)'),
        (dict(digit_size=(9, 40)), 'digit_size: .* on canvases of 32'),
        (dict(num_pieces=-1), 'num_pieces: expected 0 or more, got -1'),
        (dict(piece_size=12), 'piece_size: expected 1 to 11, got 12'),
        (dict(noise=-0.1), 'noise: expected 0 or more, got -0.1'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('cluttered_digits', **options)


def test_too_many_scenes_are_named(real):
    real(mnist5k.ARCHIVE, small=True)
    with pytest.raises(ValueError, match='num_test: expected 1 to 20000, got 0'):
        load('cluttered_digits', num_test=0)
