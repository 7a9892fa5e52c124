import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.nms import nms


def overlap_of(a, b):
    """Intersection, area of the first and union of two boxes, number by number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    area_a, area_b = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return shared, area_a, area_a + area_b - shared


def slow(boxes, scores, threshold, classes=None):
    """The rule itself: the best of what is left, and nothing that overlaps it."""
    left, kept = sorted(range(len(boxes)), key=lambda i: (-scores[i], i)), []
    while left:
        best = left.pop(0)
        kept.append(best)
        rest = []
        for i in left:
            shared, _, union = overlap_of(boxes[best], boxes[i])
            same = classes is None or classes[i] == classes[best]
            if not (same and shared / union > threshold):
                rest.append(i)
        left = rest
    return kept


def crowded(seed, count=30):
    """Boxes on a grid, so that equal IoUs and equal scores are many."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 6, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 5, (count, 2))], axis=1).astype(np.float64)
    return boxes, rng.integers(0, 8, count) / 8, rng.integers(0, 3, count)


run = jax.jit(nms, static_argnames=('size', 'threshold'))


@pytest.mark.parametrize('name', ['nms', 'nms_per_class'])
def test_kept_boxes_agree_with_the_golden(golden, name):
    g = golden('shared_dense_detection')
    boxes, scores = g[f'{name}/boxes'], g[f'{name}/scores']
    classes = g['nms_per_class/classes'] if name == 'nms_per_class' else None
    keep = g[f'{name}/keep']
    found = run(boxes, scores, float(g[f'{name}/thr']), size=len(boxes), classes=classes)
    np.testing.assert_array_equal(found[: len(keep)], keep)
    np.testing.assert_array_equal(found[len(keep) :], -1)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('with_classes', [False, True])
def test_kept_boxes_agree_with_loops_at_ties(seed, with_classes):
    boxes, scores, classes = crowded(seed)
    classes = classes if with_classes else None
    expected = slow(boxes, scores, 0.5, classes)  # 0.5 is the IoU of many pairs: it is not above
    found = run(boxes, scores, 0.5, size=len(boxes), classes=classes)
    np.testing.assert_array_equal(found[found >= 0], expected)
    short = run(boxes, scores, 0.5, size=4, classes=classes)
    np.testing.assert_array_equal(short, expected[:4])


def test_classes_far_apart_are_the_same_as_shifted_boxes():
    boxes, scores, classes = crowded(9)
    shifted = boxes + (classes * (boxes.max() + 1))[:, None]
    np.testing.assert_array_equal(
        run(boxes, scores, 0.3, size=30, classes=classes), run(shifted, scores, 0.3, size=30)
    )


def test_rows_that_are_not_valid_neither_stay_nor_suppress():
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 4], [9, 9, 12, 12]])
    found = run(boxes, np.array([0.9, 0.5, 0.1]), 0.5, size=3, valid=np.array([False, True, True]))
    np.testing.assert_array_equal(found, [1, 2, -1])
    nothing = run(boxes, np.ones(3), 0.5, size=2, valid=np.zeros(3, bool))
    np.testing.assert_array_equal(nothing, [-1, -1])


def test_no_boxes_empty_boxes_and_one_compilation_for_images():
    np.testing.assert_array_equal(nms(np.zeros((0, 4)), np.zeros(0), 0.5, size=2), [-1, -1])
    empty = np.zeros((3, 4))  # their IoU is 0: all stay
    np.testing.assert_array_equal(run(empty, np.array([0.1, 0.3, 0.2]), 0.5, size=3), [1, 2, 0])
    several = [crowded(seed) for seed in (1, 2)]
    boxes, scores, _ = (np.stack(x) for x in zip(*several, strict=True))
    found = jax.jit(jax.vmap(functools.partial(nms, threshold=0.5, size=30)))(boxes, scores)
    for row, (b, s, _) in zip(found, several, strict=True):
        np.testing.assert_array_equal(row[row >= 0], slow(b, s, 0.5))
    assert found.dtype == jnp.int32


def test_wrong_options_are_named():
    box = np.zeros((1, 4))
    with pytest.raises(ValueError, match='size: expected at least 1, got 0'):
        nms(box, np.zeros(1), 0.5, size=0)
    with pytest.raises(ValueError, match='threshold: expected a number from 0 to 1, got 1.5'):
        nms(box, np.zeros(1), 1.5, size=1)
