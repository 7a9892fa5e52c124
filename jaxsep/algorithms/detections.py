"""From the predictions of a dense detector at every place to a short list of boxes."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxsep.ops.nms import nms


class Detections(NamedTuple):
    """The boxes of an image, best first; zeros, score 0 and class -1 after the last."""

    boxes: Float[Array, 'k 4']
    scores: Float[Array, 'k']
    classes: Int[Array, 'k']


def detect(
    levels: Sequence[tuple[Float[Array | np.ndarray, '_ c'], Float[Array | np.ndarray, '_ 4']]],
    *,
    max_detections: int = 100,
    score_threshold: float = 0.05,
    candidates: int = 1000,
    nms_threshold: float = 0.5,
) -> Detections:
    """The best boxes of one image after suppression within each class.

    Of each level the `candidates` highest scores above the threshold, over all places and classes;
    then all levels together (and all branches of a joint model) pass the suppression. A place may
    give boxes of several classes. vmap over images.

    Args:
      levels: scores (probabilities of each class) and boxes of every place, for each level.

    Source: Lin 2017, section 4.1, https://arxiv.org/abs/1708.02002; Zhu 2019, section 3.4
    """
    if candidates < 1 or max_detections < 1:
        raise ValueError(
            f'candidates, max_detections: expected at least 1, got {candidates}, {max_detections}'
        )
    pools = []
    for scores, boxes in levels:
        num_classes = scores.shape[1]
        best, where = jax.lax.top_k(jnp.ravel(scores), min(candidates, scores.size))
        pools.append((best, jnp.asarray(boxes)[where // num_classes], where % num_classes))
    scores, boxes, classes = (jnp.concatenate(parts) for parts in zip(*pools, strict=True))
    kept = nms(
        boxes, scores, nms_threshold, size=max_detections, classes=classes,
        valid=scores > score_threshold,
    )  # fmt: skip
    there, rows = kept >= 0, jnp.maximum(kept, 0)
    return Detections(
        jnp.where(there[:, None], boxes[rows], 0.0),
        jnp.where(there, scores[rows], 0.0),
        jnp.where(there, classes[rows], -1).astype(jnp.int32),
    )
