import contextlib
import importlib.util
import io

import numpy as np
import pytest

from jaxsep.metrics import coco_ap as metric
from jaxsep.metrics.coco_ap import Found, Truth, coco_ap


def xyxy(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def of_golden(golden):
    g = {k[8:]: v for k, v in golden('shared_dense_detection').items() if k.startswith('coco_ap/')}
    truth = Truth(
        g['gt_image'], g['gt_class'] - 1, xyxy(g['gt_xywh']), g['gt_crowd'] > 0, g['gt_area']
    )
    found = Found(g['dt_image'], g['dt_class'] - 1, xyxy(g['dt_xywh']), g['dt_score'])
    return g, truth, found


def test_all_numbers_agree_with_the_golden(golden):
    g, truth, found = of_golden(golden)
    result = coco_ap(truth, found, int(g['n_classes']))
    np.testing.assert_allclose(
        result.precision[..., 0, 2], g['precision_all_area_100'], rtol=0, atol=1e-12
    )
    summary = result.summary()
    assert list(summary) == list(g['stat_names'])
    np.testing.assert_allclose(list(summary.values()), g['stats'], rtol=0, atol=1e-12)


def random_case(seed):
    """Many ties in scores and overlaps, crowds, areas of their own, more than 100 in an image."""
    rng = np.random.default_rng(seed)
    images, classes = rng.integers(2, 8), rng.integers(1, 4)
    most = 400 if seed % 4 == 0 else 60

    def boxes(count):
        low = rng.integers(0, 60, (count, 2)) * 2.0
        return np.concatenate([low, low + rng.integers(1, 60, (count, 2)) * 2.0], axis=1)

    g = int(rng.integers(1, 40))
    true = boxes(g)
    truth = Truth(
        rng.integers(0, images, g), rng.integers(0, classes, g), true, rng.uniform(size=g) < 0.2,
        np.prod(true[:, 2:] - true[:, :2], axis=1) * rng.choice([0.25, 0.5, 1.0], g),
    )  # fmt: skip
    d = int(rng.integers(1, most))
    near = rng.integers(0, g, d)
    found = np.where(
        rng.uniform(size=(d, 1)) < 0.7, true[near] + 2.0 * rng.integers(-3, 4, (d, 4)), boxes(d)
    )
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 2)
    given = Found(
        np.where(rng.uniform(size=d) < 0.8, truth.image[near], rng.integers(0, images, d)),
        np.where(rng.uniform(size=d) < 0.8, truth.classes[near], rng.integers(0, classes, d)),
        found,
        rng.integers(0, 12, d) / 12,
    )
    return truth, given, int(classes)


