"""Directions and distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops import geometry

l2_normalize = jax.jit(geometry.l2_normalize)


def oracle_normalize(x):
    norms = np.sqrt((x.astype(np.float64) ** 2).sum(-1, keepdims=True))
    return np.where(norms > 0, x / np.where(norms > 0, norms, 1), 0)


@pytest.mark.parametrize('scale', [1e-30, 1e-3, 1.0, 1e4, 1e30])
def test_rows_have_unit_norm_at_any_scale(scale):
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    found = l2_normalize(jnp.asarray(x * np.float32(scale)))
    np.testing.assert_allclose(found, oracle_normalize(x), rtol=1e-5, atol=1e-6)


def test_a_zero_vector_stays_zero_with_zero_gradient():
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(l2_normalize(x), [[0, 0], [0.6, 0.8]], rtol=1e-6)
    weights = jnp.array([[1.0, 2.0], [1.0, 2.0]])
    grad = jax.jit(jax.grad(lambda x: jnp.sum(weights * geometry.l2_normalize(x))))(x)
    np.testing.assert_array_equal(grad[0], 0)
    assert np.all(np.isfinite(grad))


@pytest.mark.parametrize('function', ['l2_normalize', 'norm'])
def test_gradients_agree_with_finite_differences(function, float64):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))
    check_grads(jax.jit(getattr(geometry, function)), (x,), order=2, modes=['rev'])


def test_half_precision_is_computed_and_returned_in_float32():
    x = jnp.ones((2, 3), jnp.bfloat16)
    assert geometry.l2_normalize(x).dtype == geometry.norm(x).dtype == jnp.float32
    assert geometry.squared_distances(x, x).dtype == jnp.float32


@pytest.mark.parametrize('function', ['squared_distances', 'direct_squared_distances'])
def test_distances_agree_with_the_definition(function):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    expected = [[sum((a - b) ** 2) for b in y.astype(float)] for a in x.astype(float)]
    found = getattr(geometry, function)(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_direct_distances_tell_near_duplicates_apart_far_from_the_origin():
    x = jnp.array([[1000.0, 1000.0], [1000.0, 1000.001]])
    apart = float(x[1, 1]) - float(x[0, 1])
    np.testing.assert_allclose(geometry.direct_squared_distances(x, x)[0, 1], apart**2, rtol=1e-5)
    assert np.all(np.asarray(geometry.squared_distances(x, x)) >= 0)


def test_square_roots_and_norms_have_gradient_zero_at_zero():
    of_sqrt, of_norm = (jax.jit(jax.grad(f)) for f in (geometry.sqrt, geometry.norm))
    assert of_sqrt(0.0) == 0
    assert of_sqrt(-1e-9) == 0
    np.testing.assert_array_equal(of_norm(jnp.zeros(3)), 0)


def test_l2_normalize_does_not_hide_nan():
    assert np.all(np.isnan(l2_normalize(jnp.array([[jnp.nan, 1.0]]))))


@pytest.mark.parametrize('scale', [1e-30, 1e-20, 1e20, 1e30, 1e37])
def test_norms_are_right_at_any_scale(scale):
    x = np.random.default_rng(4).uniform(-1, 1, (5, 7)).astype(np.float32)
    found, grad = jax.jit(jax.value_and_grad(lambda x: jnp.sum(geometry.norm(x))))(x * scale)
    np.testing.assert_allclose(
        found / np.float32(scale), np.linalg.norm(x, axis=1).sum(), rtol=1e-5
    )
    np.testing.assert_allclose(grad, oracle_normalize(x), rtol=1e-5, atol=1e-6)


def test_nan_stays_visible():
    assert np.isnan(geometry.sqrt(jnp.array([np.nan, 1.0]))).tolist() == [True, False]
    assert np.isnan(geometry.norm(jnp.array([[np.nan, 1.0], [3.0, 4.0]]))).tolist() == [True, False]


def test_the_power_of_two_is_1_for_ordinary_numbers_and_exact_for_others():
    x = jnp.array(
        [[1e-6, -1e6], [0.0, 0.0], [0.0, 3e-7], [5.0, -3e30], [1e-42, 0.0], [np.nan, 1e9]]
    )
    found = jax.jit(geometry.power_of_two, static_argnums=1)(x, 1)[:, 0]
    expected = [1, 1, 2.0**-22, 2.0**100, 1, 1]
    np.testing.assert_array_equal(found, expected)
    assert geometry.power_of_two(x[:4]).tolist() == [[2.0**100]]
