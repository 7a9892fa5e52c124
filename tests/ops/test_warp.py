import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.test_util import check_grads

from jaxsep.ops import warp

warp_affine = jax.jit(warp.warp_affine, static_argnums=2)
crop_and_resize = jax.jit(warp.crop_and_resize, static_argnums=5)


def image(h=13, w=9, c=2, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((h, w, c)), jnp.float32)


def smooth(h, w):
    """A picture without fine detail, 0 towards the border."""
    y, x = np.mgrid[:h, :w]
    y, x = (y - (h - 1) / 2) / h, (x - (w - 1) / 2) / w
    return (np.exp(-30 * (y**2 + x**2)) * (1 + np.sin(9 * x + 4 * y))).astype(np.float32)


def seen_through(matrix, picture):
    """Bilinear warp by gathering, from scipy, with our centred convention."""
    matrix = np.asarray(matrix, np.float64)
    centre = (np.array(picture.shape) - 1) / 2
    offset = matrix[:2, 2] + centre - matrix[:2, :2] @ centre
    return scipy.ndimage.affine_transform(
        picture.astype(np.float64), matrix[:2, :2], offset, order=1, mode='grid-constant'
    )


@pytest.mark.parametrize('size', [(13, 9), (8, 8), (70, 66)])
def test_identity_is_exact(size):
    x = image(*size)
    np.testing.assert_array_equal(warp_affine(x, jnp.eye(3)), x)


@pytest.mark.parametrize('shift', [(2, -3), (-1, 0), (0, 4), (20, 0)])
def test_whole_shift_is_a_roll_with_zero_fill(shift):
    x = image()
    moved = warp_affine(x, warp.affine_matrix(translation=jnp.array(shift, jnp.float32)))
    expected = scipy.ndimage.shift(np.asarray(x), (*shift, 0), order=0)
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_quarter_turns_are_rot90(turns):
    x = image(8, 8)
    turned = warp_affine(x, warp.affine_matrix(rotation=turns * np.pi / 2))
    # cos(pi/2) is 4e-8 in float32, up to 4 pixels from the centre
    np.testing.assert_allclose(turned, np.rot90(x, turns), atol=3e-6)


def test_long_lines_by_product_equal_short_lines_unrolled(monkeypatch):
    x, matrix = image(), warp.affine_matrix(0.3, 0.1, 1.2, jnp.array([1.0, -0.5]))
    positions = jnp.linspace(-2.0, 14.0, 18).reshape(2, 9)
    expected = (
        warp_affine(x, matrix),
        jax.jit(warp.resample, static_argnums=2)(x, positions, 0, 1.5),
    )
    monkeypatch.setattr(warp, 'UNROLLED', 0)
    # a new function, hence not from the cache of the compiled one
    product = jax.jit(lambda x, matrix: warp.warp_affine(x, matrix))
    np.testing.assert_allclose(product(x, matrix), expected[0], atol=1e-6)
    np.testing.assert_allclose(warp.resample(x, positions, 0, 1.5), expected[1], atol=1e-6)


@pytest.mark.parametrize('scale', [1.0, 1.5, 0.8])
@pytest.mark.parametrize('shift', [(0.0, 0.0), (1.25, -0.5)])
def test_axis_aligned_warps_are_bilinear_exactly(scale, shift):
    x = image()
    matrix = warp.affine_matrix(scale=scale, translation=jnp.array(shift))
    expected = np.stack([seen_through(matrix, np.asarray(x[..., i])) for i in range(2)], -1)
    np.testing.assert_allclose(warp_affine(x, matrix), expected, atol=3e-6)


