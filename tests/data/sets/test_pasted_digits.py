import numpy as np
import pytest

from jaxsep.data.source import load, take_all


def known_digits():
    """Pixels of every single digit -> its number and its split."""
    return {
        image.tobytes(): (label, split)
        for split, rows in load('digits').splits.items()
        for image, label in zip(*(take_all(rows)[c] for c in ('image', 'label')), strict=True)
    }


def test_canvases_without_noise_show_a_digit_of_the_own_split():
    known = known_digits()
    source = load('pasted_digits', size=10, noise=0.0, copies=2)
    places = set()
    for split, rows in source.splits.items():
        rows = take_all(rows)
        assert len(rows['label']) == (2 if split == 'train' else 1) * len(
            load('digits').splits[split]
        )
        for image, label in zip(rows['image'][:200], rows['label'][:200], strict=True):
            found = [
                (top, left)
                for top in range(3)
                for left in range(3)
                if known.get(image[top : top + 8, left : left + 8].tobytes()) == (label, split)
            ]
            outside = image.sum(dtype=int) - max(
                image[t : t + 8, left : left + 8].sum(dtype=int) for t, left in found
            )
            assert found and outside == 0
            places.update(found)
    assert len(places) == 9


def test_noise_has_its_spread_and_classes_are_renumbered():
    source = load('pasted_digits', size=14, noise=0.1, classes=(7, 2))
    rows = take_all(source.splits['train'])
    assert source.labels['label'] == ('7', '2') and set(rows['label']) == {0, 1}
    # Half of the noise is cut off at 0: the mean of the rest is std / sqrt(2 pi).
    corner = rows['image'][:, 0, 0, 0]
    quiet = corner[corner < 100]
    assert quiet.mean() == pytest.approx(25.5 / np.sqrt(2 * np.pi), rel=0.3)


def test_the_seed_decides_places_and_noise():
    a, b, c = (
        take_all(load('pasted_digits', noise=0.1, seed=s).splits['train'])['image'][:5]
        for s in (0, 0, 1)
    )
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'size': 7}, 'size: expected at least 8 pixels, got 7'),
        ({'noise': -0.1}, 'noise: expected 0 or more, got -0.1'),
        ({'copies': 0}, 'copies: expected at least 1, got 0'),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        load('pasted_digits', **wrong)
