"""Which object each place of a dense detector answers for.

Objects are padded: `true_boxes` [m, 4] and `true_classes` [m] with -1 at padding. What an anchor is
assigned to is an int32 number: 0 for the background, k + 1 for object k, -1 for no loss at all.
Nothing is differentiated. Everything can be vmapped over images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import boxes as box_ops
from jaxsep.ops.boxes import as_floats

Priors = Float[Array | np.ndarray, 'n 4']
TrueBoxes = Float[Array | np.ndarray, 'm 4']
TrueClasses = Int[Array | np.ndarray, 'm']
EQUAL = 1e-6  # of overlaps: a compiler may compute one twice and round it otherwise


def max_iou_assign(
    priors: Priors,
    true_boxes: TrueBoxes,
    true_classes: TrueClasses,
    *,
    positive: float = 0.5,
    negative: float = 0.4,
    min_positive: float = 0.0,
) -> Int[Array, 'n']:
    """Anchors to the objects they overlap most, as RetinaNet does.

    An anchor whose largest IoU is below `negative` is background, one that reaches `positive`
    belongs to that object (the first of equals), between them it has no loss. Then every object
    takes all anchors whose IoU equals its own largest (to one in a million), if that is at least
    `min_positive`, from whatever they had; later objects take from earlier ones. With
    `min_positive=0` an object that meets no anchor takes all that do not meet it, as in the code.

    Source: Lin 2017, section 4.1, https://arxiv.org/abs/1708.02002; last rule of mmdetection
    """
    if not 0 <= negative <= positive <= 1:
        raise ValueError(
            f'negative, positive: expected 0 <= negative <= positive <= 1, got {negative}, {positive}'
        )
    count, exists = len(true_boxes), jnp.asarray(true_classes) >= 0
    if count == 0:
        return jnp.zeros(len(priors), jnp.int32)
    overlaps = jax.lax.stop_gradient(box_ops.pairwise_iou(priors, true_boxes))
    overlaps = jnp.where(exists[None, :], overlaps, -1.0)
    best, owner = jnp.max(overlaps, axis=1), jnp.argmax(overlaps, axis=1).astype(jnp.int32)
    assigned = jnp.where(best < negative, 0, -1)
    assigned = jnp.where(best >= positive, owner + 1, assigned)
    largest = jnp.max(overlaps, axis=0)
    takes = overlaps >= (1 - EQUAL) * largest[None, :]
    takes = takes & (exists & (largest >= min_positive))[None, :]
    numbers = jnp.arange(1, count + 1, dtype=jnp.int32)
    taker = jnp.max(jnp.where(takes, numbers[None, :], 0), axis=1)
    return jnp.where(taker > 0, taker, assigned).astype(jnp.int32)


class FcosTargets(NamedTuple):
    """What FCOS learns at each point.

    Attributes:
      assigned: 0 for the background, k + 1 for object k.
      ltrb: distances to the left, upper, right, lower edge in pixels, zeros at background.
      centerness: sqrt(min(l, r) / max(l, r) min(t, b) / max(t, b)), 0 at background.
    """

    assigned: Int[Array, 'n']
    ltrb: Float[Array, 'n 4']
    centerness: Float[Array, 'n']


def fcos_targets(
    points: Float[Array | np.ndarray, 'n 2'],
    true_boxes: TrueBoxes,
    true_classes: TrueClasses,
    ranges: Float[Array | np.ndarray, 'n 2'],
    strides: Float[Array | np.ndarray, 'n'],
    *,
    radius: float | None = 1.5,
) -> FcosTargets:
    """Points to the smallest object around them whose size is that of the point's level.

    A point may belong to an object if it is strictly inside the box, or, with a radius, inside the
    square of half side radius * stride around the box's centre, cut to the box; and if the
    largest of its four distances is within the level's range, ends included. Of several objects the
    one of the smallest area gets it, the first of equals.

    Args:
      ranges: of every point's level, smallest and largest distance.
      strides: of every point's level.
      radius: None for the whole box.

    Source: Tian 2019, section 3.2, https://arxiv.org/abs/1904.01355; sampling of centres as in the
    authors' later code
    """
    points, ranges, strides = as_floats(points), as_floats(ranges), as_floats(strides)
    if len(true_boxes) == 0:
        empty = jnp.zeros(len(points), points.dtype)
        return FcosTargets(empty.astype(jnp.int32), jnp.zeros((len(points), 4)), empty)
    boxes, exists = as_floats(true_boxes)[None, :, :], jnp.asarray(true_classes) >= 0
    at = points[:, None, :]
    ltrb = jnp.concatenate([at - boxes[..., :2], boxes[..., 2:] - at], axis=-1)
    if radius is None:
        inside = jnp.min(ltrb, axis=-1) > 0
    else:
        center = 0.5 * (boxes[..., :2] + boxes[..., 2:])
        reach = (radius * strides)[:, None, None]
        low = jnp.maximum(center - reach, boxes[..., :2])
        high = jnp.minimum(center + reach, boxes[..., 2:])
        inside = jnp.all((at > low) & (at < high), axis=-1)
    farthest = jnp.max(ltrb, axis=-1)
    fits = (farthest >= ranges[:, 0][:, None]) & (farthest <= ranges[:, 1][:, None])
    may = inside & fits & exists[None, :]
    area = jnp.where(may, box_ops.areas(true_boxes)[None, :], jnp.inf)
    owner, found = jnp.argmin(area, axis=1), jnp.any(may, axis=1)
    chosen = jnp.take_along_axis(ltrb, owner[:, None, None], axis=1)[:, 0]
    chosen = jnp.where(found[:, None], chosen, 0.0)
    return FcosTargets(jnp.where(found, owner + 1, 0).astype(jnp.int32), chosen, centerness(chosen))


def centerness(ltrb: Float[Array | np.ndarray, '... 4']) -> Float[Array, '...']:
    """sqrt(min(l, r)/max(l, r) min(t, b)/max(t, b)): 1 in the middle, 0 at an edge and outside."""
    ltrb = as_floats(ltrb)
    x, y = ltrb[..., 0::2], ltrb[..., 1::2]
    small = jnp.maximum(jnp.min(x, axis=-1), 0.0) * jnp.maximum(jnp.min(y, axis=-1), 0.0)
    large = jnp.maximum(jnp.max(x, axis=-1) * jnp.max(y, axis=-1), 1e-12)
    return jnp.sqrt(small / large)


class CenterRegions(NamedTuple):
    """What `center_region_assign` says of each prior.

    Attributes:
      assigned: -1 for no loss, 0 for the background, k + 1 for object k.
      shadowed: the classes for which the prior has no loss.
    """

    assigned: Int[Array, 'n']
    shadowed: Bool[Array, 'n c']


def center_region_assign(
    priors: Priors,
    true_boxes: TrueBoxes,
    true_classes: TrueClasses,
    num_classes: int,
    *,
    positive_scale: float = 0.2,
    negative_scale: float = 0.2,
    min_iof: float = 0.01,
    foreground_dominates: bool = False,
    ignored_boxes: Float[Array | np.ndarray, 'i 4'] | None = None,
    ignored_scale: float = 0.5,
) -> CenterRegions:
    """Priors to the objects whose core they hold a part of, as FSAF does.

    The core of an object is its box shrunk about the centre by `positive_scale`, its shadow the
    same by `negative_scale`. A prior is positive for an object if its centre is strictly inside the
    box and more than `min_iof` of the prior lies in the core: a large cell can own a tiny core. It
    is shadowed by an object if more than `min_iof` of it lies in the shadow and it is not positive.
    A prior that is positive for several objects goes to the one of the smallest area, the last
    of equals, and is shadowed by the others. The class of an object that shadows a prior
    has no loss there. Where that is also the class of the object the prior was assigned to, the
    prior becomes background; with `foreground_dominates` it stays and is not shadowed.

    Args:
      num_classes: c, columns of `shadowed`.
      ignored_boxes: priors whose centre is inside one of these, shrunk by `ignored_scale`, have no
        loss (crowds); boxes of zeros are padding.

    Source: Zhu 2019, section 3.2, https://arxiv.org/abs/1903.00621; CenterRegionAssigner of
    mmdetection, which decides what the paper leaves open
    """
    if not 0 < positive_scale <= negative_scale:
        raise ValueError(
            'positive_scale, negative_scale: expected 0 < positive_scale <= negative_scale, '
            f'got {positive_scale}, {negative_scale}'
        )
    exists = (jnp.asarray(true_classes) >= 0)[None, :]
    centers = jnp.stack(box_ops.centers(priors), axis=-1)
    count = len(true_boxes)
    if count:
        in_core = box_ops.pairwise_iof(priors, box_ops.scale(true_boxes, positive_scale)) > min_iof
        positive = box_ops.contains(true_boxes, centers) & in_core & exists
        shadow = box_ops.pairwise_iof(priors, box_ops.scale(true_boxes, negative_scale)) > min_iof
        shadow = shadow & exists & ~positive
        order = jnp.argsort(box_ops.areas(true_boxes), stable=True, descending=True)
        priority = jnp.argsort(order)
        owner = jnp.argmax(jnp.where(positive, priority[None, :], -1), axis=1)
        owned = positive & (jnp.arange(count)[None, :] == owner[:, None])
        assigned = jnp.where(jnp.any(positive, axis=1), owner + 1, 0).astype(jnp.int32)
        lost = shadow | (positive & ~owned)
        of_class = jax.nn.one_hot(true_classes, num_classes, dtype=bool)
        shadowed = jnp.any(lost[:, :, None] & of_class[None, :, :], axis=1)
    else:
        assigned = jnp.zeros(len(priors), jnp.int32)
        shadowed = jnp.zeros((len(priors), num_classes), bool)
    if ignored_boxes is not None and len(ignored_boxes):
        inside = box_ops.contains(box_ops.scale(ignored_boxes, ignored_scale), centers)
        assigned = jnp.where(jnp.any(inside, axis=1), -1, assigned)
    if count:
        own = of_class[jnp.maximum(assigned - 1, 0)] & (assigned > 0)[:, None]
        both = jnp.any(own & shadowed, axis=1)
        if foreground_dominates:
            shadowed = shadowed & ~own
        else:
            assigned = jnp.where(both, 0, assigned)
    return CenterRegions(assigned, shadowed)


def pyramid_levels(
    boxes: Float[Array | np.ndarray, '... 4'],
    num_levels: int,
    *,
    level: int = 2,
    size: float = 224.0,
) -> Int[Array, '...']:
    """The level of a pyramid that a box belongs to by its size: floor(level + log2(sqrt(w h) / size)).

    Clipped to 0 .. num_levels - 1, where 0 is the finest. Comparisons of areas take the place of the
    logarithm, whose rounding would decide at powers of 2.

    Args:
      level, size: a box with sqrt(w h) = size is the smallest one of that level.

    Source: Lin 2017 (FPN), equation 1, https://arxiv.org/abs/1612.03144; with stride 32 for 224
    pixels, the third level of 8, 16, 32, ..., as the heuristic of Zhu 2019
    """
    if num_levels < 1 or size <= 0:
        raise ValueError(f'num_levels, size: expected positive numbers, got {num_levels}, {size}')
    smallest = [size**2 * 4.0 ** (k - level) for k in range(1, num_levels)]
    found = [box_ops.areas(boxes) >= bound for bound in smallest]
    return sum((x.astype(jnp.int32) for x in found), jnp.zeros(boxes.shape[:-1], jnp.int32))
