"""Cross-entropy and soft Dice of pixels: equations in numpy, edges, devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses import segmentation

# Compiled: one program a call in place of one an operation.
OPTIONS = ('ignore', 'axis_name')
pixel_cross_entropy = jax.jit(segmentation.pixel_cross_entropy, static_argnames=OPTIONS)
soft_dice_loss = jax.jit(
    segmentation.soft_dice_loss, static_argnames=(*OPTIONS, 'background', 'smoothing')
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3, 4, 3))
LABELS = RNG.integers(0, 3, size=(2, 3, 4))
LABELS[0, 0, :2] = 255


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy_of(logits, labels):
    """Pixel by pixel."""
    p = softmax(logits)
    return np.mean(
        [-np.log(p[at][labels[at]]) for at in np.ndindex(labels.shape) if labels[at] < 255]
    )


def dice_loss_of(logits, labels, smoothing, classes):
    """Class by class."""
    p, found = softmax(logits), []
    for k in classes:
        t = labels == k
        both = sum(p[at][k] for at in np.ndindex(labels.shape) if t[at])
        either = sum(p[at][k] + t[at] for at in np.ndindex(labels.shape) if labels[at] < 255)
        found.append((2 * both + smoothing) / (either + smoothing))
    return 1 - np.mean(found)


def test_values_agree_with_loops_and_gradients_with_differences(float64):
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    cases = [
        (pixel_cross_entropy, cross_entropy_of(LOGITS, LABELS)),
        (functools.partial(soft_dice_loss, smoothing=0.5), dice_loss_of(LOGITS, LABELS, 0.5, range(3))),
        (functools.partial(soft_dice_loss, background=0), dice_loss_of(LOGITS, LABELS, 1, (1, 2))),
    ]  # fmt: skip
    for loss, expected in cases:
        apply = jax.jit(lambda x, loss=loss: loss(x, labels))
        np.testing.assert_allclose(apply(logits), expected, rtol=1e-10)
        check_grads(apply, (logits,), 1, ('rev',), rtol=1e-4)


@pytest.mark.parametrize('loss', [pixel_cross_entropy, soft_dice_loss])
def test_ignored_pixels_have_no_gradient_and_change_nothing(loss):
    logits = jnp.asarray(LOGITS, jnp.float32)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: loss(x, jnp.asarray(LABELS))))
    value, grad = value_and_grad(logits)
    np.testing.assert_array_equal(grad[0, 0, :2], 0)
    assert (np.abs(grad[1]).max(-1) > 0).all()
    other, _ = value_and_grad(logits.at[0, 0, :2].set(100.0))
    np.testing.assert_allclose(other, value, rtol=1e-6)


@pytest.mark.parametrize('loss', [pixel_cross_entropy, soft_dice_loss])
def test_without_labelled_pixels_it_is_zero_with_zero_gradient(loss):
    logits, labels = np.ones((1, 2, 2, 3), np.float32), np.full((1, 2, 2), 255)
    value, grad = jax.jit(jax.value_and_grad(loss))(logits, labels)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize('loss', [pixel_cross_entropy, soft_dice_loss])
def test_extreme_logits_are_finite_and_certainty_is_rewarded(loss):
    right = np.float32(1e4) * np.eye(3, dtype=np.float32)[np.where(LABELS == 255, 0, LABELS)]
    value_and_grad = jax.jit(jax.value_and_grad(loss))
    value, grad = value_and_grad(right, LABELS)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert np.isfinite(grad).all()
    value, grad = value_and_grad(-right, LABELS)
    assert np.isfinite(value) and value > 0.3 and np.isfinite(grad).all()
    assert loss(right.astype(jnp.bfloat16), LABELS).dtype == jnp.float32


def test_dice_leaves_the_shares_of_classes_out_of_the_value():
    # One pixel of class 1 among many of class 0, both predicted with the same certainty.
    labels = np.zeros((1, 10, 10), int)
    labels[0, 0, 0] = 1
    sure = 4 * (2 * np.eye(2, dtype=np.float32)[labels] - 1)
    missed = sure.copy()
    missed[0, 0, 0] *= -1
    lost = [
        loss(missed, labels) - loss(sure, labels) for loss in (soft_dice_loss, pixel_cross_entropy)
    ]
    assert lost[0] > 0.2 and lost[1] < 0.1


def test_pixels_in_any_order_and_shape_give_the_same():
    order = np.random.default_rng(1).permutation(LABELS.size)
    logits, labels = LOGITS.astype(np.float32), LABELS
    for loss in (pixel_cross_entropy, soft_dice_loss):
        flat = loss(logits.reshape(-1, 3)[order], labels.reshape(-1)[order])
        np.testing.assert_allclose(flat, loss(logits, labels), rtol=1e-5)


@pytest.mark.parametrize('loss', [pixel_cross_entropy, soft_dice_loss])
def test_eight_devices_agree(loss, same_on_eight_devices):
    rng = np.random.default_rng(2)
    labels = rng.choice([0, 1, 2, 255], (8, 2, 3))
    labels[0] = 255  # devices with different numbers of labelled pixels
    logits = jnp.asarray(rng.normal(size=(8, 2, 3, 3)), jnp.float32)
    same_on_eight_devices(getattr(segmentation, loss.__name__), logits, jnp.asarray(labels))


def test_wrong_arguments_are_named():
    logits, labels = jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2), int)
    with pytest.raises(ValueError, match='smoothing: expected a number above 0, got 0'):
        soft_dice_loss(logits, labels, smoothing=0.0)
    with pytest.raises(ValueError, match='background: expected one of several classes .*, got 3'):
        soft_dice_loss(logits, labels, background=3)
