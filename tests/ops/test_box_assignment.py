import functools

import jax
import numpy as np
import pytest

from jaxsep.ops import box_assignment as assignment
from jaxsep.ops import boxes as box_ops

NONE = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)


def overlap_of(a, b):
    """Intersection, area of the first and union of two boxes, number by number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    area_a, area_b = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return shared, area_a, area_a + area_b - shared


def padded(boxes, classes, extra=2):
    """The same objects with rows of padding behind them."""
    boxes = np.concatenate([boxes, np.zeros((extra, 4))]).astype(np.float32)
    return boxes, np.concatenate([classes, np.full(extra, -1)]).astype(np.int32)


def grid(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 8, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 7, (count, 2))], axis=1)
    return boxes.astype(np.float32)


max_iou = jax.jit(
    assignment.max_iou_assign, static_argnames=('positive', 'negative', 'min_positive')
)


@pytest.mark.parametrize('extra', [0, 3])
def test_max_iou_assignment_agrees_with_the_golden(golden, extra):
    g = golden('shared_dense_detection')
    anchors = np.concatenate([g[f'anchors/l{level}'] for level in range(3)])
    objects = padded(g['max_iou_assign/gt'], g['max_iou_assign/gt_labels'], extra)
    options = {
        ours: float(g[f'max_iou_assign/{theirs}'])
        for ours, theirs in (('positive', 'pos'), ('negative', 'neg'), ('min_positive', 'min_pos'))
    }
    found = max_iou(anchors, *objects, **options)
    np.testing.assert_array_equal(found, g['max_iou_assign/gt_inds'])


def max_iou_by_loops(priors, boxes, positive, negative, min_positive):
    table = np.zeros((len(priors), len(boxes)))
    for i, prior in enumerate(priors):
        for k, box in enumerate(boxes):
            shared, _, union = overlap_of(prior, box)
            table[i, k] = np.float32(shared) / np.float32(union)
    assigned = []
    for row in table:
        best = row.max()
        state = int(row.argmax()) + 1 if best >= positive else 0 if best < negative else -1
        assigned.append(state)
    for k in range(len(boxes)):
        largest = table[:, k].max()
        if largest >= min_positive:
            for i in range(len(priors)):
                if table[i, k] == largest:
                    assigned[i] = k + 1
    return assigned


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('min_positive', [0.0, 0.3])
def test_max_iou_assignment_agrees_with_loops_at_ties(seed, min_positive):
    priors, boxes = grid(seed, 40), grid(seed + 50, 5)
    expected = max_iou_by_loops(priors, boxes, 0.5, 0.25, min_positive)
    objects = padded(boxes, np.zeros(5))
    found = max_iou(priors, *objects, positive=0.5, negative=0.25, min_positive=min_positive)
    np.testing.assert_array_equal(found, expected)


def test_an_object_takes_both_anchors_that_overlap_it_equally_but_for_rounding():
    boxes, aside = np.float32([[10, 10, 23, 23]]), np.float32([[0.3, 0, 0.3, 0]])
    priors = np.concatenate([boxes + aside, boxes - aside])
    left, right = box_ops.pairwise_iou(priors, boxes)[:, 0]
    assert left != right and abs(left - right) < 1e-6
    found = max_iou(priors, *padded(boxes, np.zeros(1)), positive=0.99, negative=0.4)
    np.testing.assert_array_equal(found, [1, 1])


def test_without_objects_everything_is_background():
    priors = grid(0, 6)
    np.testing.assert_array_equal(max_iou(priors, *NONE), np.zeros(6))
    np.testing.assert_array_equal(max_iou(priors, *padded(*NONE)), np.zeros(6))
    for objects in (NONE, padded(*NONE)):
        found = assignment.center_region_assign(priors, *objects, 3)
        assert not found.assigned.any() and not found.shadowed.any()
        ranges, strides = np.tile(np.float32([[-1, 99]]), (6, 1)), np.full(6, 4, np.float32)
        targets = assignment.fcos_targets(priors[:, :2], *objects, ranges, strides)
        assert all(not np.any(x) for x in targets)


@pytest.mark.parametrize('case', [0, 1])
def test_fcos_targets_agree_with_the_golden(golden, case):
    g = {k.split('/')[1]: v for k, v in golden('shared_dense_detection').items()
         if k.startswith(f'fcos_center{case}/')}  # fmt: skip
    points = [g[f'pts{level}'] for level in range(3)]
    sizes = [len(p) for p in points]
    ranges = np.repeat(g['regress_ranges'], sizes, axis=0).astype(np.float32)
    strides = np.repeat(g['strides'], sizes).astype(np.float32)
    objects = padded(g['gt'], g['gt_labels'])
    radius = float(g['radius']) if case else None
    found = jax.jit(functools.partial(assignment.fcos_targets, radius=radius))(
        np.concatenate(points), *objects, ranges, strides
    )
    labels = np.concatenate([g[f'label{level}'] for level in range(3)])
    background = int(labels.max())
    of_object = np.concatenate([objects[1], [background]])
    np.testing.assert_array_equal(
        np.where(found.assigned > 0, of_object[found.assigned - 1], background), labels
    )
    positive = labels < background
    ltrb = np.concatenate([g[f'ltrb{level}'] for level in range(3)])
    np.testing.assert_allclose(found.ltrb[positive], ltrb[positive], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.centerness[positive], g['centerness_pos'], rtol=1e-5)


def fcos_by_loops(points, boxes, ranges, strides, radius):
    owners = []
    for (x, y), (low, high), stride in zip(points, ranges, strides, strict=True):
        best, owner = np.inf, 0
        for k, (x1, y1, x2, y2) in enumerate(boxes):
            distances = x - x1, y - y1, x2 - x, y2 - y
            cx, cy, reach = (x1 + x2) / 2, (y1 + y2) / 2, radius * stride
            inside = max(cx - reach, x1) < x < min(cx + reach, x2)
            inside = inside and max(cy - reach, y1) < y < min(cy + reach, y2)
            area = (x2 - x1) * (y2 - y1)
            if inside and low <= max(distances) <= high and area < best:
                best, owner = area, k + 1
        owners.append(owner)
    return owners


@pytest.mark.parametrize('seed', range(3))
def test_fcos_targets_agree_with_loops_at_the_borders_of_ranges(seed):
    points = np.stack(np.meshgrid(np.arange(14.0), np.arange(14.0)), -1).reshape(-1, 2)
    points = points.astype(np.float32)
    boxes = grid(seed, 6)
    strides = np.where(np.arange(196) % 2, 1.0, 4.0).astype(np.float32)
    ranges = np.where((np.arange(196) % 2)[:, None], [[-1.0, 3.0]], [[3.0, 9.0]])
    found = assignment.fcos_targets(
        points, *padded(boxes, np.zeros(6)), ranges.astype(np.float32), strides, radius=1.0
    )
    np.testing.assert_array_equal(
        found.assigned, fcos_by_loops(points, boxes, ranges, strides, 1.0)
    )
    assert np.all((found.centerness > 0) == (found.assigned > 0))
    assert len(np.unique(found.assigned)) > 2


@functools.partial(jax.jit, static_argnames=('scale', 'dominates'))
def regions(priors, boxes, classes, ignored=None, *, scale=0.5, dominates=False):
    return assignment.center_region_assign(
        priors, boxes, classes, 3, negative_scale=scale, foreground_dominates=dominates,
        ignored_boxes=ignored,
    )  # fmt: skip


@pytest.mark.parametrize('extra', [0, 2])
@pytest.mark.parametrize('dominates', [0, 1])
@pytest.mark.parametrize('scale', [0.2, 0.5])
def test_center_regions_agree_with_the_golden(golden, scale, dominates, extra):
    name = f'assign_neg{scale}_fd{dominates}/'
    g = {k.removeprefix(name): v for k, v in golden('fsaf').items() if k.startswith(name)}
    objects = padded(g['gt_bboxes'], g['gt_labels'], extra)
    found = regions(g['anchors'], *objects, scale=scale, dominates=bool(dominates))
    np.testing.assert_array_equal(found.assigned, g['gt_inds'])
    expected = np.zeros((len(g['anchors']), 3), bool)
    expected[tuple(g['shadowed_labels'].T)] = True
    np.testing.assert_array_equal(found.shadowed, expected)


def regions_by_loops(priors, boxes, classes, negative_scale, dominates):
    def shrunk(box, factor):
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        w, h = factor * (box[2] - box[0]) / 2, factor * (box[3] - box[1]) / 2
        return cx - w, cy - h, cx + w, cy + h

    def share(prior, box):
        shared, area, _ = overlap_of(prior, box)
        return shared / area

    assigned, shadowed = [], np.zeros((len(priors), 3), bool)
    for i, prior in enumerate(priors):
        x, y = (prior[0] + prior[2]) / 2, (prior[1] + prior[3]) / 2
        owner, smallest, hit, shadow = 0, np.inf, [], []
        for k, box in enumerate(boxes):
            inside = box[0] < x < box[2] and box[1] < y < box[3]
            if inside and share(prior, shrunk(box, 0.2)) > 0.01:
                hit.append(k)
                area = (box[2] - box[0]) * (box[3] - box[1])
                if area <= smallest:
                    owner, smallest = k + 1, area
            elif share(prior, shrunk(box, negative_scale)) > 0.01:
                shadow.append(k)
        shadow += [k for k in hit if k + 1 != owner]
        for k in shadow:
            same = owner and classes[k] == classes[owner - 1]
            if not (same and dominates):
                shadowed[i, classes[k]] = True
        if owner and not dominates and any(classes[k] == classes[owner - 1] for k in shadow):
            owner = 0
        assigned.append(owner)
    return assigned, shadowed


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('dominates', [False, True])
def test_center_regions_agree_with_loops_where_areas_are_equal(seed, dominates):
    boxes = np.tile(grid(seed, 5), (2, 1))  # every box twice: equal areas
    classes = np.random.default_rng(seed).integers(0, 3, 10).astype(np.int32)
    corner = np.stack(np.meshgrid(np.arange(0, 14, 2.0), np.arange(0, 14, 2.0)), -1).reshape(-1, 2)
    priors = np.concatenate([corner - 1, corner + 1], axis=1).astype(np.float32)
    expected, shadowed = regions_by_loops(priors, boxes, classes, 0.5, dominates)
    found = regions(priors, *padded(boxes, classes), dominates=dominates)
    np.testing.assert_array_equal(found.assigned, expected)
    np.testing.assert_array_equal(found.shadowed, shadowed)


def test_ignored_boxes_take_the_loss_of_the_priors_inside():
    priors = np.array([[0, 0, 4, 4], [8, 8, 12, 12], [20, 20, 24, 24]], np.float32)
    objects = padded(np.array([[7.0, 7, 13, 13]]), np.array([1]))
    crowd = np.array([[6.0, 6, 14, 14], [0, 0, 0, 0]], np.float32)
    found = regions(priors, *objects, crowd)
    np.testing.assert_array_equal(found.assigned, [0, -1, 0])
    np.testing.assert_array_equal(regions(priors, *objects).assigned, [0, 1, 0])


def test_a_large_cell_can_own_a_tiny_object_and_a_tiny_one_between_cells_has_none():
    cell = np.array([[0, 0, 32, 32]], np.float32)
    tiny = padded(np.array([[10.0, 10, 22, 22]]), np.array([0]))
    # Its core is 2.4 x 2.4 pixels of 1024: less than 1 %.
    assert regions(cell, *tiny).assigned[0] == 0
    larger = padded(np.array([[6.0, 6, 26, 26]]), np.array([0]))
    assert regions(cell, *larger).assigned[0] == 1


def test_levels_by_size_change_exactly_at_powers_of_two():
    sides = np.array([1.0, 15.99, 16.0, 31.99, 32.0, 64.0, 1e4])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)
    found = assignment.pyramid_levels(boxes, 3, level=1, size=16.0)
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 2, 2])
    flat = np.array([[0.0, 0, 4, 64]])  # sqrt(w h) = 16
    assert assignment.pyramid_levels(flat, 3, level=1, size=16.0)[0] == 1
    assert assignment.pyramid_levels(flat, 1)[0] == 0


def test_wrong_options_are_named():
    priors = grid(0, 2)
    with pytest.raises(ValueError, match='negative, positive: expected .* got 0.6, 0.5'):
        assignment.max_iou_assign(priors, *NONE, negative=0.6)
    with pytest.raises(ValueError, match='negative_scale: expected .* got 0.5, 0.2'):
        assignment.center_region_assign(priors, *NONE, 2, positive_scale=0.5)
    with pytest.raises(ValueError, match='num_levels, size: expected positive numbers, got 0'):
        assignment.pyramid_levels(priors, 0)
