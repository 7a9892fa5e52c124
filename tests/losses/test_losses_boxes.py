import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses import boxes as losses

LOSSES = {
    'iou_log': losses.iou_loss,
    'iou_linear': functools.partial(losses.iou_loss, form='linear'),
    'giou': losses.giou_loss,
    'diou': losses.diou_loss,
    'ciou': losses.ciou_loss,
}
every = pytest.mark.parametrize('name', list(LOSSES))


def value_and_grad(name, pred, target):
    return compiled(name)(pred, target)


def loss(name, pred, target):
    return np.asarray(value_and_grad(name, pred, target)[0])


@functools.lru_cache
def compiled(name):
    """Value and gradient in the first boxes."""
    f = LOSSES[name]
    return jax.jit(lambda p, t: (f(p, t), jax.grad(lambda x: jnp.sum(f(x, t)))(p)))


def overlapping(seed=0, count=6):
    rng = np.random.default_rng(seed)
    low, side = rng.uniform(0, 4, (2, count, 2)), rng.uniform(5, 9, (2, count, 2))
    return np.concatenate([low, low + side], axis=-1)


@every
def test_values_and_gradients_agree_with_the_golden(golden, name):
    g = golden('shared_dense_detection')
    target = g['boxloss/target_ciou' if name == 'ciou' else 'boxloss/target']
    value, grad = value_and_grad(name, g['boxloss/pred'], target)
    np.testing.assert_allclose(value, g[f'boxloss/{name}'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad, g[f'boxloss/d_{name}'], rtol=1e-4, atol=1e-6)


def by_number(name, p, t):
    """The loss of one pair, from its definition."""
    width, height = min(p[2], t[2]) - max(p[0], t[0]), min(p[3], t[3]) - max(p[1], t[1])
    shared = max(width, 0) * max(height, 0)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (p, t)]
    union = sum(area) - shared
    iou = shared / union
    hull_w, hull_h = max(p[2], t[2]) - min(p[0], t[0]), max(p[3], t[3]) - min(p[1], t[1])
    if name == 'iou_log':
        return -math.log(max(iou, 1e-6))
    if name == 'iou_linear':
        return 1 - iou
    if name == 'giou':
        return 1 - iou + (hull_w * hull_h - union) / (hull_w * hull_h)
    dx, dy = (p[0] + p[2] - t[0] - t[2]) / 2, (p[1] + p[3] - t[1] - t[3]) / 2
    loss = 1 - iou + (dx * dx + dy * dy) / (hull_w**2 + hull_h**2)
    if name == 'ciou':
        angle = [math.atan((b[2] - b[0]) / (b[3] - b[1])) for b in (t, p)]
        v = 4 / math.pi**2 * (angle[0] - angle[1]) ** 2
        loss += v / (1 - iou + v) * v if iou > 0.5 else 0.0
    return loss


@every
def test_values_agree_with_the_definition(name, float64):
    pred, target = overlapping(count=20)
    expected = [by_number(name, p, t) for p, t in zip(pred, target, strict=True)]
    np.testing.assert_allclose(loss(name, pred, target), expected, rtol=1e-6)


@pytest.mark.parametrize('name', ['iou_log', 'iou_linear', 'giou', 'diou'])
def test_gradients_agree_with_finite_differences(name, float64):
    pred, target = overlapping(1)
    check_grads(jax.jit(lambda p: LOSSES[name](p, target)), (pred,), order=1, modes=['rev'])


def test_the_gradient_of_ciou_does_not_flow_through_alpha(float64):
    pred, target = overlapping(2, count=1)
    pred = target + 0.3 * (pred - target)  # IoU above 0.5

    def alpha_times(p):
        (w, h), (tw, th) = ((b[..., 2] - b[..., 0], b[..., 3] - b[..., 1]) for b in (p, target))
        return 4 / math.pi**2 * (jnp.arctan(tw / th) - jnp.arctan(w / h)) ** 2

    v = np.asarray(alpha_times(pred))
    iou = 1 - loss('iou_linear', pred, target)
    assert iou[0] > 0.5
    alpha = v / (1 - iou + v)
    total = lambda p: jnp.sum(LOSSES['diou'](p, target) + alpha * alpha_times(p))  # noqa: E731
    expected = jax.jit(jax.grad(total))(pred)
    np.testing.assert_allclose(value_and_grad('ciou', pred, target)[1], expected, rtol=1e-5)


@every
def test_equal_empty_distant_and_huge_boxes_are_finite(name):
    box = np.array([[2.0, 3.0, 7.0, 9.0]], np.float32)
    pairs = [
        (box, box),
        (box, box + 100),
        (box, box + np.float32([[5, 0, 5, 0]])),  # they touch
        (np.zeros_like(box), np.zeros_like(box)),
        (np.float32([[2, 3, 7, 3]]), box),  # no height
        (box, np.zeros_like(box)),
        (1e5 * box, box),
    ]
    for pred, target in pairs:
        value, grad = value_and_grad(name, pred, target)
        assert np.isfinite(value).all() and np.isfinite(grad).all(), (pred, target)
    np.testing.assert_allclose(loss(name, box, box), 0, atol=1e-6)


@every
def test_losses_do_not_depend_on_scale_and_place(name):
    pred, target = overlapping(3)
    here = loss(name, pred, target)
    np.testing.assert_allclose(loss(name, 8 * pred + 64, 8 * target + 64), here, rtol=1e-4)


def test_distant_boxes_are_drawn_together_by_all_but_iou():
    pred, target = np.float32([[0, 0, 2, 2]]), np.float32([[10, 0, 12, 2]])
    for name in LOSSES:
        moved = np.asarray(value_and_grad(name, pred, target)[1])[0]
        if name.startswith('iou'):
            np.testing.assert_array_equal(moved, 0)
        else:
            assert moved[0] + moved[2] < 0, name


def test_smooth_l1_agrees_with_the_golden_and_its_definition(golden):
    g = {
        k.split('/')[1]: v for k, v in golden('shared_dense_detection').items() if 'smooth_l1' in k
    }
    smooth_l1 = jax.jit(losses.smooth_l1, static_argnames='beta')
    f = functools.partial(smooth_l1, beta=float(g['beta']))
    np.testing.assert_allclose(f(g['pred'], g['target']), g['loss'], rtol=1e-5, atol=1e-7)
    grad = jax.jit(jax.grad(lambda p: jnp.sum(f(p, g['target']))))(g['pred'])
    np.testing.assert_allclose(grad, g['grad'], rtol=1e-5, atol=1e-7)
    x = np.array([-3.0, -0.5, 0.0, 0.49, 0.5, 2.0])
    expected = [0.5 * v * v / 0.5 if abs(v) < 0.5 else abs(v) - 0.25 for v in x]
    np.testing.assert_allclose(smooth_l1(x, 0 * x, beta=0.5), expected, rtol=1e-6)
    small = smooth_l1(x, 0 * x, beta=1e-6)
    np.testing.assert_allclose(small, np.abs(x), atol=1e-6)


def test_wrong_options_are_named():
    box = np.zeros((1, 4), np.float32)
    with pytest.raises(ValueError, match="form: expected one of .*, got 'square'"):
        losses.iou_loss(box, box, form='square')
    with pytest.raises(ValueError, match='beta: expected a positive number, got 0'):
        losses.smooth_l1(box, box, beta=0.0)


def test_half_precision_becomes_float32():
    box = jnp.array([[0, 0, 4, 4]], jnp.bfloat16)
    for f in (*LOSSES.values(), losses.smooth_l1):
        assert jax.eval_shape(f, box, box).dtype == jnp.float32