def by_pycocotools(truth, found, num_classes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def table(boxes):
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()

    images = np.unique(np.concatenate([truth.image, found.image]))
    objects = zip(*(x.tolist() for x in (truth.image, truth.classes, truth.crowd, truth.area)),
                  table(truth.boxes), strict=True)  # fmt: skip
    detections = zip(*(x.tolist() for x in (found.image, found.classes, found.scores)),
                     table(found.boxes), strict=True)  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            'info': {},
            'images': [{'id': int(i)} for i in images],
            'categories': [{'id': k} for k in range(num_classes)],
            'annotations': [
                {
                    'id': n + 1,
                    'image_id': i,
                    'category_id': k,
                    'iscrowd': int(c),
                    'area': a,
                    'bbox': b,
                }
                for n, (i, k, c, a, b) in enumerate(objects)
            ],
        }
        coco.createIndex()
        given = [
            {'image_id': i, 'category_id': k, 'score': s, 'bbox': b} for i, k, s, b in detections
        ]
        evaluation = COCOeval(coco, coco.loadRes(given), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.eval['precision'], evaluation.eval['recall'], evaluation.stats


@pytest.mark.skipif(not importlib.util.find_spec('pycocotools'), reason='needs pycocotools')
@pytest.mark.parametrize('seed', range(1, 21))
def test_every_cell_is_equal_to_that_of_pycocotools(seed, monkeypatch):
    truth, found, num_classes = random_case(seed)
    precision, recall, stats = by_pycocotools(truth, found, num_classes)
    if seed % 2:
        monkeypatch.setattr(metric, 'CELLS', 64)  # several chunks of groups
    result = coco_ap(truth, found, num_classes)
    np.testing.assert_allclose(result.precision, precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.recall, recall, rtol=0, atol=1e-12)
    np.testing.assert_allclose(list(result.summary().values()), stats, rtol=0, atol=1e-12)


def by_loops(truth, found, num_classes, threshold, most=100):
    """Precision at 101 recalls of all areas, object by object, without crowds."""
    curves = []
    for k in range(num_classes):
        own = [i for i in range(len(truth.image)) if truth.classes[i] == k]
        if not own:
            curves.append([-1.0] * 101)
            continue
        hits, free = [], set(own)
        for image in sorted({*truth.image, *found.image}):
            rows = [i for i in range(len(found.image)) if found.image[i] == image]
            rows = sorted(
                (i for i in rows if found.classes[i] == k), key=lambda i: -found.scores[i]
            )
            for i in rows[:most]:
                best, taken = threshold, None
                for j in own:
                    if truth.image[j] != image or j not in free:
                        continue
                    a, b = found.boxes[i], truth.boxes[j]
                    w = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
                    h = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
                    union = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - w * h
                    if w * h / union >= best:
                        best, taken = w * h / union, j
                free.discard(taken)
                hits.append((-found.scores[i], len(hits), taken is not None))
        right = np.cumsum([hit for *_, hit in sorted(hits)])
        precision = [r / (n + 1) for n, r in enumerate(right)]
        recall = [r / len(own) for r in right]
        curve = []
        for level in np.linspace(0, 1, 101):
            reached = [p for p, r in zip(precision, recall, strict=True) if r >= level]
            curve.append(max(reached, default=0.0))
        curves.append(curve)
    return np.array(curves).T


@pytest.mark.parametrize('seed', [31, 32, 33])
def test_precision_agrees_with_loops(seed):
    truth, found, num_classes = random_case(seed)
    truth = truth._replace(crowd=None, area=None)
    result = coco_ap(truth, found, num_classes)
    for t in (0, 3):
        expected = by_loops(truth, found, num_classes, metric.THRESHOLDS[t])
        np.testing.assert_allclose(result.precision[t, :, :, 0, 2], expected, atol=1e-12)


ONE = np.zeros(1, int)
BOX = np.array([[0.0, 0.0, 10.0, 10.0]])


def test_a_perfect_detection_has_1_and_areas_without_objects_have_minus_1():
    found = coco_ap(Truth(ONE, ONE, BOX), Found(ONE, ONE, BOX, np.ones(1)), 2).summary()
    expected = dict.fromkeys(metric.NAMES, 1.0) | dict.fromkeys(('APm', 'APl', 'ARm', 'ARl'), -1.0)
    assert found == pytest.approx(expected)


def test_nothing_found_has_0_and_no_objects_at_all_have_minus_1():
    none = np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4))
    nothing = Found(*none, np.zeros(0))
    assert coco_ap(Truth(ONE, ONE, BOX), nothing, 1).summary()['AP'] == 0
    assert set(coco_ap(Truth(*none), nothing, 1).summary().values()) == {-1.0}
    false = coco_ap(Truth(*none), Found(ONE, ONE, BOX, np.ones(1)), 1)
    assert set(false.summary().values()) == {-1.0}


def test_what_falls_into_a_crowd_is_neither_right_nor_wrong():
    truth = Truth(
        np.zeros(2, int), np.zeros(2, int), np.array([[0.0, 0, 10, 10], [20, 20, 90, 90]]),
        np.array([False, True]),
    )  # fmt: skip
    boxes = np.array([[30.0, 30, 40, 40], [31, 30, 41, 40], [0, 0, 10, 10]])
    found = Found(np.zeros(3, int), np.zeros(3, int), boxes, np.array([0.9, 0.8, 0.1]))
    assert coco_ap(truth, found, 1).summary()['AP'] == pytest.approx(1)
    no_crowd = truth._replace(image=truth.image[:1], classes=ONE, boxes=BOX, crowd=None)
    assert coco_ap(no_crowd, found, 1).summary()['AP'] == pytest.approx(1 / 3)


def test_borders_of_sizes_belong_to_both_ranges():
    result = coco_ap(Truth(ONE, ONE, BOX), Found(ONE, ONE, BOX, np.ones(1)), 1, sizes=(10.0, 10.0))
    summary = result.summary()
    assert [summary[name] for name in ('APs', 'APm', 'APl')] == pytest.approx([1, 1, 1])


def test_order_of_images_and_rows_does_not_matter_without_ties():
    truth, found, num_classes = random_case(6)
    rng = np.random.default_rng(0)
    found = found._replace(scores=rng.permutation(len(found.image)) / len(found.image))
    expected = coco_ap(truth, found, num_classes).summary()
    order = rng.permutation(len(found.image))
    shuffled = Found(*(x[order] for x in found))
    assert coco_ap(truth, shuffled, num_classes).summary() == expected
    moved = coco_ap(
        truth._replace(image=-truth.image), found._replace(image=-found.image), num_classes
    )
    assert moved.summary() == expected


def test_wrong_arguments_are_named():
    found = Found(ONE, ONE + 3, BOX, np.ones(1))
    with pytest.raises(ValueError, match='found.classes: expected 0 to 1, got 3 to 3'):
        coco_ap(Truth(ONE, ONE, BOX), found, 2)
    with pytest.raises(ValueError, match='truth.classes: expected 0 to 0, got -1 to -1'):
        coco_ap(Truth(ONE, ONE - 1, BOX), found._replace(classes=ONE), 1)
    with pytest.raises(ValueError, match='sizes: expected two rising positive numbers'):
        coco_ap(Truth(ONE, ONE, BOX), found._replace(classes=ONE), 1, sizes=(9.0, 3.0))
