"""Tolerance against goldens, the double loop and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.metrics.sphere import tolerance, tolerance_all_pairs


@pytest.mark.parametrize('case', ['A_digits', 'A_toy'])
@pytest.mark.parametrize('precision', ['float32', 'float64'])
def test_both_tolerances_equal_their_golden_values(golden, case, precision):
    arrays = golden('separability_metrics')
    rtol = 1e-10 if precision == 'float64' else 1e-5
    with jax.enable_x64(precision == 'float64'):
        x, labels = jnp.asarray(arrays[f'{case}/X'], precision), jnp.asarray(arrays[f'{case}/y'])
        same, every = tolerance(x, labels), tolerance_all_pairs(x, labels)
    assert same.dtype == every.dtype == precision
    np.testing.assert_allclose(same, arrays[f'{case}/tolerance_same_class_mean'], rtol)
    np.testing.assert_allclose(every, arrays[f'{case}/tolerance_all_pairs'], rtol)


def points(n=14, d=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), rng.choice([-5, 2, 1000, 7], n)


def test_tolerances_equal_the_double_loop_for_any_integer_labels(float64):
    x, labels = points()
    x[3] = 0.0  # a zero vector has cosine 0 with everything, itself included
    z = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    distinct, every = [], 0.0
    for i in range(14):
        for j in range(14):
            if labels[i] == labels[j]:
                every += z[i] @ z[j]
                if i != j:
                    distinct.append(z[i] @ z[j])
    args = jnp.asarray(x), jnp.asarray(labels)
    np.testing.assert_allclose(tolerance(*args), np.mean(distinct), rtol=1e-10)
    np.testing.assert_allclose(tolerance_all_pairs(*args), every / 14**2, rtol=1e-10)


@pytest.mark.parametrize('measure', [tolerance, tolerance_all_pairs])
def test_gradients_agree_with_finite_differences(float64, measure):
    x, labels = points()
    check_grads(lambda x: measure(jnp.asarray(x), jnp.asarray(labels)), (x,), 1, ['rev'])


def test_tolerance_is_zero_with_zero_gradient_without_a_pair():
    x = jnp.asarray(points()[0], jnp.float32)
    value, gradient = jax.value_and_grad(tolerance)(x, jnp.arange(14))
    assert value == 0
    assert (gradient == 0).all()


def test_tolerance_is_one_for_collapsed_classes_and_ignores_length_and_order():
    labels = jnp.array([0, 1, 0, 1, 1])
    directions = jnp.array([[1.0, 0.0], [0.0, 1.0]])[labels]
    lengths = jnp.array([[1.0], [2.0], [3.0], [0.5], [1e-20]])
    np.testing.assert_allclose(tolerance(directions * lengths, labels), 1.0, rtol=1e-6)
    x = jnp.asarray(points()[0], jnp.float32)[:5]
    order = jnp.array([3, 1, 4, 0, 2])
    np.testing.assert_allclose(tolerance(x[order], labels[order]), tolerance(x, labels), 1e-5)


def test_tolerance_runs_under_jit_in_bfloat16():
    x, labels = points()
    value = jax.jit(tolerance)(jnp.asarray(x, jnp.bfloat16), jnp.asarray(labels))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(
        value, tolerance(jnp.asarray(x, jnp.float32), jnp.asarray(labels)), atol=0.02
    )
