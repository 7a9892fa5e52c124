"""Scenes of digits: masks hold the kept ones only, and depend on the seed only."""

import numpy as np
import pytest

from jaxsep.data.sets import digit_scenes
from jaxsep.data.source import load

OPTIONS = dict(num_train=12, num_test=8, image_size=32, object_size=(10, 16), images='digits')


def rows(source, split):
    return source.splits[split].take(np.arange(len(source.splits[split])))


def test_columns_names_and_kept_digits():
    source = load('digit_scenes', **OPTIONS, kept=(7, 3))
    batch = rows(source, 'train')
    assert batch['image'].shape == (12, 32, 32, 3) and batch['image'].dtype == np.uint8
    assert batch['true_mask'].shape == (12, 32, 32) and batch['true_mask'].dtype == np.uint8
    assert source.targets['true_mask'] == ('background', '7', '3') and source.labels == {}
    for split in ('train', 'test'):
        mask = rows(source, split)['true_mask']
        assert set(np.unique(mask)) == {0, 1, 2}
        assert (mask > 0).any(axis=(1, 2)).all()


def test_scenes_depend_on_the_seed_only():
    one, again, other = (load('digit_scenes', **OPTIONS, seed=seed) for seed in (0, 0, 1))
    for name in ('image', 'true_mask'):
        np.testing.assert_array_equal(rows(one, 'test')[name], rows(again, 'test')[name])
    assert (rows(one, 'test')['image'] != rows(other, 'test')['image']).any()


def drawn(images, labels, kept, seed=0, **changed):
    """One scene on a grey ground, without blur and noise."""
    options = dict(max_objects=3, object_size=(8, 8), contrast=(1.0, 1.0), blur=0.0, noise=0.0,
                   min_visible=0.1) | changed  # fmt: skip
    ground = np.full((16, 16, 3), 100.0, np.float32)
    images, labels = np.asarray(images, np.uint8), np.asarray(labels)
    return digit_scenes.scene(np.random.default_rng(seed), ground, images, labels, kept, **options)


def test_the_mask_is_where_kept_ink_is_and_distractors_are_painted_but_not_in_it():
    square = np.full((1, 8, 8), 255)
    for seed in range(8):
        image, mask = drawn(np.concatenate([square, square]), [1, 5], (1,), seed)
        painted = (image != 100).any(axis=-1)
        assert (painted[mask == 1]).all() and (mask == 1).sum() >= 0.1 * 64
        assert set(np.unique(mask)) <= {0, 1}
        # With one object only it is the kept one, in full.
        image, mask = drawn(np.concatenate([square, square]), [1, 5], (1,), seed, max_objects=1)
        np.testing.assert_array_equal((image != 100).any(axis=-1), mask == 1)
        assert (mask == 1).sum() == 64
    distractors = [
        ((image != 100).any(axis=-1) & (mask == 0)).any()
        for image, mask in (
            drawn(np.concatenate([square, square]), [1, 5], (1,), s) for s in range(8)
        )
    ]
    assert any(distractors)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'images': 'letters'}, "images: expected one of .*, got 'letters'"),
        ({'kept': (1, 1)}, r'kept: expected different digits .* got \(1, 1\)'),
        ({'kept': (11,)}, r'kept: expected different digits .* got \(11,\)'),
        ({'kept': ()}, r'kept: expected different digits .* got \(\)'),
        ({'contrast': (0.0, 1.0)}, r'contrast: expected 0 < smallest .* got \(0.0, 1.0\)'),
        ({'blur': -1.0}, 'blur, noise: expected 0 or more, got -1.0'),
        ({'object_size': (10, 40)}, 'object_size: expected'),
        ({'num_test': 0}, 'num_test: expected at least 1, got 0'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('digit_scenes', **OPTIONS | options)
