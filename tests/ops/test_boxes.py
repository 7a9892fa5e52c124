import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops import boxes

NUMBERS = {
    'scale': ('factor',),
    'clip': ('height', 'width'),
    'decode_deltas': ('shape',),
    'decode_tblr': ('shape',),
    'encode_tblr': ('normalizer',),
}
ARRAYS = (
    'areas centers contains cxcywh_to_xyxy encode_deltas pairwise_giou pairwise_iof pairwise_iou '
    'sides xyxy_to_cxcywh'
)
# Compiled: one program a call in place of one an operation.
box_ops = types.SimpleNamespace(
    **{name: jax.jit(getattr(boxes, name)) for name in ARRAYS.split()},
    **{name: jax.jit(getattr(boxes, name), static_argnames=x) for name, x in NUMBERS.items()},
)


def random_boxes(rng, count, size=50):
    low = rng.uniform(0, size, (count, 2))
    return np.concatenate([low, low + rng.uniform(1, size, (count, 2))], axis=1)


def overlap_of(a, b):
    """Intersection, areas and hull of two boxes, number by number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    area_a, area_b = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return shared, area_a, area_a + area_b - shared, around


@pytest.fixture(scope='module')
def pair():
    rng = np.random.default_rng(0)
    return random_boxes(rng, 7), random_boxes(rng, 5)


@pytest.mark.parametrize('name', ['iou', 'giou', 'iof'])
def test_pairwise_overlaps_agree_with_the_golden(golden, name):
    g = golden('shared_dense_detection')
    found = getattr(box_ops, f'pairwise_{name}')(g['pairwise/a'], g['pairwise/b'])
    np.testing.assert_allclose(found, g[f'pairwise/{name}'], rtol=1e-5, atol=1e-6)


def test_pairwise_overlaps_agree_with_loops(pair, float64):
    a, b = pair
    oracle = np.array([[overlap_of(x, y) for y in b] for x in a])
    shared, area, union, around = np.moveaxis(oracle, -1, 0)
    np.testing.assert_allclose(box_ops.pairwise_iou(a, b), shared / union, rtol=1e-12)
    np.testing.assert_allclose(box_ops.pairwise_iof(a, b), shared / area, rtol=1e-12)
    expected = shared / union - (around - union) / around
    np.testing.assert_allclose(box_ops.pairwise_giou(a, b), expected, rtol=1e-12)


def test_overlaps_have_their_laws(pair):
    a, b = pair
    iou, giou = map(np.asarray, (box_ops.pairwise_iou(a, b), box_ops.pairwise_giou(a, b)))
    np.testing.assert_allclose(iou, np.transpose(box_ops.pairwise_iou(b, a)), rtol=1e-5)
    assert np.all(giou <= iou + 1e-6) and np.all(giou > -1)
    np.testing.assert_allclose(np.diag(box_ops.pairwise_giou(a, a)), 1, rtol=1e-6)
    np.testing.assert_allclose(box_ops.pairwise_iou(3 * a, 3 * b), iou, rtol=1e-5)


def test_empty_boxes_have_no_overlap_and_no_box_gives_an_empty_table():
    point = np.array([[3.0, 3.0, 3.0, 3.0]])
    for name in ('iou', 'iof'):
        assert float(getattr(box_ops, f'pairwise_{name}')(point, point)[0, 0]) == 0
    assert np.isfinite(box_ops.pairwise_giou(point, point)).all()
    assert box_ops.pairwise_iou(np.zeros((0, 4)), point).shape == (0, 1)


def test_conversions_are_inverse_and_scaling_keeps_the_centre(pair):
    a, _ = pair
    np.testing.assert_allclose(
        box_ops.cxcywh_to_xyxy(box_ops.xyxy_to_cxcywh(a)), a, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        box_ops.xyxy_to_cxcywh(np.array([1.0, 2.0, 5.0, 8.0])), [3.0, 5.0, 4.0, 6.0]
    )
    small = box_ops.scale(a, 0.25)
    np.testing.assert_allclose(box_ops.centers(small), box_ops.centers(a), rtol=1e-5)
    np.testing.assert_allclose(16 * np.asarray(box_ops.areas(small)), box_ops.areas(a), rtol=1e-4)


def test_a_box_outside_of_the_image_is_clipped_to_nothing():
    given = np.array([[-3.0, 2.0, 50.0, 60.0], [41.0, 0.0, 45.0, 9.0]])
    clipped = box_ops.clip(given, height=30, width=40)
    np.testing.assert_array_equal(clipped, [[0, 2, 40, 30], [40, 0, 40, 9]])
    assert float(box_ops.areas(clipped)[1]) == 0


def test_points_on_an_edge_are_not_inside():
    box = np.array([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 3.0, 3.0]])
    points = np.array([[0.0, 1.0], [2.0, 1.5], [3.9, 0.1]])
    np.testing.assert_array_equal(
        box_ops.contains(box, points), [[False, False], [True, True], [True, False]]
    )


def test_delta_coder_agrees_with_the_golden_and_inverts_itself(golden):
    g = golden('shared_dense_detection')
    priors, gt = g['delta_xywh/proposals'], g['delta_xywh/gt']
    deltas = box_ops.encode_deltas(priors, gt)
    np.testing.assert_allclose(deltas, g['delta_xywh/deltas'], rtol=1e-5, atol=1e-6)
    shape = tuple(float(x) for x in g['delta_xywh/max_shape_hw'])
    # The golden decodes numbers that reach the bound of the ratio and the border of the image.
    found = box_ops.decode_deltas(priors, g['delta_xywh/deltas'], shape=shape)
    np.testing.assert_allclose(found, box_ops.clip(gt, *shape), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found, g['delta_xywh/decoded'], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(box_ops.decode_deltas(priors, deltas), gt, rtol=1e-5, atol=1e-4)


def test_decoded_sides_are_bounded_and_padding_is_encoded_finitely():
    prior = np.array([[0.0, 0.0, 10.0, 10.0]])
    grown = box_ops.decode_deltas(prior, np.array([[0.0, 0.0, 1e4, -1e4]]))
    np.testing.assert_allclose(box_ops.sides(grown), [[625.0], [0.16]], rtol=1e-4)
    assert np.isfinite(box_ops.encode_deltas(prior, np.zeros((1, 4)))).all()
    assert np.isfinite(box_ops.encode_tblr(prior, np.zeros((1, 4)))).all()


def test_tblr_coder_agrees_with_the_golden_and_inverts_itself(golden):
    g = golden('fsaf')
    priors, gt = g['coder/priors'], g['coder/gt']
    encoded = box_ops.encode_tblr(priors, gt, float(g['coder/normalizer']))
    np.testing.assert_allclose(encoded, g['coder/encoded'], rtol=1e-5, atol=1e-6)
    decode = functools.partial(box_ops.decode_tblr, priors, g['coder/encoded'])
    np.testing.assert_allclose(decode(), g['coder/decoded'], rtol=1e-5, atol=1e-4)
    shape = tuple(float(x) for x in g['coder/max_shape_hw'])
    np.testing.assert_allclose(
        decode(shape=shape), g['coder/decoded_clipped'], rtol=1e-5, atol=1e-4
    )
    np.testing.assert_allclose(decode(), gt, rtol=1e-5, atol=1e-4)


def test_tblr_of_a_square_prior_is_what_the_definition_says():
    prior, box = np.array([8.0, 0.0, 16.0, 8.0]), np.array([4.0, 2.0, 20.0, 10.0])
    found = box_ops.encode_tblr(prior, box, normalizer=2.0)
    np.testing.assert_allclose(found, np.array([2.0, 6.0, 8.0, 8.0]) / 16, rtol=1e-6)


def test_coders_have_right_gradients(pair, float64):
    a, _ = pair
    numbers = 0.3 + 0.1 * np.random.default_rng(1).normal(size=a.shape)
    check_grads(functools.partial(box_ops.decode_deltas, a), (numbers,), order=1, modes=['rev'])
    check_grads(functools.partial(box_ops.decode_tblr, a), (numbers,), order=1, modes=['rev'])
    check_grads(functools.partial(box_ops.encode_deltas, a), (a + 1.0,), order=1, modes=['rev'])


def test_half_precision_is_computed_in_float32():
    box = jnp.array([[0.0, 0.0, 3.0, 3.0]], jnp.bfloat16)
    found = box_ops.pairwise_iou(box, box + 1)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 4 / 14, rtol=1e-6)
