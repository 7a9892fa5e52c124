import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses import dense_detection
from jaxsep.ops import anchors
from jaxsep.ops.box_assignment import max_iou_assign

rows = functools.partial(np.transpose, axes=(0, 2, 3, 1))


def test_losses_of_all_levels_agree_with_the_golden(golden):
    g = {k[7:]: v for k, v in golden('shared_dense_detection').items() if k.startswith('retina/')}
    shapes = [g[f'cls{level}'].shape[2:] for level in range(3)]
    priors = [anchors.anchors(s, stride) for s, stride in zip(shapes, (8, 16, 32), strict=True)]
    logits = np.concatenate([rows(g[f'cls{level}']).reshape(2, -1, 3) for level in range(3)], 1)
    deltas = np.concatenate([rows(g[f'reg{level}']).reshape(2, -1, 4) for level in range(3)], 1)
    boxes, classes = np.zeros((2, 3, 4), np.float32), np.full((2, 3), -1, np.int32)
    for image in range(2):
        count = len(g[f'gl{image}'])
        boxes[image, :count], classes[image, :count] = g[f'gt{image}'], g[f'gl{image}']
    everywhere = np.concatenate(priors)

    @jax.jit
    def of_levels(logits, deltas):
        assigned = jax.vmap(lambda b, c: max_iou_assign(everywhere, b, c))(boxes, classes)
        losses = dense_detection.retina_losses(logits, deltas, everywhere, assigned, boxes, classes)
        ends = np.cumsum([len(p) for p in priors])[:-1]
        count = jnp.sum(assigned > 0)
        return [jnp.stack([jnp.sum(x) for x in jnp.split(y, ends, axis=1)]) / count for y in losses]

    class_loss, box_loss = of_levels(logits, deltas)
    np.testing.assert_allclose(class_loss, g['loss_cls'], rtol=1e-5)
    np.testing.assert_allclose(box_loss, g['loss_bbox'], rtol=1e-5)


def test_background_has_no_box_loss_and_what_is_left_out_has_none():
    priors = np.float32([[0, 0, 4, 4]] * 3)
    boxes, classes = np.float32([[[0, 0, 4, 8], [0, 0, 0, 0]]]), np.array([[1, -1]], np.int32)
    assigned = np.array([[1, 0, -1]], np.int32)

    def f(logits, deltas):
        return dense_detection.retina_losses(logits, deltas, priors, assigned, boxes, classes)

    logits, deltas = jnp.zeros((1, 3, 2)), jnp.ones((1, 3, 4))
    (focal, boxes_off), vjp = jax.vjp(f, logits, deltas)
    # Targets are (0, 0.5, 0, log 2), predicted is 1.
    np.testing.assert_allclose(boxes_off, [[1 + 0.5 + 1 + 1 - np.log(2), 0, 0]], rtol=1e-5)
    half = 0.25 * np.log(2)
    np.testing.assert_allclose(focal, [[0.75 * half + 0.25 * half, 1.5 * half, 0]], rtol=1e-5)
    d_logits, d_deltas = vjp((jnp.ones((1, 3)), jnp.ones((1, 3))))
    np.testing.assert_array_equal(d_deltas[0, 1:], 0)
    np.testing.assert_array_equal(d_logits[0, 2], 0)
    assert np.all(d_logits[0, 1] > 0) and d_logits[0, 0, 1] < 0


@pytest.mark.parametrize('count', [0, 2])
def test_images_without_any_object_are_finite(count):
    priors, assigned = np.float32([[0, 0, 4, 4]]), np.zeros((1, 1), np.int32)
    objects = np.zeros((1, count, 4), np.float32), np.full((1, count), -1, np.int32)

    def total(x):
        losses = dense_detection.retina_losses(x[..., :2], x[..., 2:], priors, assigned, *objects)
        return jnp.sum(losses[0] + losses[1])

    value, grad = jax.value_and_grad(total)(jnp.ones((1, 1, 6)))
    assert np.isfinite(value) and np.isfinite(grad).all()
    np.testing.assert_array_equal(grad[..., 2:], 0)
