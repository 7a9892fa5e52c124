"""Sinkhorn's affinity against the original layer, and the laws of doubly stochastic matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, softmax

from jaxsep.ops.doubly_stochastic import absolute_cosines, sinkhorn_affinity


@functools.partial(jax.jit, static_argnums=(2, 3))
def value_and_grad(similarity, probe, temperature, half_steps):
    def probed(a):
        affinity = sinkhorn_affinity(a, temperature=temperature, half_steps=half_steps)
        return jnp.sum(affinity * probe), affinity

    (value, affinity), gradient = jax.value_and_grad(probed, has_aux=True)(similarity)
    return value, affinity, gradient


def similarities(n, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).uniform(size=(n, n)).astype(np.float32)


@pytest.mark.parametrize('case', ['s1', 's2'])
def test_agrees_with_the_original_in_value_and_gradient(golden, case):
    data = {
        k.split('/')[1]: v for k, v in golden('mlc').items() if k.startswith(f'sinkhorn_{case}')
    }
    value, affinity, gradient = value_and_grad(
        data['affinity'], data['probe'], float(data['eta']), int(data['max_iter'])
    )
    # exp of sums over eta of about 10 in single precision.
    np.testing.assert_allclose(affinity, data['Gamma'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, data['probe_value'], rtol=1e-4)
    np.testing.assert_allclose(gradient, data['grad_affinity'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('half_steps', [1, 2, 5, 6])
def test_agrees_with_loops_and_the_last_half_step_is_exact(half_steps):
    a, eta, n = similarities(6), 0.3, 6
    u, v, wanted = np.zeros(n), np.zeros(n), a.astype(np.float64)
    for i in range(half_steps):
        if i % 2 == 0:
            u = u + eta * (np.log(1 / n) - logsumexp((wanted + u[:, None] + v) / eta, axis=1))
        else:
            v = v + eta * (np.log(1 / n) - logsumexp((wanted + u[:, None] + v) / eta, axis=0))
    _, found, _ = value_and_grad(a, np.ones_like(a), eta, half_steps)
    np.testing.assert_allclose(found, n * np.exp((wanted + u[:, None] + v) / eta), rtol=1e-5)
    np.testing.assert_allclose(np.sum(found, axis=half_steps % 2), np.ones(n), rtol=1e-5)


def test_gradient_is_that_of_a_row_softmax():
    a, probe = similarities(6), similarities(6, 1)
    _, affinity, gradient = value_and_grad(a, probe, 0.3, 5)
    # Rows that sum to 1 are a softmax of (A + v) / eta, whatever v is.
    p = np.asarray(affinity, np.float64)
    expected = p * (probe - np.sum(p * probe, axis=1, keepdims=True)) / 0.3
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_one_half_step_is_a_row_softmax():
    a = similarities(6)
    _, found, _ = value_and_grad(a, a, 0.3, 1)
    np.testing.assert_allclose(found, softmax(a / 0.3, axis=1), rtol=1e-5)


def test_many_steps_are_doubly_stochastic_and_constants_of_rows_and_columns_do_not_matter():
    a = similarities(6)
    _, found, _ = value_and_grad(a, a, 0.3, 400)
    np.testing.assert_allclose(np.sum(found, axis=0), np.ones(6), rtol=1e-5)
    np.testing.assert_allclose(np.sum(found, axis=1), np.ones(6), rtol=1e-5)
    shifted = a + np.arange(6, dtype=np.float32)[:, None] - similarities(6, 2)[:1]
    _, same, _ = value_and_grad(shifted, a, 0.3, 400)
    np.testing.assert_allclose(same, found, rtol=1e-4)


def test_temperature_goes_from_the_best_permutation_to_uniform():
    a = similarities(6)
    _, cold, _ = value_and_grad(a, a, 0.005, 400)
    _, columns = linear_sum_assignment(-a)
    np.testing.assert_allclose(cold, np.eye(6)[columns], atol=0.05)
    _, hot, _ = value_and_grad(a, a, 1e4, 5)
    np.testing.assert_allclose(hot, np.full((6, 6), 1 / 6), rtol=1e-3)


def test_huge_similarities_masks_and_empty_rows_stay_finite():
    huge = similarities(6, scale=1e4) - 5e3
    masked = np.where(np.eye(6) > 0, -np.inf, similarities(6)).astype(np.float32)
    empty = masked.copy()
    empty[2], empty[:, 2] = -np.inf, -np.inf
    for a in (huge, masked, empty, np.zeros((6, 6), np.float32)):
        _, found, gradient = value_and_grad(a, similarities(6, 1), 0.3, 5)
        assert np.isfinite(found).all() and np.isfinite(gradient).all()
        full = np.isfinite(a).any(axis=1)
        np.testing.assert_allclose(np.sum(found, axis=1), full.astype(float), rtol=1e-3)
        assert (np.asarray(found)[a == -np.inf] == 0).all()
    assert sinkhorn_affinity(jnp.zeros((0, 0))).shape == (0, 0)
    np.testing.assert_allclose(sinkhorn_affinity(jnp.full((1, 1), 7.0)), [[1.0]], rtol=1e-5)


def test_cosines_are_1_on_a_line_and_0_at_zero_points():
    x = jnp.array([[1.0, 2.0], [-2.0, -4.0], [2.0, -1.0], [0.0, 0.0]])
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    cosines, pull = jax.vjp(jax.jit(absolute_cosines), x)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    assert np.isfinite(pull(jnp.ones((4, 4)))[0]).all()


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='temperature: expected a positive number, got 0'):
        sinkhorn_affinity(jnp.zeros((2, 2)), temperature=0.0)
    with pytest.raises(ValueError, match='half_steps: expected at least 1, got 0'):
        sinkhorn_affinity(jnp.zeros((2, 2)), half_steps=0)
