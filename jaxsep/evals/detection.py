"""The average precision of detected boxes, as COCO defines it."""

import numpy as np

from jaxsep.evals.columns import Splits, column
from jaxsep.metrics.coco_ap import SIZES, Found, Truth, coco_ap

NEEDS = ('test',)
NAMES = {
    'AP': 'ap', 'AP50': 'ap50', 'AP75': 'ap75', 'APs': 'ap_small', 'APm': 'ap_medium',
    'APl': 'ap_large', 'AR100': 'ar',
}  # fmt: skip


def evaluate(splits: Splits, *, sizes: tuple[float, float] = SIZES) -> dict[str, float]:
    """AP of the outputs `boxes`, `scores`, `classes` against `true_boxes` and `true_classes`.

    Classes of -1 are padding on both sides. At most 100 detections of an image and class count.

    Args:
      sizes: sides of the squares that divide small, medium and large objects; COCO's are 32 and 96
        pixels.

    Returns:
      'ap' (mean over IoU from 0.5 to 0.95), 'ap50', 'ap75', 'ap_small', 'ap_medium', 'ap_large' and
      'ar', the mean largest recall. -1 where there are no such objects.
    """
    tables = {}
    for name in ('boxes', 'scores', 'classes', 'true_boxes', 'true_classes'):
        tables[name] = column(splits, 'test', name)
    for name, axes in (('boxes', 3), ('scores', 2), ('classes', 2), ('true_boxes', 3)):
        if tables[name].ndim != axes:
            raise ValueError(
                f'column {name!r}: expected {axes} axes, got shape {tables[name].shape}'
            )
    kept, real = tables['classes'] >= 0, tables['true_classes'] >= 0
    truth = Truth(np.nonzero(real)[0], tables['true_classes'][real], tables['true_boxes'][real])
    found = Found(
        np.nonzero(kept)[0],
        tables['classes'][kept],
        tables['boxes'][kept],
        tables['scores'][kept],
    )
    num_classes = 1 + max(
        int(tables['classes'].max(initial=-1)), int(tables['true_classes'].max(initial=-1)), 0
    )
    summary = coco_ap(truth, found, num_classes, sizes=tuple(sizes)).summary()
    return {ours: summary[theirs] for theirs, ours in NAMES.items()}
