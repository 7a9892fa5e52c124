import numpy as np
import pytest

from jaxsep.data.source import load, take_all


@pytest.fixture(scope='module')
def canvases():
    source = load('digit_pairs', num_train=60, num_test=40)
    return {name: take_all(split) for name, split in source.splits.items()}


def known_digits():
    """Pixels of every single digit -> its number and its split."""
    return {
        image.tobytes(): (label, split)
        for split, rows in load('digits').splits.items()
        for image, label in zip(*(take_all(rows)[c] for c in ('image', 'label')), strict=True)
    }


def test_both_halves_show_digits_of_the_own_split_and_say_which(canvases):
    known = known_digits()
    for split, rows in canvases.items():
        for image, common, salient, target in zip(
            *(rows[c] for c in ('image', 'common', 'salient', 'target')), strict=True
        ):
            assert known[image[:, :8].tobytes()] == (common, split)
            if target:
                assert known[image[:, 8:].tobytes()] == (salient, split)
            else:
                assert salient == 10 and not image[:, 8:].any()


def test_half_of_the_canvases_are_targets(canvases):
    assert [rows['image'].shape for rows in canvases.values()] == [(60, 8, 16, 1), (40, 8, 16, 1)]
    assert [rows['target'].sum() for rows in canvases.values()] == [30, 20]


def test_the_left_digit_tells_nothing_of_the_right_one():
    rows = take_all(load('digit_pairs', num_train=20_000).splits['train'])
    pairs = 10 * rows['common'] + rows['salient']
    counts = np.bincount(pairs[rows['target'] > 0], minlength=100)
    # 100 pairs of about 100 canvases each: six standard deviations.
    assert np.abs(counts - 100).max() < 60


def test_the_seed_decides():
    same, again, other = (
        take_all(load('digit_pairs', num_train=8, num_test=4, seed=s).splits['train'])['image']
        for s in (0, 0, 1)
    )
    assert np.array_equal(same, again) and not np.array_equal(same, other)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match='num_test: expected at least 2 canvases, got 1'):
        load('digit_pairs', num_test=1)