@pytest.mark.parametrize('degrees', [-170, -60, -15, 5, 30, 100])
@pytest.mark.parametrize('shear', [0.0, 0.2])
def test_rotations_and_shears_are_near_scipy(degrees, shear):
    # Two passes interpolate along sheared lines: on a smooth picture of amplitude 1.8 the
    # curvature within a pixel bounds the difference, well below 1 % of the amplitude in the mean.
    picture = smooth(32, 32)
    matrix = warp.affine_matrix(np.deg2rad(degrees), shear, 1.1, jnp.array([1.3, -2.2]))
    ours = np.asarray(warp_affine(jnp.asarray(picture)[..., None], matrix))[..., 0]
    difference = np.abs(ours - seen_through(matrix, picture))
    assert difference.mean() < 0.01
    assert difference.max() < 0.06


def test_a_point_moves_where_the_matrix_says():
    """The source point p is seen at R S diag(scale) p + t: numpy, written out."""
    angle, shear, scale, shift = 0.3, 0.2, np.array([1.2, 0.9]), np.array([1.5, -2.0])
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lean = np.array([[1, 0], [np.tan(shear), 1]])
    forward = rotate @ lean @ np.diag(scale)
    matrix = warp.affine_matrix(angle, shear, jnp.asarray(scale), jnp.asarray(shift))
    point = np.array([2.0, 3.0])
    back = np.asarray(matrix) @ [*(forward @ point + shift), 1.0]
    np.testing.assert_allclose(back[:2], point, atol=1e-5)


def test_one_composed_warp_is_two_warps_one_after_the_other():
    x = jnp.pad(image(8, 8), ((4, 4), (4, 4), (0, 0)))
    first = warp.affine_matrix(translation=jnp.array([1.0, -2.0]))
    then = warp.affine_matrix(rotation=np.pi / 2)
    at_once = warp_affine(x, warp.compose(first, then))
    np.testing.assert_allclose(at_once, warp_affine(warp_affine(x, first), then), atol=1e-5)


@pytest.mark.parametrize('shape', [(13, 9), (20, 17), (6, 4), (1, 1)])
def test_whole_box_is_jax_image_resize(shape):
    x = image()
    ours = crop_and_resize(x, 0.0, 0.0, 13.0, 9.0, shape)
    np.testing.assert_allclose(ours, jax.image.resize(x, (*shape, 2), 'linear'), atol=2e-6)


def test_whole_crop_is_a_slice():
    x = image()
    box = crop_and_resize(x, 3.0, 2.0, 5.0, 4.0, (5, 4))
    np.testing.assert_array_equal(box, x[3:8, 2:6])
    matrix = warp.crop_matrix(3.0, 2.0, 5.0, 4.0, (13, 9), (5, 4))
    np.testing.assert_array_equal(warp_affine(x, matrix, (5, 4)), x[3:8, 2:6])


def test_crop_by_matrix_is_crop_and_resize_away_from_the_border():
    x = image()
    box = (3.3, 2.1, 5.0, 4.5)
    matrix = warp.crop_matrix(*box, (13, 9), (16, 10))
    np.testing.assert_allclose(
        warp_affine(x, matrix, (16, 10)), crop_and_resize(x, *box, (16, 10)), atol=3e-6
    )


def test_constant_stays_constant_under_reduction():
    ones = jnp.ones((30, 21, 1))
    np.testing.assert_allclose(crop_and_resize(ones, 0.0, 0.0, 30.0, 21.0, (4, 5)), 1.0, atol=1e-6)


def test_compiled_warps_hold_no_gather():
    compiled = jax.jit(jax.vmap(warp.warp_affine)).lower(
        jnp.zeros((4, 8, 8, 1)), jnp.zeros((4, 3, 3))
    )
    assert 'gather' not in compiled.as_text()


def test_gradients_are_right_and_finite(float64):
    x = jnp.asarray(np.random.default_rng(0).random((6, 5, 1)))
    matrix = warp.affine_matrix(0.31, 0.11, 1.13, jnp.array([0.37, -0.21]))
    check_grads(jax.jit(warp.warp_affine), (x, matrix), order=1, modes=['rev'], eps=1e-6)
