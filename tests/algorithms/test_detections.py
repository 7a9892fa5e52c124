import functools

import jax
import numpy as np
import pytest

from jaxsep.algorithms.detections import detect


def test_places_give_boxes_of_several_classes_and_levels_suppress_one_another():
    near, far = [0.0, 0, 10, 10], [20.0, 20, 30, 30]
    fine = np.float32([[0.9, 0.6], [0.04, 0.01]]), np.float32([near, far])
    coarse = np.float32([[0.7, 0.8]]), np.float32([[0, 0, 10, 9]])
    found = detect([fine, coarse], max_detections=4)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.classes, [0, 1, -1, -1])
    np.testing.assert_array_equal(found.boxes, [near, [0, 0, 10, 9], [0] * 4, [0] * 4])
    assert found.classes.dtype == np.int32


def test_only_the_best_candidates_of_each_level_are_looked_at():
    rng = np.random.default_rng(0)
    low = 20.0 * np.arange(12)[:, None]
    boxes = np.concatenate([low, 0 * low, low + 10, 0 * low + 10], axis=1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.1, 0.9, 12)).astype(np.float32)[:, None]
    found = detect([(scores[:6], boxes[:6]), (scores[6:], boxes[6:])], max_detections=12,
                   candidates=2)  # fmt: skip
    expected = sorted([*sorted(scores[:6, 0])[-2:], *sorted(scores[6:, 0])[-2:]])[::-1]
    np.testing.assert_allclose(found.scores[:4], expected, rtol=1e-6)
    assert np.all(found.classes[4:] == -1)


def test_images_do_not_see_one_another():
    rng = np.random.default_rng(1)
    scores = rng.uniform(size=(3, 8, 2)).astype(np.float32)
    low = rng.uniform(0, 9, (3, 8, 2))
    boxes = np.concatenate([low, low + 5], -1).astype(np.float32)
    f = functools.partial(detect, max_detections=5)
    together = jax.jit(jax.vmap(lambda s, b: f([(s, b)])))(scores, boxes)
    alone_of = jax.jit(lambda s, b: f([(s, b)]))
    for i in range(3):
        alone = alone_of(scores[i], boxes[i])
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_array_equal(a, b[i])


@pytest.mark.parametrize('options', [{'candidates': 0}, {'max_detections': 0}])
def test_wrong_options_are_named(options):
    level = np.zeros((1, 1), np.float32), np.zeros((1, 4), np.float32)
    with pytest.raises(ValueError, match='candidates, max_detections: expected at least 1'):
        detect([level], **options)
