"""The average precision of boxes as COCO defines it, equal to pycocotools in all its cells.

Everything is exact float64 numpy. Detections are matched for all images, classes, thresholds and
ranges of area at once: only the rank of a detection within its image is a loop.

https://cocodataset.org/#detection-eval
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of the IoU."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""At which precision is read."""
SIZES = (32.0, 96.0)
"""Sides of the squares that divide small, medium and large."""
MAX_DETECTIONS = (1, 10, 100)
"""Per image and class."""
NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl')
CELLS = 1 << 21
"""Pairs of thresholds and objects that are held at a time."""


class Truth(NamedTuple):
    """Objects of all images.

    Attributes:
      image: of each, any integers.
      classes: from 0.
      boxes: xyxy.
      crowd: a region of many objects: what falls into it counts neither as right nor as wrong.
      area: that decides about small, medium, large; None for that of the box.
    """

    image: Int[np.ndarray, 'g']
    classes: Int[np.ndarray, 'g']
    boxes: Real[np.ndarray, 'g 4']
    crowd: Bool[np.ndarray, 'g'] | None = None
    area: Real[np.ndarray, 'g'] | None = None


class Found(NamedTuple):
    """Detections of all images, in any order; equal scores rank as they stand here."""

    image: Int[np.ndarray, 'd']
    classes: Int[np.ndarray, 'd']
    boxes: Real[np.ndarray, 'd 4']
    scores: Real[np.ndarray, 'd']


class CocoAp(NamedTuple):
    """Precision and recall in every cell; -1 where there is no object.

    Attributes:
      precision: [threshold, recall, class, area, max detections]; areas are all, small, medium,
        large.
      recall: the largest, the same without the second axis.
    """

    precision: Float[np.ndarray, 't r k a m']
    recall: Float[np.ndarray, 't k a m']

    def summary(self) -> dict[str, float]:
        """COCO's twelve numbers by their names; -1 where no cell has an object.

        AP over all thresholds, at 0.5, at 0.75, of small, medium and large objects; AR with at
        most 1, 10 and 100 detections, and with 100 of small, medium and large objects.
        """
        full, areas = self.precision[..., -1], range(1, 4)
        parts = [full[..., 0], full[0, ..., 0], full[5, ..., 0], *(full[..., a] for a in areas)]
        parts += [self.recall[..., 0, m] for m in range(3)]
        parts += [self.recall[..., a, -1] for a in areas]
        return {name: _mean(part) for name, part in zip(NAMES, parts, strict=True)}


def coco_ap(
    truth: Truth, found: Found, num_classes: int, *, sizes: tuple[float, float] = SIZES
) -> CocoAp:
    """Precision and recall of detections, class by class.

    In each image and class the 100 best detections are matched in the order of their scores, each to
    the free object of highest IoU that reaches the threshold, the last of equals. Objects that do not
    count (crowds, and those outside the range of areas) are taken only where no other will do, and
    then the detection does not count either; crowds are never used up, and their IoU is the share
    of the detection inside. Unmatched detections outside the range of areas do not count. The
    precision at recall r is the best that is reached at recall r or more, 0 beyond the last.

    Args:
      num_classes: k; classes must be below it.
      sizes: sides of squares; both borders belong to both ranges.

    >>> import numpy as np
    >>> one, box = np.zeros(1, int), np.array([[0.0, 0.0, 10.0, 10.0]])
    >>> round(coco_ap(Truth(one, one, box), Found(one, one, box, np.ones(1)), 1).summary()['AP'], 9)
    1.0
    """
    truth, found = _checked(truth, found, num_classes)
    if not 0 < sizes[0] <= sizes[1]:
        raise ValueError(f'sizes: expected two rising positive numbers, got {sizes}')
    squares = [float(s) ** 2 for s in sizes]
    ranges = np.array([[0, 1e10], [0, squares[0]], squares, [squares[1], 1e10]])
    ignored = (truth.area < ranges[:, :1]) | (truth.area > ranges[:, 1:]) | truth.crowd
    found, rank = _best(found, num_classes)
    taken, not_counted = _match(truth, found, rank, ignored, num_classes)
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    outside = (width * height < ranges[:, :1]) | (width * height > ranges[:, 1:])
    not_counted |= ~taken & outside[:, None]
    shape = len(THRESHOLDS), num_classes, len(ranges), len(MAX_DETECTIONS)
    precision, recall = -np.ones((shape[0], len(RECALLS), *shape[1:])), -np.ones(shape)
    # Detections are in the order of image, class, score; the stable sort keeps it for equals.
    order = np.argsort(-found.scores, kind='stable')
    for k in range(num_classes):
        own, objects = order[found.classes[order] == k], truth.classes == k
        for a in range(len(ranges)):
            count = np.count_nonzero(objects & ~ignored[a])
            if count == 0:
                continue
            for m, most in enumerate(MAX_DETECTIONS):
                rows = own[rank[own] < most]
                counts, right = ~not_counted[a][:, rows], taken[a][:, rows]
                curve, reached = _curve(right & counts, ~right & counts, count)
                precision[:, :, k, a, m], recall[:, k, a, m] = curve, reached
    return CocoAp(precision, recall)


def _curve(right, wrong, count):
    """Precision at every recall, and the last recall, of each threshold."""
    if right.shape[1] == 0:
        return 0.0, 0.0
    hits, misses = (np.cumsum(x, axis=1, dtype=np.float64) for x in (right, wrong))
    recall = hits / count
    precision = hits / (misses + hits + np.spacing(1))
    best_later = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([best_later, np.zeros((len(hits), 1))], axis=1)
    at = np.stack([np.searchsorted(row, RECALLS, side='left') for row in recall])
    return np.take_along_axis(padded, at, axis=1), recall[:, -1]


