"""Losses between predicted and true boxes, one number per pair.

Boxes are xyxy in pixels [..., 4]. Everything is computed in float32 or wider; boxes that do not meet,
empty ones and equal ones have finite values and gradients. Means and weights are the caller's.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxsep.ops import boxes as box_ops

Boxes = Float[Array | np.ndarray, '... 4']
FORMS = ('log', 'linear')


def iou_loss(pred: Boxes, target: Boxes, *, form: str = 'log') -> Float[Array, '...']:
    """-log(max(IoU, 1e-6)), or 1 - IoU with `form='linear'`.

    Boxes that do not meet cost 13.8 (or 1) and have no gradient.

    Source: Yu 2016 (UnitBox), https://arxiv.org/abs/1608.01471
    """
    if form not in FORMS:
        raise ValueError(f'form: expected one of {FORMS}, got {form!r}')
    overlap = jnp.maximum(box_ops.iou(pred, target), 1e-6)
    return -jnp.log(overlap) if form == 'log' else 1.0 - overlap


def giou_loss(pred: Boxes, target: Boxes, *, epsilon: float = 1e-7) -> Float[Array, '...']:
    """1 - GIoU, from 0 to 2: boxes that do not meet are drawn together.

    Source: Rezatofighi 2019, algorithm 1, https://arxiv.org/abs/1902.09630
    """
    return 1.0 - box_ops.giou(pred, target, epsilon)


def diou_loss(pred: Boxes, target: Boxes, *, epsilon: float = 1e-7) -> Float[Array, '...']:
    """1 - IoU + (distance of the centres)^2 / (diagonal of the hull)^2.

    Source: Zheng 2020, equation 7, https://arxiv.org/abs/1911.08287
    """
    return 1.0 - _overlap(pred, target, epsilon) + _distance(pred, target, epsilon)


def ciou_loss(pred: Boxes, target: Boxes, *, epsilon: float = 1e-7) -> Float[Array, '...']:
    """The DIoU loss + alpha v, where v compares the shapes.

    v = 4/pi^2 (atan(w_t/h_t) - atan(w/h))^2 and alpha = v / (1 - IoU + v) where IoU > 0.5, else 0.
    No gradient flows through alpha. Equal boxes, for which alpha is 0/0, have 0.

    Source: Zheng 2020, equations 8 to 11, https://arxiv.org/abs/1911.08287; the threshold of 0.5 as
    in the authors' later code
    """
    overlap = _overlap(pred, target, epsilon)
    angles = []
    for boxes in (target, pred):
        width, height = box_ops.sides(boxes)
        angles.append(jnp.arctan(width / (jnp.maximum(height, 0.0) + epsilon)))
    v = 4 / math.pi**2 * jnp.square(angles[0] - angles[1])
    alpha = jnp.where(overlap > 0.5, v / jnp.maximum(1.0 - overlap + v, epsilon), 0.0)
    return 1.0 - overlap + _distance(pred, target, epsilon) + jax.lax.stop_gradient(alpha) * v


def smooth_l1(
    pred: Float[Array | np.ndarray, '...'],
    target: Float[Array | np.ndarray, '...'],
    *,
    beta: float = 1.0,
) -> Float[Array, '...']:
    """0.5 x^2 / beta where |x| < beta, else |x| - beta / 2, of x = pred - target.

    It is `optax.huber_loss` / beta; as beta falls it becomes |x|.

    Source: Girshick 2015 (Fast R-CNN), equation 3, https://arxiv.org/abs/1504.08083
    """
    if beta <= 0:
        raise ValueError(f'beta: expected a positive number, got {beta}')
    pred, target = box_ops.as_floats(pred), box_ops.as_floats(target)
    return optax.huber_loss(pred, target, delta=beta) / beta


def _overlap(pred, target, epsilon):
    """IoU with `epsilon` added to the union."""
    shared = box_ops.intersections(pred, target)
    return shared / (box_ops.areas(pred) + box_ops.areas(target) - shared + epsilon)


def _distance(pred, target, epsilon):
    """Squared distance of the centres over the squared diagonal of the hull."""
    width, height = box_ops.hull(pred, target)
    (x, y), (tx, ty) = box_ops.centers(pred), box_ops.centers(target)
    squares = jnp.square(tx - x) + jnp.square(ty - y)
    return squares / (jnp.square(width) + jnp.square(height) + epsilon)
