"""Measures of segmentation, all of one table of counts: IoU, Dice, pixel accuracy.

`confusion` counts pixels. Tables of batches, images and devices are added, and the measures of the
sum are those of all pixels, exactly. A table of each image gives the measures of each image: all
functions take any leading axes.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Num

from jaxsep.ops.masks import masked_mean

Counts = Num[Array | np.ndarray, '... k k']


def confusion(
    predicted: Integer[Array | np.ndarray, '*n'],
    truth: Integer[Array | np.ndarray, '*n'],
    num_classes: int,
    *,
    ignore: int = 255,
) -> Int[Array, 'k k']:
    """How many pixels of class i (row) were taken for class j (column).

    A pixel counts where its label is not `ignore`, 255 in most data sets, and where label and
    prediction are both among 0 .. k - 1. Counts are int32: add tables in int64 beyond 2e9 pixels. No
    pixels, no counts.

    >>> import jax.numpy as jnp
    >>> confusion(jnp.array([0, 1, 1, 0]), jnp.array([0, 1, 0, 255]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if num_classes < 1:
        raise ValueError(f'num_classes: expected at least 1, got {num_classes}')
    # Not in the integers of the masks: 16 classes would overflow uint8.
    predicted, truth = (jnp.asarray(x, jnp.int32).ravel() for x in (predicted, truth))
    counted = (truth != ignore) & (truth >= 0) & (truth < num_classes)
    counted &= (predicted >= 0) & (predicted < num_classes)
    cells = jnp.where(counted, truth * num_classes + predicted, num_classes**2)
    counts = jnp.bincount(cells, length=num_classes**2 + 1)
    return counts[:-1].reshape(num_classes, num_classes)


def present(counts: Counts) -> Bool[Array, '... k']:
    """The classes that occur in labels or predictions: those that means are taken over."""
    hits, labelled, predicted = _margins(counts)
    del hits
    return labelled + predicted > 0


def iou(counts: Counts) -> Float[Array, '... k']:
    """Intersection over union of each class; 0 for a class that is not there, see `present`."""
    hits, labelled, predicted = _margins(counts)
    return hits / jnp.maximum(labelled + predicted - hits, 1)


def dice(counts: Counts) -> Float[Array, '... k']:
    """2 |A and B| / (|A| + |B|) of each class, which is its F1; 0 for one that is not there."""
    hits, labelled, predicted = _margins(counts)
    return 2 * hits / jnp.maximum(labelled + predicted, 1)


def mean_iou(counts: Counts) -> Float[Array, '...']:
    """The mean IoU of the classes that are there; 0 if there are none."""
    return masked_mean(iou(counts), present(counts))


def mean_dice(counts: Counts, *, background: int | None = None) -> Float[Array, '...']:
    """The mean Dice of the classes that are there; 0 if there are none.

    Args:
      background: a class that is left out, if any; its Dice is near 1 whatever a method does.
    """
    return masked_mean(dice(counts), foreground(counts, background))


def foreground(counts: Counts, background: int | None) -> Bool[Array, '... k']:
    """The classes that are there and are not the background."""
    found = present(counts)
    return found if background is None else found.at[..., background].set(False)


def pixel_accuracy(counts: Counts) -> Float[Array, '...']:
    """The share of pixels whose class was found; 0 without pixels."""
    hits, labelled, _ = _margins(counts)
    return jnp.sum(hits, axis=-1) / jnp.maximum(jnp.sum(labelled, axis=-1), 1)


def _margins(counts):
    """Of each class: pixels found, pixels of that label, pixels of that prediction; as floats."""
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f'counts: expected one row and one column a class, got {counts.shape}')
    counts = jnp.asarray(counts, jnp.result_type(float))
    hits = jnp.diagonal(counts, axis1=-2, axis2=-1)
    return hits, jnp.sum(counts, axis=-1), jnp.sum(counts, axis=-2)
