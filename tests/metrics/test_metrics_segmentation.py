"""IoU, Dice and accuracy of segmentations against the given numbers, scikit-learn and loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from jaxsep.metrics import segmentation
from jaxsep.metrics.segmentation import (
    confusion,
    dice,
    iou,
    mean_dice,
    mean_iou,
    pixel_accuracy,
    present,
)


def test_agrees_with_the_golden_numbers(golden, float64):
    data = {k.removeprefix('seg/'): v for k, v in golden('shared_segmentation').items()}
    counts = confusion(data['pred'], data['gt'], 4)
    np.testing.assert_array_equal(counts, data['confusion'])
    there = present(counts)
    for function, name in ((iou, 'iou'), (dice, 'dice')):
        expected = data[f'{name}_absent_is_minus1']
        np.testing.assert_allclose(jnp.where(there, function(counts), -1), expected, rtol=1e-9)
    np.testing.assert_allclose(mean_iou(counts), data['miou_present'], rtol=1e-9)
    np.testing.assert_allclose(pixel_accuracy(counts), data['pixel_acc'], rtol=1e-9)


def test_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, (2, 3, 40))
    counts = confusion(predicted, truth, 5)
    flat = truth.ravel(), predicted.ravel()
    np.testing.assert_array_equal(counts, sklearn_metrics.confusion_matrix(*flat))
    np.testing.assert_allclose(dice(counts), sklearn_metrics.f1_score(*flat, average=None), 1e-6)
    expected = sklearn_metrics.jaccard_score(*flat, average=None)
    np.testing.assert_allclose(iou(counts), expected, rtol=1e-6)
    np.testing.assert_allclose(pixel_accuracy(counts), np.mean(flat[0] == flat[1]), rtol=1e-6)


def test_counts_of_parts_add_up_and_leading_axes_are_apart():
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 3, (2, 4, 6, 5)).astype(np.uint8)
    truth[0, 0] = 255
    parts = jnp.stack([confusion(p, t, 3) for p, t in zip(predicted, truth, strict=True)])
    np.testing.assert_array_equal(parts.sum(0), confusion(predicted, truth, 3))
    for function in (iou, dice, mean_iou, mean_dice, pixel_accuracy, present):
        np.testing.assert_allclose(function(parts)[2], function(parts[2]), rtol=1e-6)
    relation = 2 * iou(parts) / (1 + iou(parts))
    np.testing.assert_allclose(dice(parts), relation, rtol=1e-6)


def test_pixels_that_are_ignored_or_no_class_do_not_count():
    truth = jnp.array([0, 1, 7, -1, 1, 2])
    predicted = jnp.array([0, 1, 0, 0, 9, 1])
    np.testing.assert_array_equal(confusion(predicted, truth, 3, ignore=2), np.diag([1, 1, 0]))
    # 20 classes: the number of a cell does not fit into the masks' uint8.
    mask = jnp.full((2, 3), 19, jnp.uint8)
    assert confusion(mask, mask, 20)[19, 19] == 6


def test_absent_classes_are_left_out_of_means_and_no_pixels_give_zero():
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_array_equal(present(counts), [True, True, False])
    np.testing.assert_allclose(mean_iou(counts), (3 / 4 + 4 / 5) / 2, rtol=1e-6)
    np.testing.assert_allclose(mean_dice(counts), (6 / 7 + 8 / 9) / 2, rtol=1e-6)
    np.testing.assert_allclose(mean_dice(counts, background=0), 8 / 9, rtol=1e-6)
    empty = confusion(jnp.zeros((0,), int), jnp.zeros((0,), int), 3)
    for function in (mean_iou, mean_dice, pixel_accuracy):
        assert function(empty) == 0


def test_a_perfect_mask_has_one_and_a_wrong_one_zero():
    truth = np.arange(12).reshape(3, 4) % 3
    assert mean_iou(confusion(truth, truth, 3)) == mean_dice(confusion(truth, truth, 3)) == 1
    wrong = confusion((truth + 1) % 3, truth, 3)
    assert mean_iou(wrong) == mean_dice(wrong) == pixel_accuracy(wrong) == 0


def test_counts_beyond_int32_are_measured():
    counts = np.array([[3 * 10**9, 10**9], [0, 4 * 10**9]])
    np.testing.assert_allclose(mean_iou(counts), (3 / 4 + 4 / 5) / 2, rtol=1e-6)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='num_classes: expected at least 1, got 0'):
        confusion(jnp.zeros(3, int), jnp.zeros(3, int), 0)
    with pytest.raises(ValueError, match='counts: expected one row and one column a class'):
        segmentation._margins(np.zeros((2, 3)))
