"""The loss of RetinaNet, place by place."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxsep.losses.focal import sigmoid_focal
from jaxsep.ops import boxes as box_ops


def labels_of(
    assigned: Int[Array | np.ndarray, 'b n'], true_classes: Int[Array | np.ndarray, 'b m']
) -> Int[Array, 'b n']:
    """The class of the object that each place is assigned to; -1 without one."""
    assigned, true_classes = jnp.asarray(assigned), jnp.asarray(true_classes)
    if true_classes.shape[1] == 0:
        return jnp.full(assigned.shape, -1, jnp.int32)
    found = jnp.take_along_axis(true_classes, jnp.maximum(assigned - 1, 0), axis=1)
    return jnp.where(assigned > 0, found, -1)


def boxes_of(
    assigned: Int[Array | np.ndarray, 'b n'], true_boxes: Float[Array | np.ndarray, 'b m 4']
) -> Float[Array, 'b n 4']:
    """The box of the object that each place is assigned to; the first object's without one."""
    assigned, true_boxes = jnp.asarray(assigned), box_ops.as_floats(true_boxes)
    if true_boxes.shape[1] == 0:
        return jnp.zeros((*assigned.shape, 4), true_boxes.dtype)
    return jnp.take_along_axis(true_boxes, jnp.maximum(assigned - 1, 0)[:, :, None], axis=1)


def retina_losses(
    logits: Float[Array | np.ndarray, 'b n c'],
    deltas: Float[Array | np.ndarray, 'b n 4'],
    priors: Float[Array | np.ndarray, 'n 4'],
    assigned: Int[Array | np.ndarray, 'b n'],
    true_boxes: Float[Array | np.ndarray, 'b m 4'],
    true_classes: Int[Array | np.ndarray, 'b m'],
) -> tuple[Float[Array, 'b n'], Float[Array, 'b n']]:
    """Focal loss summed over classes, and |deltas - targets| summed over the four, of each anchor.

    Without an object the second is 0; where `assigned` is -1 both are. RetinaNet divides the
    sums by the number of assigned anchors of the batch, at least 1.

    Args:
      assigned: of `jaxsep.ops.box_assignment.max_iou_assign`.

    Source: Lin 2017, section 4.1, https://arxiv.org/abs/1708.02002; L1 as in mmdetection
    """
    assigned = jnp.asarray(assigned)
    focal = jnp.sum(sigmoid_focal(logits, labels_of(assigned, true_classes)), axis=-1)
    targets = box_ops.encode_deltas(jnp.asarray(priors)[None], boxes_of(assigned, true_boxes))
    differences = jnp.sum(jnp.abs(box_ops.as_floats(deltas) - targets), axis=-1)
    return jnp.where(assigned >= 0, focal, 0.0), jnp.where(assigned > 0, differences, 0.0)
