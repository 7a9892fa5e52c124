"""IoU, Dice and pixel accuracy of a mask of classes."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, column
from jaxsep.metrics import segmentation

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    output: str = 'mask',
    target: str = 'true_mask',
    background: int | None = 0,
    ignore: int = 255,
    split: str = 'test',
) -> dict[str, float]:
    """How well the mask of each image agrees with the true one.

    Over all pixels of the split: `miou`, the mean over the classes, the background among them, and
    `pixel_accuracy`. Over the images: `mean_dice` is the mean, and `dice_std` the standard deviation
    (n - 1), of the mean Dice of an image's classes, those that are there in truth or in the mask and are
    not the background. An image where there is none does not count in these two.

    Args:
      output: the named output with one class a pixel, [b, h, w].
      target: the column it is compared with, of the same shape.
      background: the class that Dice leaves out; None for none.
      ignore: label of pixels that do not count.
      split: 'test'.
    """
    mask, truth = column(splits, split, output), column(splits, split, target)
    if mask.ndim != 3 or mask.shape != truth.shape:
        raise ValueError(
            f'output {output!r}: expected a class a pixel, {truth.shape} as column {target!r}, '
            f'got {mask.shape}'
        )
    for name, values in ((output, mask), (target, truth)):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f'column {name!r}: expected integers, got {values.dtype}')
    labelled = truth[truth != ignore]
    lowest = min(int(labelled.min(initial=0)), int(mask.min()))
    if lowest < 0:
        raise ValueError(f'columns {output!r}, {target!r}: expected classes from 0, got {lowest}')
    num_classes = 1 + max(int(mask.max()), int(labelled.max(initial=0)), background or 0)

    def counts_of(one, true):
        return segmentation.confusion(one, true, num_classes, ignore=ignore)

    counts = np.asarray(jax.jit(jax.vmap(counts_of))(mask.astype(np.int32), truth.astype(np.int32)))
    whole = counts.sum(axis=0, dtype=np.int64)
    counts = jnp.asarray(counts)
    shown = np.asarray(segmentation.foreground(counts, background).any(axis=-1))
    each = np.asarray(segmentation.mean_dice(counts, background=background), np.float64)[shown]
    return {
        'miou': float(segmentation.mean_iou(whole)),
        'mean_dice': float(each.mean()) if len(each) else 0.0,
        'dice_std': float(each.std(ddof=1)) if len(each) > 1 else 0.0,
        'pixel_accuracy': float(segmentation.pixel_accuracy(whole)),
    }
