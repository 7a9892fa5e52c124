"""Resizing and sampling against PyTorch's numbers, loops, and their laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops import resize

# Compiled: one program a call in place of one an operation.
resize_bilinear = jax.jit(resize.resize_bilinear, static_argnums=1, static_argnames='align_corners')
resize_nearest = jax.jit(resize.resize_nearest, static_argnums=1)
grid_sample = jax.jit(resize.grid_sample, static_argnames=('padding', 'align_corners'))


def channels_last(x):
    return np.moveaxis(x, 1, -1)


@pytest.fixture(scope='module')
def data(golden):
    found = golden('shared_segmentation')
    return {k: v if 'grid_xy' in k or v.ndim < 4 else channels_last(v) for k, v in found.items()}


@pytest.mark.parametrize('name, align', [('half_pixel', False), ('align_corners', True)])
def test_bilinear_agrees_with_torch(data, name, align):
    found = resize_bilinear(data['resize/x'], (7, 9), align_corners=align)
    np.testing.assert_allclose(found, data[f'resize/{name}'], rtol=1e-5, atol=1e-6)


def test_shrinking_is_not_smoothed_as_in_torch(data):
    found = resize_bilinear(data['resize/x'], (2, 3))
    np.testing.assert_allclose(found, data['resize/down_half_pixel'], rtol=1e-5, atol=1e-6)


def test_nearest_agrees_with_torch(data):
    np.testing.assert_array_equal(resize_nearest(data['resize/x'], (7, 9)), data['resize/nearest'])


@pytest.mark.parametrize(
    'name, padding, align',
    [('zeros', 'zeros', False), ('border', 'border', False), ('zeros_ac', 'zeros', True)],
)
def test_grid_sample_agrees_with_torch(data, name, padding, align):
    found = grid_sample(
        data['grid_sample/x'], data['grid_sample/grid_xy'], padding=padding, align_corners=align
    )
    np.testing.assert_allclose(found, data[f'grid_sample/{name}'], rtol=1e-5, atol=1e-6)


def line(values, out, align):
    """One line resized, pixel by pixel."""
    n, found = len(values), []
    for i in range(out):
        at = (i * (n - 1) / (out - 1) if out > 1 else 0) if align else (i + 0.5) * n / out - 0.5
        at = min(max(at, 0), n - 1)
        low = min(int(at), n - 2) if n > 1 else 0
        high = min(low + 1, n - 1)
        found.append(values[low] * (1 - (at - low)) + values[high] * (at - low))
    return np.array(found)


@pytest.mark.parametrize('align', [False, True])
@pytest.mark.parametrize('shape', [(1, 1), (5, 4), (3, 11), (13, 2)])
def test_bilinear_agrees_with_lines_of_numpy(shape, align):
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    columns = np.apply_along_axis(line, 2, x.astype(np.float64), shape[1], align)
    expected = np.apply_along_axis(line, 1, columns, shape[0], align)
    found = resize_bilinear(x, shape, align_corners=align)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_half_pixels_agree_with_jax_without_antialiasing():
    x = np.random.default_rng(1).normal(size=(1, 6, 7, 2)).astype(np.float32)
    expected = jax.jit(lambda x: jax.image.resize(x, (1, 4, 15, 2), 'linear', antialias=False))(x)
    np.testing.assert_allclose(resize_bilinear(x, (4, 15)), expected, rtol=1e-5, atol=1e-6)


def test_planes_stay_planes_between_aligned_corners_and_constants_are_kept():
    rows, columns = np.mgrid[0:4, 0:3]
    plane = (2.0 * rows - columns)[None, ..., None].astype(np.float32)
    found = np.asarray(resize_bilinear(plane, (7, 5), align_corners=True))[0, ..., 0]
    rows, columns = np.mgrid[0:7, 0:5]
    np.testing.assert_allclose(found, 2 * rows / 2 - columns / 2, atol=1e-6)
    sevens = np.full((1, 3, 4, 1), 7, np.float32)
    np.testing.assert_allclose(resize_bilinear(sevens, (5, 2)), 7, rtol=1e-6)


def test_the_same_size_is_the_same_array_and_half_precision_stays():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(1, 3, 4, 1)), jnp.bfloat16)
    np.testing.assert_array_equal(resize_bilinear(x, (3, 4)), x)
    assert resize_bilinear(x, (5, 4)).dtype == jnp.bfloat16
    labels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    assert resize_nearest(labels, (6, 8)).dtype == jnp.uint8
    np.testing.assert_array_equal(resize_nearest(labels, (3, 4)), labels)
    np.testing.assert_array_equal(resize_nearest(resize_nearest(labels, (6, 8)), (3, 4)), labels)


def centres(size):
    return (2 * np.arange(size) + 1) / size - 1


def test_sampling_at_the_centres_gives_the_map_back():
    x = np.random.default_rng(3).normal(size=(2, 4, 5, 3)).astype(np.float32)
    y, x_axis = np.meshgrid(centres(4), centres(5), indexing='ij')
    grid = np.broadcast_to(np.stack([x_axis, y], -1), (2, 4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(sample(x, grid), x, rtol=1e-5, atol=1e-5)
    y, x_axis = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 5), indexing='ij')
    grid = np.broadcast_to(np.stack([x_axis, y], -1), (2, 4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(sample(x, grid, align_corners=True), x, rtol=1e-5, atol=1e-5)


def sample(x, grid, **options):
    return grid_sample(x, grid, **options)


def sampled(x, place, padding, align):
    """The value at one place (x, y), by the four pixels around it."""
    size = np.array(x.shape[:2])
    at = (np.array(place[::-1]) + 1) / 2 * (size - 1) if align else (
        (np.array(place[::-1]) + 1) * size - 1
    ) / 2  # fmt: skip
    if padding == 'border':
        at = np.clip(at, 0, size - 1)
    low, total = np.floor(at).astype(int), np.zeros(x.shape[2])
    for step in np.ndindex(2, 2):
        corner = low + step
        if (corner >= 0).all() and (corner < size).all():
            total += np.prod(1 - np.abs(at - corner)) * x[tuple(corner)]
    return total


@pytest.mark.parametrize('padding', ['zeros', 'border'])
@pytest.mark.parametrize('align', [False, True])
def test_grid_sample_agrees_with_loops_and_its_gradients_with_differences(float64, padding, align):
    rng = np.random.default_rng(4)
    x, grid = rng.normal(size=(2, 3, 4, 2)), rng.uniform(-1.3, 1.3, size=(2, 7, 2))
    apply = functools.partial(grid_sample, padding=padding, align_corners=align)
    expected = [[sampled(x[b], place, padding, align) for place in grid[b]] for b in range(2)]
    np.testing.assert_allclose(apply(x, grid), expected, rtol=1e-10, atol=1e-12)
    check_grads(apply, (x, grid), 1, ('rev',), rtol=1e-4)


@pytest.mark.parametrize('padding', ['zeros', 'border'])
def test_places_far_away_are_finite_and_have_no_gradient(padding):
    x = np.random.default_rng(5).normal(size=(1, 3, 3, 1)).astype(np.float32)
    grid = np.array([[[1e30, -1e30], [3e9, 0.0], [-4.0, 5.0]]], np.float32)
    total = jax.jit(jax.value_and_grad(lambda g: jnp.sum(grid_sample(x, g, padding=padding))))
    value, grad = jax.device_get(total(grid))
    assert np.isfinite(value)
    np.testing.assert_array_equal(grad[0, [0, 2]], 0)
    assert np.isfinite(grad).all()
    if padding == 'zeros':
        assert value == 0
    else:
        found = np.asarray(grid_sample(x, grid, padding=padding))
        np.testing.assert_allclose(found[0, 0], x[0, 0, 2])


def test_wrong_arguments_are_named():
    x = jnp.zeros((1, 2, 2, 1))
    with pytest.raises(ValueError, match="padding: expected one of .*, got 'reflection'"):
        grid_sample(x, jnp.zeros((1, 1, 2)), padding='reflection')
    for resized in (resize_bilinear, resize_nearest):
        with pytest.raises(ValueError, match=r'shape: expected at least one pixel .* \(0, 3\)'):
            resized(x, (0, 3))
