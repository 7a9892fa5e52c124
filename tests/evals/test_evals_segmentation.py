"""The evaluation of masks against loops over images and classes, and its refusals."""

import numpy as np
import pytest

from jaxsep.evals import segmentation


def table(mask, truth):
    return {'test': {'mask': np.asarray(mask), 'true_mask': np.asarray(truth)}}


def overlap(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_agrees_with_loops():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    mask = np.where(rng.uniform(size=truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape))
    mask = mask.astype(np.int32)
    truth[0, :2] = 255
    truth[1][truth[1] == 2], mask[1][mask[1] == 2] = 1, 1
    found = segmentation.evaluate(table(mask, truth))
    means = []
    for m, t in zip(mask, truth, strict=True):
        kept = t != 255
        pairs = [(kept & (m == k), kept & (t == k)) for k in (1, 2, 3)]
        means.append(np.mean([overlap(*pair) for pair in pairs if np.any(pair)]))
    kept = truth != 255
    ious = [
        (kept & (mask == k) & (truth == k)).sum() / (kept & ((mask == k) | (truth == k))).sum()
        for k in range(4)
    ]
    expected = {
        'miou': np.mean(ious),
        'mean_dice': np.mean(means),
        'dice_std': np.std(means, ddof=1),
        'pixel_accuracy': np.mean((mask == truth)[kept]),
    }
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_perfect_mask_has_one_and_no_deviation():
    truth = np.arange(24).reshape(2, 3, 4) % 3
    found = segmentation.evaluate(table(truth, truth))
    assert found == {'miou': 1, 'mean_dice': 1, 'dice_std': 0, 'pixel_accuracy': 1}


def test_images_without_foreground_are_left_out_unless_some_is_claimed():
    truth = np.zeros((3, 2, 2), int)
    truth[0, 0] = mask = 1
    mask = truth.copy()
    assert segmentation.evaluate(table(mask, truth))['mean_dice'] == 1
    mask[1, 0, 0] = 1  # claimed where there is nothing: 0, and it counts
    assert segmentation.evaluate(table(mask, truth))['mean_dice'] == 0.5
    nothing = segmentation.evaluate(table(0 * mask, 0 * truth))
    assert nothing['mean_dice'] == nothing['dice_std'] == 0 and nothing['miou'] == 1
    assert segmentation.evaluate(table(0 * mask, 0 * truth), background=None)['mean_dice'] == 1


@pytest.mark.parametrize(
    'mask, truth, message',
    [
        (
            np.zeros((2, 3, 3), int),
            np.zeros((2, 3, 4), int),
            r'a class a pixel, \(2, 3, 4\) .* got',
        ),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), "output 'mask': expected a class a pixel"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 3), int), "column 'mask': expected integers"),
        (np.full((2, 3, 3), -1), np.zeros((2, 3, 3), int), 'expected classes from 0, got -1'),
    ],
)
def test_wrong_tables_are_refused(mask, truth, message):
    with pytest.raises(ValueError, match=message):
        segmentation.evaluate(table(mask, truth))
