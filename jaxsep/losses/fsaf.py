"""The loss of FSAF: each object is learnt at the level that is best for it now (Zhu et al., 2019).

https://arxiv.org/abs/1903.00621, section 3.3, as in the FSAFHead of mmdetection. Places of
all levels stand one after the other, `level_sizes` of them on each level, finest first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxsep.losses.boxes import iou_loss
from jaxsep.losses.dense_detection import boxes_of, labels_of
from jaxsep.losses.focal import sigmoid_focal
from jaxsep.ops import devices

NOWHERE = 1e6
"""The loss of an object at a level where no place is assigned to it."""


class FsafLoss(NamedTuple):
    """The loss, level by level, and what was chosen.

    Attributes:
      class_loss, box_loss: the parts of the loss that come from each level.
      positives: how many places are assigned to an object of their level, in the whole batch.
      levels: of each object, the level it is learnt at.
      somewhere: objects that have a place at any level.
    """

    class_loss: Float[Array, 'l']
    box_loss: Float[Array, 'l']
    positives: Float[Array, '']
    levels: Int[Array, 'b m']
    somewhere: Bool[Array, 'b m']


def level_losses(
    losses: Float[Array | np.ndarray, 'b n'],
    assigned: Int[Array | np.ndarray, 'b n'],
    num_objects: int,
    level_sizes: Sequence[int],
) -> Float[Array, 'b l m']:
    """The mean loss of each object over its places of each level, 1e6 where it has none.

    Args:
      losses: of every place: focal loss summed over all classes, plus IoU loss.
      assigned: of every place, k + 1 for object k, 0 or less for none.
    """
    if sum(level_sizes) != losses.shape[1]:
        raise ValueError(
            f'level_sizes: expected a sum of {losses.shape[1]} places, got {tuple(level_sizes)}'
        )
    losses, assigned = jnp.asarray(losses), jnp.asarray(assigned)
    numbers = jnp.arange(1, num_objects + 1, dtype=assigned.dtype)
    own, found, start = assigned[:, :, None] == numbers[None, None, :], [], 0
    for size in level_sizes:
        here = slice(start, start + size)
        count = jnp.sum(own[:, here], axis=1)
        total = jnp.sum(jnp.where(own[:, here], losses[:, here, None], 0.0), axis=1)
        found.append(jnp.where(count > 0, total / jnp.maximum(count, 1), NOWHERE))
        start += size
    return jnp.stack(found, axis=1)


def random_levels(
    keys: Key[Array, 'b'],
    assigned: Int[Array | np.ndarray, 'b n'],
    num_objects: int,
    level_sizes: Sequence[int],
) -> Int[Array, 'b m']:
    """A level for each object, any of those alike where places are assigned to it.

    Args:
      keys: one for each image.
    """
    table = level_losses(jnp.zeros(assigned.shape), assigned, num_objects, level_sizes)
    drawn = jax.vmap(lambda key: jax.random.uniform(key, table.shape[1:]))(keys)
    return jnp.argmax(jnp.where(table < NOWHERE, drawn, -1.0), axis=1).astype(jnp.int32)


def learnt_places(
    assigned: Int[Array | np.ndarray, 'b n'],
    labels: Int[Array | np.ndarray, 'b n'],
    levels: Int[Array | np.ndarray, 'b m'],
    level_sizes: Sequence[int],
    num_classes: int,
) -> tuple[Bool[Array, 'b n'], Bool[Array, 'b n c']]:
    """Which places keep their losses when each object is learnt at one level only.

    A place whose object is learnt at another level loses the IoU loss, and the focal loss of the
    column of its label only: it still says that the other classes are not there.

    Args:
      labels: the class of each place's object; anything without one.
      levels: of each object.

    Returns:
      whether each place teaches its object, and which columns have a focal loss.
    """
    assigned, labels = jnp.asarray(assigned), jnp.asarray(labels)
    place_level = jnp.asarray(np.repeat(np.arange(len(level_sizes)), level_sizes))
    has = assigned > 0
    if levels.shape[1] == 0:
        chosen = jnp.zeros_like(assigned)
    else:
        chosen = jnp.take_along_axis(jnp.asarray(levels), jnp.maximum(assigned - 1, 0), axis=1)
    here = chosen == place_level[None, :]
    own = jax.nn.one_hot(labels, num_classes, dtype=bool)
    return has & here, ~(own & (has & ~here)[:, :, None])


def fsaf_loss(
    logits: Float[Array | np.ndarray, 'b n c'],
    boxes: Float[Array | np.ndarray, 'b n 4'],
    assigned: Int[Array | np.ndarray, 'b n'],
    shadowed: Bool[Array | np.ndarray, 'b n c'],
    true_boxes: Float[Array | np.ndarray, 'b m 4'],
    true_classes: Int[Array | np.ndarray, 'b m'],
    level_sizes: Sequence[int],
    *,
    levels: Int[Array, 'b m'] | None = None,
    axis_name: str | None = None,
) -> FsafLoss:
    """Focal loss and -log IoU at the level where their sum is smallest for the object.

    For object g and level l the mean over the places assigned to it,
    L(l, g) = mean_i (sum_c focal_ic + IoU loss_i), decides: l*(g) = argmin_l L(l, g), the finest of
    equals, without gradient. Other levels lose the object's IoU loss and the focal loss of its
    class, see `learnt_places`. Sums are divided by the number of places that are left with an
    object in the batch, or by the number of places of the background if there are none.

    Args:
      boxes: predicted, decoded, not clipped to the image.
      assigned, shadowed: of `jaxsep.ops.box_assignment.center_region_assign`, all levels together.
      level_sizes: places of each level.
      levels: given in place of the choice by loss.

    Source: Zhu 2019, equations 1 to 3; mmdetection sums all columns of the focal loss and divides by
    the places that are left, both followed here
    """
    assigned, num_classes = jnp.asarray(assigned), logits.shape[2]
    labels = labels_of(assigned, true_classes)
    focal = sigmoid_focal(logits, labels)
    focal = jnp.where(jnp.asarray(shadowed) | (assigned < 0)[:, :, None], 0.0, focal)
    overlap = iou_loss(boxes, boxes_of(assigned, true_boxes))
    overlap = jnp.where(assigned > 0, overlap, 0.0)
    each = jax.lax.stop_gradient(jnp.sum(focal, axis=-1) + overlap)
    table = level_losses(each, assigned, true_classes.shape[1], level_sizes)
    if levels is None:
        levels = jnp.argmin(table, axis=1).astype(jnp.int32)
    teaches, columns = learnt_places(assigned, labels, levels, level_sizes, num_classes)
    class_sums = jnp.sum(jnp.where(columns, focal, 0.0), axis=-1)
    box_sums = jnp.where(teaches, overlap, 0.0)
    ends = np.cumsum(level_sizes)[:-1]
    sums = [
        jnp.stack([jnp.sum(part) for part in jnp.split(values, ends, axis=1)])
        for values in (class_sums, box_sums)
    ]
    background = jnp.maximum(jnp.sum(assigned == 0, axis=1), 1)
    counts = jnp.sum(teaches).astype(jnp.float32), jnp.sum(background).astype(jnp.float32)
    (class_sum, box_sum), (positives, negatives) = devices.total((tuple(sums), counts), axis_name)
    divisor = jnp.where(positives > 0, positives, negatives)
    somewhere = jnp.min(table, axis=1) < NOWHERE
    return FsafLoss(class_sum / divisor, box_sum / divisor, positives, levels, somewhere)
