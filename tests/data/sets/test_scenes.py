"""Scenes: boxes and masks are what the pixels say, and nothing of the test is in the training."""

import numpy as np
import pytest
import sklearn.datasets

from jaxsep.data.sets import scenes
from jaxsep.data.source import load


@pytest.fixture(scope='module')
def few():
    return load('scenes', num_train=24, num_test=16, image_size=48, object_size=(8, 20))


def rows(source, split):
    return source.splits[split].take(np.arange(len(source.splits[split])))


def test_columns_and_names(few):
    batch = rows(few, 'train')
    assert batch['image'].shape == (24, 48, 48, 3) and batch['image'].dtype == np.uint8
    assert batch['true_boxes'].shape == (24, 4, 4) and batch['true_boxes'].dtype == np.float32
    assert batch['true_classes'].dtype == np.int32 and batch['true_mask'].dtype == np.uint8
    assert few.targets['true_mask'] == ('background', *few.targets['true_classes'])
    assert len(few.targets['true_classes']) == 9 and few.labels == {}


def test_every_pixel_of_the_mask_lies_in_a_box_of_its_class_and_boxes_are_tight(few):
    for split in few.splits:
        batch = rows(few, split)
        for boxes, classes, mask in zip(
            batch['true_boxes'].astype(int), batch['true_classes'], batch['true_mask'], strict=True
        ):
            inside = np.zeros((10, *mask.shape), bool)
            for (left, top, right, bottom), k in zip(boxes, classes, strict=True):
                if k < 0:
                    assert (left, top, right, bottom) == (0, 0, 0, 0)
                    continue
                inside[k + 1, top:bottom, left:right] = True
                own = mask[top:bottom, left:right] == k + 1
                assert own[0].any() and own[-1].any() and own[:, 0].any() and own[:, -1].any()
            for k in range(1, 10):
                assert not ((mask == k) & ~inside[k]).any()
            assert (classes >= 0).any()


def test_scenes_depend_on_the_seed_only(few):
    again = load('scenes', num_train=24, num_test=16, image_size=48, object_size=(8, 20))
    other = load('scenes', num_train=24, num_test=16, image_size=48, object_size=(8, 20), seed=1)
    np.testing.assert_array_equal(rows(few, 'test')['image'], rows(again, 'test')['image'])
    assert (rows(few, 'test')['image'] != rows(other, 'test')['image']).any()


def sprite(top, left, size, kind=0):
    return scenes.Sprite(top, left, np.zeros((size, size, 3)), np.ones((size, size)), kind)


def test_a_sprite_that_later_ones_hide_is_not_painted():
    low, high = sprite(0, 0, 4), sprite(0, 1, 4)
    assert [s for s, _ in scenes.visible([low, high], 8, 0.5)] == [high]
    kept = scenes.visible([low, high], 8, 0.25)
    assert [s for s, _ in kept] == [low, high]
    assert kept[0][1].sum() == 4 and kept[1][1].sum() == 16  # one column of four is left


def test_a_hidden_sprite_hides_nothing():
    kept = scenes.visible([sprite(0, 0, 4), sprite(0, 0, 4), sprite(0, 0, 4)], 8, 0.5)
    assert len(kept) == 1 and kept[0][1].sum() == 16


def test_training_and_test_crops_share_no_column_of_a_photograph():
    width = 100
    photographs = [np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (80, width, 3))]
    rng = np.random.default_rng(0)
    train = [scenes.background(rng, photographs, 'train', 8).max() for _ in range(50)]
    test = [scenes.background(rng, photographs, 'test', 8).min() for _ in range(50)]
    assert max(train) < 70 <= min(test)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(object_size=(2, 8)), 'object_size: expected 4 <= smallest'),
        (dict(object_size=(8, 80)), 'object_size'),
        (dict(image_size=256), 'image_size: expected at most 128, got 256'),
        (dict(num_train=0), 'num_train: expected at least 1, got 0'),
        (dict(label='vendor'), "label: expected one of item, group, subgroup, got 'vendor'"),
        (dict(min_visible=0.0), 'min_visible'),
        (dict(max_objects=0), 'max_objects'),
        (dict(classes=('food-drnk',)), "no group 'food-drnk': did you mean food-drink"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('scenes', **{'num_train': 1, 'num_test': 1, **options})


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(
        scenes.importlib, 'import_module', lambda name: (_ for _ in ()).throw(ImportError)
    )
    with pytest.raises(ImportError, match=r"pip install 'jaxsep\[data\]'"):
        scenes.read_photographs()


def test_digits_need_no_package_and_those_of_the_test_are_never_seen(monkeypatch):
    monkeypatch.setattr(scenes, 'emoji_drawings', None)  # would fail
    made = load(
        'scenes', drawings='digits', classes=('3', '7'), num_train=6, num_test=4, image_size=32,
        object_size=(8, 16), max_objects=2,
    )  # fmt: skip
    assert made.targets['true_classes'] == ('3', '7')
    batch = rows(made, 'test')
    assert batch['image'].shape == (4, 32, 32, 3) and batch['true_boxes'].shape == (4, 2, 4)
    assert set(batch['true_classes'].ravel()) <= {-1, 0, 1} and batch['true_classes'].max() >= 0
    views, kinds, _ = scenes.digit_drawings()
    digits = sklearn.datasets.load_digits()
    np.testing.assert_allclose(views[:, 0, ..., 3], digits.images * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(kinds, digits.target)
    with pytest.raises(ValueError, match="drawings: expected one of .*, got 'letters'"):
        load('scenes', drawings='letters')
    with pytest.raises(ValueError, match="classes: no digit 'ten'"):
        load('scenes', drawings='digits', classes=('ten',))