def _best(found, num_classes):
    """The 100 best detections of each image and class, ordered so, and their rank there."""
    order = np.lexsort((-found.scores, found.classes, found.image))
    found = Found(*(x[order] for x in found))
    group = found.image.astype(np.int64) * num_classes + found.classes
    rank = np.arange(len(group)) - np.searchsorted(group, group, side='left')
    kept = rank < MAX_DETECTIONS[-1]
    return Found(*(x[kept] for x in found)), rank[kept]


def _match(truth, found, rank, ignored, num_classes):
    """Whether each detection has an object, and whether that does not count: [area, threshold, d]."""
    of_truth = truth.image.astype(np.int64) * num_classes + truth.classes
    of_found = found.image.astype(np.int64) * num_classes + found.classes
    shape = len(ignored), len(THRESHOLDS), len(of_found)
    taken, not_counted = np.zeros(shape, bool), np.zeros(shape, bool)
    order = np.argsort(of_truth, kind='stable')
    groups, starts, sizes = np.unique(of_truth[order], return_index=True, return_counts=True)
    begins = np.searchsorted(of_found, groups, side='left')
    lengths = np.searchsorted(of_found, groups, side='right') - begins
    there = np.flatnonzero(lengths)  # groups that have objects and detections
    there = there[np.lexsort((lengths[there], sizes[there]))]
    while len(there):
        widest = np.arange(1, len(there) + 1) * sizes[there]
        some = max(np.searchsorted(widest, CELLS // (shape[0] * shape[1]), side='right'), 1)
        part, there = there[:some], there[some:]
        part = part[np.argsort(-lengths[part], kind='stable')]
        _match_groups(
            truth, found, ignored, order, (starts[part], sizes[part]),
            (begins[part], lengths[part]), taken, not_counted,
        )  # fmt: skip
    return taken, not_counted


def _match_groups(truth, found, ignored, order, objects, detections, taken, not_counted):
    """Fills `taken` and `not_counted` for some groups, those of most detections first."""
    (starts, sizes), (begins, lengths) = objects, detections
    width = sizes.max()
    exists = np.arange(width)[None, :] < sizes[:, None]
    rows = order[np.where(exists, starts[:, None] + np.arange(width)[None, :], 0)]
    boxes, crowd = truth.boxes[rows], truth.crowd[rows]
    prefer = width * ~ignored[:, rows]  # objects that count are taken first: [area, group, object]
    free = np.repeat(exists[None, None], len(ignored) * len(THRESHOLDS), axis=0)
    free = free.reshape(len(ignored), len(THRESHOLDS), *exists.shape)
    bounds = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None, None]
    for step in range(lengths[0]):
        some = np.searchsorted(-lengths, -step, side='left')  # groups with that many detections
        row = begins[:some] + step
        overlap = _overlap(found.boxes[row], boxes[:some], crowd[:some])
        standing = np.argsort(np.argsort(overlap, axis=1, kind='stable'), axis=1, kind='stable')
        may = free[:, :, :some] & (overlap[None] >= bounds)[None]
        value = np.where(may, (prefer[:, :some] + standing[None])[:, None], -1)
        best = np.argmax(value, axis=-1)
        hit = np.take_along_axis(value, best[..., None], axis=-1)[..., 0] >= 0
        area, threshold, group = np.nonzero(hit)
        which = best[area, threshold, group]
        taken[area, threshold, row[group]] = True
        not_counted[area, threshold, row[group]] = ignored[area, rows[group, which]]
        free[area, threshold, group, which] = crowd[group, which]


def _overlap(boxes, objects, crowd):
    """IoU of a detection with each object of its group; with crowds the share that is inside."""
    low = np.maximum(boxes[:, None, :2], objects[..., :2])
    high = np.minimum(boxes[:, None, 2:], objects[..., 2:])
    sides = np.maximum(high - low, 0.0)
    shared = sides[..., 0] * sides[..., 1]
    own = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)[:, None]
    other = np.prod(objects[..., 2:] - objects[..., :2], axis=-1)
    union = np.where(crowd, own, own + other - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _mean(values):
    """The mean of the cells that have objects; -1 without any."""
    values = values[values > -1]
    return float(np.mean(values)) if values.size else -1.0


def _checked(truth, found, num_classes):
    """Both as float64, images numbered together, crowds and areas filled in."""
    for name, table in (('truth', truth), ('found', found)):
        classes = np.asarray(table.classes)
        if classes.size and not 0 <= classes.min() <= classes.max() < num_classes:
            raise ValueError(
                f'{name}.classes: expected 0 to {num_classes - 1}, '
                f'got {classes.min()} to {classes.max()}'
            )
    images = np.unique(np.concatenate([truth.image, found.image]), return_inverse=True)[1]
    boxes = np.asarray(truth.boxes, np.float64).reshape(-1, 4)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    count = len(truth.image)
    truth = Truth(
        images[:count],
        np.asarray(truth.classes),
        boxes,
        np.zeros(count, bool) if truth.crowd is None else np.asarray(truth.crowd, bool),
        width * height if truth.area is None else np.asarray(truth.area, np.float64),
    )
    return truth, Found(
        images[count:],
        np.asarray(found.classes),
        np.asarray(found.boxes, np.float64).reshape(-1, 4),
        np.asarray(found.scores, np.float64),
    )
