"""COCO's average precision against pycocotools.

Detections are moved and rescored copies of random objects, and as many random boxes. Both sides start
from the same arrays and end with precision and recall in every cell; before anything is timed, all
cells must be equal to 1e-12. pycocotools reads its own tables (objects in COCO's form, made before
the clock starts); without that reading it is evaluate and accumulate only. Evaluations are done in
turn, one of each.
"""

import contextlib
import io
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments.measuring import meters
from experiments.measuring.rows import Measured, against
from jaxsep.metrics.coco_ap import Found, Truth, coco_ap

SIZES = {
    'full': {'images': 300, 'objects': 8, 'detected': 100, 'classes': 20, 'repeats': 3},
    'quick': {'images': 4, 'objects': 2, 'detected': 6, 'classes': 2, 'repeats': 1},
}
PACKAGES = ('numpy', 'pycocotools')


def boxes(rng, count: int, side: float = 640.0) -> np.ndarray:
    """Random boxes, small ones more often, in steps of a quarter of a pixel."""
    size = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    low = rng.uniform(0, side - size)
    return np.round(4 * np.concatenate([low, low + size], axis=1)) / 4


def detections(images: int, objects: int, found: int, classes: int) -> tuple[Truth, Found]:
    """Objects and detections of all images."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(images), objects)
    truth = Truth(
        of, rng.integers(0, classes, len(of)), boxes(rng, len(of)), rng.uniform(size=len(of)) < 0.02
    )
    near = rng.integers(0, objects, (images, found // 2)) + np.arange(images)[:, None] * objects
    near = near.reshape(-1)
    moved = truth.boxes[near] + np.round(4 * rng.normal(0, 4, (len(near), 4))) / 4
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    extra = np.repeat(np.arange(images), found - found // 2)
    return truth, Found(
        np.concatenate([truth.image[near], extra]),
        np.concatenate([truth.classes[near], rng.integers(0, classes, len(extra))]),
        np.concatenate([moved, boxes(rng, len(extra))]),
        np.round(rng.uniform(size=len(near) + len(extra)), 3),
    )


class OfPycocotools:
    """The same objects and detections in COCO's tables."""

    def __init__(self, truth: Truth, found: Found, classes: int):
        sizes = [np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]) for b in (truth.boxes, found.boxes)]
        self.dataset = {
            'info': {},
            'images': [{'id': int(i)} for i in np.unique(truth.image)],
            'categories': [{'id': k} for k in range(classes)],
            'annotations': [
                {'id': n + 1, 'image_id': int(truth.image[n]), 'category_id': int(truth.classes[n]),
                 'iscrowd': int(truth.crowd[n]), 'area': box[2] * box[3], 'bbox': box}
                for n, box in enumerate(sizes[0].tolist())
            ],
        }  # fmt: skip
        self.detections = [
            {'image_id': int(found.image[n]), 'category_id': int(found.classes[n]),
             'score': float(found.scores[n]), 'bbox': box}
            for n, box in enumerate(sizes[1].tolist())
        ]  # fmt: skip

    def run(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Precision and recall, and the seconds of the evaluation alone."""
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = self.dataset
            coco.createIndex()
            evaluation = COCOeval(coco, coco.loadRes(self.detections), 'bbox')
            began = time.perf_counter()
            evaluation.evaluate()
            evaluation.accumulate()
            seconds = time.perf_counter() - began
        return evaluation.eval['precision'], evaluation.eval['recall'], seconds


def measure(images: int, objects: int, detected: int, classes: int, repeats: int) -> Measured:
    """Evaluations in turn; `objects` and `detected` are those of an image."""
    truth, found = detections(images, objects, detected, classes)
    peer, alone = OfPycocotools(truth, found, classes), []
    ours, theirs = coco_ap(truth, found, classes), peer.run()
    differences = [float(np.abs(a - b).max()) for a, b in zip(ours, theirs[:2], strict=True)]
    if max(differences) > 1e-12:
        raise ValueError(f'precision and recall differ by {differences}')
    times = meters.in_turn(
        {
            'jaxsep': lambda: coco_ap(truth, found, classes),
            'pycocotools': lambda: alone.append(peer.run()[2]),
        },
        repeats,
    )
    taken = {name: {'time': each.fastest, **each.summary()} for name, each in times.items()}
    taken['pycocotools without reading its tables'] = {'time': min(alone)}
    sizes = f'{images} images with {objects} objects and {detected} detections, {classes} classes'
    table = against("COCO's average precision", sizes, ('time',), taken)
    details = {'ap': ours.summary()['AP'], 'difference': max(differences), 'evaluations': taken}
    return Measured(table, details)
