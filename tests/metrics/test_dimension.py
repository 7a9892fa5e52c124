import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial

from jaxsep.metrics import dimension

CASES = ['E0', 'E1']


def nearest_two(x):
    """Sorted exact distances of every point, from scipy."""
    return np.sort(scipy.spatial.distance.cdist(x, x), axis=1)[:, 1:3]


def oracle(nearest, fraction):
    """The card's recipe, one point after the other."""
    ratios = sorted(r2 / r1 for r1, r2 in nearest if r1 > 0 and r2 > r1)
    n = len(ratios)
    numerator = denominator = 0.0
    for i, mu in enumerate(ratios, start=1):
        if i <= np.floor(fraction * n) and i <= n - 2:
            numerator += np.log(mu) * -np.log(1 - i / n)
            denominator += np.log(mu) ** 2
    slope = numerator / denominator if denominator else 0.0
    logs = sum(np.log(mu) for mu in ratios)
    return slope, n / logs if n else 0.0


@pytest.mark.parametrize('case', CASES)
def test_golden_values(golden, float64, case):
    values = golden('separability_metrics')
    nearest = dimension.nearest_two_distances(jnp.asarray(values[f'{case}/X']))
    slope, mle = dimension.twonn(nearest), dimension.twonn_mle(nearest)
    np.testing.assert_allclose(slope, values[f'{case}/twonn_slope_frac0.9'], rtol=1e-9)
    np.testing.assert_allclose(mle, values[f'{case}/twonn_mle'], rtol=1e-9)
    assert round(float(slope)) == values[f'{case}/true_dim']


@pytest.mark.parametrize('case', CASES)
def test_golden_values_in_float32(golden, case):
    values = golden('separability_metrics')
    nearest = dimension.nearest_two_distances(jnp.asarray(values[f'{case}/X'], jnp.float32))
    slope, mle = dimension.twonn(nearest), dimension.twonn_mle(nearest)
    assert slope.dtype == mle.dtype == jnp.float32
    np.testing.assert_allclose(slope, values[f'{case}/twonn_slope_frac0.9'], rtol=1e-3)
    np.testing.assert_allclose(mle, values[f'{case}/twonn_mle'], rtol=1e-3)


@pytest.mark.parametrize('fraction', [0.5, 0.9, 1.0])
def test_agrees_with_loops_also_where_points_are_left_out(float64, fraction):
    rng = np.random.default_rng(0)
    nearest = np.sort(rng.uniform(size=(40, 2)), axis=1)
    nearest[:4, 0] = 0.0  # duplicates
    nearest[4:7, 1] = nearest[4:7, 0]  # ties
    slope, mle = oracle(nearest, fraction)
    np.testing.assert_allclose(dimension.twonn(jnp.asarray(nearest), fraction), slope, rtol=1e-10)
    np.testing.assert_allclose(dimension.twonn_mle(jnp.asarray(nearest)), mle, rtol=1e-10)


@pytest.mark.parametrize('n', [10, 20, 40])
def test_fraction_of_a_multiple_of_ten_is_exact_in_float32(n):
    """floor(0.9 n) must not lose a point to rounding."""
    nearest = np.sort(np.random.default_rng(n).uniform(0.1, 1.0, size=(n, 2)), axis=1)
    ours = dimension.twonn(jnp.asarray(nearest, jnp.float32))
    np.testing.assert_allclose(ours, oracle(nearest, 0.9)[0], rtol=1e-4)


def test_nearest_two_distances_agree_with_scipy_and_keep_near_duplicates(float64):
    x = np.random.default_rng(1).normal(size=(150, 8)) + 1e3
    x[1] = x[0] + 1e-9
    x[2] = x[3]
    ours = dimension.nearest_two_distances(jnp.asarray(x))
    np.testing.assert_allclose(ours, nearest_two(x), rtol=1e-10)
    assert ours[2, 0] == 0 and ours[3, 0] == 0
    np.testing.assert_allclose(ours[0, 0], np.linalg.norm(x[1] - x[0]), rtol=1e-12)


def test_near_duplicates_far_from_the_origin_are_exact_in_float32():
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(150, 8)) + 100.0).astype(np.float32)
    x[1::2] = x[::2] + np.float32(2.0**-15)
    ours = dimension.nearest_two_distances(jnp.asarray(x))
    np.testing.assert_allclose(ours, nearest_two(x.astype(np.float64)), rtol=1e-5)


@pytest.mark.parametrize('true_dimension', [1, 2, 5])
def test_flat_pieces_have_their_own_dimension_in_any_space(true_dimension):
    rng = np.random.default_rng(3)
    directions, _ = np.linalg.qr(rng.normal(size=(8, true_dimension)))
    x = rng.uniform(size=(600, true_dimension)) @ directions.T
    assert (
        abs(dimension.intrinsic_dimension(jnp.asarray(x, jnp.float32)) / true_dimension - 1) < 0.2
    )


def test_scale_shift_rotation_and_order_change_nothing(float64):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(150, 8))
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    expected = dimension.intrinsic_dimension(jnp.asarray(x))
    moved = (1e3 * x @ rotation + 7.0)[rng.permutation(150)]
    ours = dimension.intrinsic_dimension(jnp.asarray(moved))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.parametrize('nearest', [np.zeros((10, 2)), np.ones((10, 2)), np.zeros((0, 2))])
def test_nothing_left_gives_zero_and_a_finite_gradient(nearest):
    nearest = jnp.asarray(nearest, jnp.float32)
    for measure in (dimension.twonn, dimension.twonn_mle):
        value, gradient = jax.value_and_grad(measure)(nearest)
        assert value == 0
        assert np.all(np.isfinite(gradient))


def test_gradients_agree_with_differences(float64):
    nearest = np.sort(np.random.default_rng(5).uniform(0.1, 1.0, size=(10, 2)), axis=1)
    for measure in (dimension.twonn, dimension.twonn_mle):
        ours = jax.grad(measure)(jnp.asarray(nearest))
        reference = (lambda v: oracle(v, 0.9)[0]) if measure is dimension.twonn else None
        reference = reference or (lambda v: oracle(v, 0.9)[1])
        for index in np.ndindex(3, 2):
            step = np.zeros_like(nearest)
            step[index] = 1e-6
            slope = (reference(nearest + step) - reference(nearest - step)) / 2e-6
            np.testing.assert_allclose(ours[index], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    'call, match',
    [
        (functools.partial(dimension.twonn, fraction=0.0), 'fraction: expected 0 < fraction <= 1'),
        (functools.partial(dimension.twonn, fraction=1.5), 'fraction: expected 0 < fraction <= 1'),
        (dimension.nearest_two_distances, 'x: expected at least 3 points, got 2'),
    ],
)
def test_wrong_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call(jnp.ones((2, 2)))


def test_ratios_that_overflow_have_logarithms_all_the_same():
    nearest = jnp.array([[1e-20, 1e20], [1.0, 2.0], [1e-45, 1e30], [1e-10, 3.0]])
    for measure in (dimension.twonn_mle, dimension.twonn):
        assert 0 < float(measure(nearest)) < 10


@pytest.mark.parametrize('exponent', [-90, 90])
def test_nearest_distances_are_right_at_any_scale(exponent):
    x = jnp.asarray(np.random.default_rng(6).normal(size=(9, 3)), jnp.float32)
    found = dimension.nearest_two_distances(x * 2.0**exponent)
    np.testing.assert_array_equal(found, dimension.nearest_two_distances(x) * 2.0**exponent)
