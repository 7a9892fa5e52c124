"""Greedy suppression of boxes that overlap a better one, with outputs of a fixed size."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import boxes as box_ops


def nms(
    boxes: Float[Array | np.ndarray, 'n 4'],
    scores: Float[Array | np.ndarray, 'n'],
    threshold: float,
    *,
    size: int,
    classes: Int[Array | np.ndarray, 'n'] | None = None,
    valid: Bool[Array | np.ndarray, 'n'] | None = None,
) -> Int[Array, 'k']:
    """The boxes that no better one of the same class overlaps, best first.

    The box of the highest score is kept and every other one whose IoU with it is above
    the threshold (strictly) is taken out; then the best of the rest, and so on, `size` times. Equal
    scores come in the order of the rows. Nothing is computed for pairs of which neither is kept:
    time and memory are O(n size) and O(n).

    With classes, boxes suppress those of their own class only. Shifting the boxes of each class to a
    place of their own, as other libraries do, is the same but for the digits it costs.

    Args:
      threshold: of the IoU, from 0 to 1.
      size: k, how many boxes are kept at most.
      classes: of each box; None if all are of one.
      valid: False for rows that are padding; all are valid if None.

    Returns:
      int32 [size], rows of `boxes`; -1 after the last one kept.

    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6], [0, 0, 2, 3]])
    >>> nms(boxes, np.array([0.5, 0.1, 0.9]), 0.5, size=3).tolist()
    [2, 1, -1]
    """
    if size < 1:
        raise ValueError(f'size: expected at least 1, got {size}')
    if not 0 <= threshold <= 1:
        raise ValueError(f'threshold: expected a number from 0 to 1, got {threshold}')
    count = len(boxes)
    if count == 0:
        return jnp.full(size, -1, jnp.int32)
    order = jnp.argsort(-jnp.asarray(scores), stable=True).astype(jnp.int32)
    boxes = box_ops.as_floats(boxes)[order]
    left = jnp.ones(count, bool) if valid is None else jnp.asarray(valid)[order]
    kinds = jnp.zeros(count, jnp.int32) if classes is None else jnp.asarray(classes)[order]

    def keep(left, _):
        best = jnp.argmax(left)
        found = left[best]
        overlap = box_ops.iou(boxes, boxes[best][None, :])
        beaten = (overlap > threshold) & (kinds == kinds[best])
        left = left & ~beaten & (jnp.arange(count) != best)
        return left, jnp.where(found, order[best], -1)

    return jax.lax.scan(keep, left, length=size)[1]
