"""COCO's average precision against pycocotools: python -m experiments.benchmarks.coco_ap.

Detections are moved and rescored copies of random objects, and as many random boxes. Both sides start
from the same arrays and end with precision and recall in every cell; before anything is timed, all
cells must be equal to 1e-12. 'pycocotools' reads its own tables (objects in COCO's form, made before
the clock starts), 'pycocotools, evaluation' is without that reading: evaluate and accumulate
only. Evaluations are done in turn, one of each. Needs pycocotools.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import pathlib
import statistics
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxsep.metrics.coco_ap import Found, Truth, coco_ap


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


def main() -> None:
    """Prints a table and writes experiments/benchmarks/coco_ap.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=500)
    parser.add_argument('--objects', type=int, default=8, help='of an image')
    parser.add_argument('--detections', type=int, default=100, help='of an image')
    parser.add_argument('--classes', type=int, default=20)
    parser.add_argument('--repeats', type=int, default=3)
    given = parser.parse_args()
    truth, found = detections(given.images, given.objects, given.detections, given.classes)
    peer = OfPycocotools(truth, found, given.classes)
    ours, theirs = coco_ap(truth, found, given.classes), peer.run()
    differences = [float(np.abs(a - b).max()) for a, b in zip(ours, theirs[:2], strict=True)]
    if max(differences) > 1e-12:
        raise ValueError(f'precision and recall differ by {differences}')
    seconds = {'jaxsep': [], 'pycocotools': [], 'pycocotools, evaluation': []}
    for _ in range(given.repeats):
        began = time.perf_counter()
        coco_ap(truth, found, given.classes)
        seconds['jaxsep'].append(time.perf_counter() - began)
        began = time.perf_counter()
        *_, alone = peer.run()
        seconds['pycocotools'].append(time.perf_counter() - began)
        seconds['pycocotools, evaluation'].append(alone)
    measured = {}
    for name, values in seconds.items():
        measured[name] = {
            'seconds': min(values),
            'median_seconds': statistics.median(values),
            'times_jaxsep': min(values) / min(seconds['jaxsep']),
        }
        print(f'{name:<26} {min(values):7.2f} s ({measured[name]["times_jaxsep"]:.2f} x)')
    sizes = {k: getattr(given, k) for k in ('images', 'objects', 'detections', 'classes')}
    versions = {name: importlib.metadata.version(name) for name in ('numpy', 'pycocotools')}
    content = {
        **sizes, 'cpus': os.cpu_count(), 'ap': ours.summary()['AP'], 'difference': max(differences),
        'evaluations': measured, 'versions': versions,
    }  # fmt: skip
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
