"""Sparse linear maps, checked against the original's objective and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso as SklearnLasso

from jaxsep.algorithms import lasso

EXACT = {'intercept': False, 'tolerance': 1e-12}


def scaled(arrays, dtype):
    a, b = (jnp.asarray(arrays[name], dtype) for name in ('actsA', 'actsB'))
    return tuple(x * lasso.unit_scale(x)[None, :] for x in (a, b))


@pytest.mark.parametrize('penalty', ['0', '0.01', '0.1'])
def test_golden(golden, penalty):
    arrays = golden('convergent_learning')
    a, b = scaled(arrays, jnp.float32)
    found = lasso.sparse_prediction(a, b, jnp.float32(penalty))
    expected = {k: arrays[f'sparse/lam{penalty}/{k}'] for k in ('W', 'mse_half', 'nnz_per_unit')}
    # Far inside the card's 1e-3; the condition of the moments times single precision.
    np.testing.assert_allclose(found.weights, expected['W'], atol=1e-4)
    np.testing.assert_allclose(
        lasso.lasso_objective(a, b, found.weights, 0.0), expected['mse_half'], rtol=1e-5
    )
    np.testing.assert_array_equal(lasso.nonzeros_per_unit(found.weights), expected['nnz_per_unit'])
    assert found.converged


def related():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 8)) @ (np.eye(8) + 0.3 * rng.normal(size=(8, 8))) + 1.0
    return a, a[:, :3] @ rng.normal(size=(3, 4)) + 0.3 * rng.normal(size=(60, 4)) - 2.0


def test_agrees_with_sklearn_to_the_last_digits(float64):
    a, b = related()
    for intercept in (False, True):
        ours = lasso.sparse_prediction(
            jnp.asarray(a), jnp.asarray(b), 0.1, **{**EXACT, 'intercept': intercept}
        )
        assert ours.converged
        for target in range(4):
            theirs = SklearnLasso(0.1, fit_intercept=intercept, tol=1e-12, max_iter=100_000)
            theirs.fit(a, b[:, target])
            np.testing.assert_allclose(ours.weights[:, target], theirs.coef_, atol=1e-8)
            np.testing.assert_allclose(ours.bias[target], theirs.intercept_, atol=1e-8)
            np.testing.assert_array_equal(ours.weights[:, target] == 0, theirs.coef_ == 0)


def test_no_change_of_the_weights_makes_it_better(float64):
    a, b = related()
    best = np.asarray(lasso.sparse_prediction(jnp.asarray(a), jnp.asarray(b), 0.1, **EXACT).weights)

    def objective(weights):
        return 0.5 * np.square(a @ weights - b).sum() / len(a) + 0.1 * np.abs(weights).sum()

    ours = lasso.lasso_objective(*map(jnp.asarray, (a, b, best)), 0.1)
    np.testing.assert_allclose(ours, objective(best), rtol=1e-12)
    rng = np.random.default_rng(0)
    for size in 10.0 ** rng.uniform(-4, 0, size=50):
        assert objective(best + size * rng.normal(size=best.shape)) > objective(best)


def test_more_penalty_leaves_fewer_weights_and_the_largest_none(golden):
    a, b = scaled(golden('convergent_learning'), jnp.float32)
    largest = float(jnp.max(jnp.abs(a.T @ b))) / len(a)
    counts = [
        int((lasso.sparse_prediction(a, b, jnp.float32(x)).weights != 0).sum())
        for x in (0.0, 0.1, 0.3, 0.6, largest * 1.001)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] == 49 and counts[-1] == 0


def test_a_warm_start_arrives_at_the_same_place_sooner(golden):
    a, b = scaled(golden('convergent_learning'), jnp.float32)
    cold = lasso.sparse_prediction(a, b, jnp.float32(0.1))
    warm = lasso.sparse_prediction(a, b, jnp.float32(0.1), cold.weights)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-4)
    assert warm.steps < cold.steps


def test_units_that_are_silent_or_equal_or_absent_do_no_harm():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(30, 4)).astype(np.float32)
    a[:, 1], a[:, 3] = 0.0, a[:, 2]
    a, b = jnp.asarray(a * 1e4), jnp.asarray(a[:, 2:3] * 1e4)
    for rows in (30, 0):
        found = lasso.sparse_prediction(a[:rows], b[:rows], jnp.float32(0.1))
        assert all(np.isfinite(x).all() for x in found) and (found.weights[1] == 0).all()
        assert found.converged
    assert (lasso.unit_scale(a) > 0).tolist() == [True, False, True, True]
    assert (lasso.unit_scale(a[:0]) == 0).all()
    assert (lasso.unit_scale(jnp.full((7, 1), 0.1)) == 0).all()


def test_it_says_when_it_has_not_converged(golden):
    a, b = scaled(golden('convergent_learning'), jnp.float32)
    found = lasso.sparse_prediction(a, b, jnp.float32(0.01), max_steps=1)
    assert not found.converged and found.steps == 1 and found.violation > 1e-5


def test_soft_threshold_is_the_proximal_map_of_the_absolute_value():
    grid = np.linspace(-4, 4, 801)
    for x in (-2.0, -0.3, 0.0, 0.5, 3.0):
        best = grid[np.argmin(0.5 * (grid - x) ** 2 + 0.7 * np.abs(grid))]
        np.testing.assert_allclose(lasso.soft_threshold(jnp.float32(x), 0.7), best, atol=1e-2)


def test_rows_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r'b: expected as many rows as a has \(3\), got 4'):
        lasso.sparse_prediction(jnp.zeros((3, 2)), jnp.zeros((4, 2)), 0.1)
