import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.linear_svm import linear_svm_ovr, svm_scores

RNG = np.random.default_rng(0)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def objective(w, b, x, sides, c):
    missing = np.maximum(0, 1 - sides * (x @ w + b))
    return 0.5 * (w @ w + b * b) + c * np.sum(missing**2)


def gradient(w, b, x, sides, c):
    missing = np.maximum(0, 1 - sides * (x @ w + b))
    return np.append(w - 2 * c * (missing * sides) @ x, b - 2 * c * np.sum(missing * sides))


def test_it_is_the_svm_of_liblinear(golden):
    g = golden('off_the_shelf')
    svm = linear_svm_ovr(jnp.asarray(unit(g['X']), jnp.float32), jnp.asarray(g['y']), 3)
    # LIBLINEAR itself stops at a tolerance.
    np.testing.assert_allclose(svm.weights, g['svm/W'], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(svm.bias, g['svm/b'], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(svm.objective, g['svm/objective'], rtol=1e-5)
    assert svm.converged.all()
    scores = svm_scores(svm, jnp.asarray(unit(g['X_new']), jnp.float32))
    np.testing.assert_allclose(scores, g['svm/scores_new'], rtol=1e-4, atol=1e-4)
    views = jnp.asarray(unit(g['aug/views']), jnp.float32)
    summed = svm_scores(svm, views).sum(1)
    np.testing.assert_allclose(summed, g['aug/summed_scores'], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('c', [0.01, 1.0, 100.0])
@pytest.mark.parametrize(('n', 'd'), [(30, 6), (12, 40)])
def test_the_gradient_of_the_objective_vanishes(n, d, c, float64):
    x, labels = RNG.normal(size=(n, d)) + 2.0, RNG.integers(0, 3, n)
    svm = linear_svm_ovr(jnp.asarray(x), jnp.asarray(labels), 3, c)
    assert svm.converged.all()
    for k in range(3):
        sides = np.where(labels == k, 1.0, -1.0)
        w, b = np.asarray(svm.weights[k]), float(svm.bias[k])
        np.testing.assert_allclose(svm.objective[k], objective(w, b, x, sides, c), rtol=1e-9)
        size = np.abs(gradient(np.zeros(d), 0.0, x, sides, c)).max()
        np.testing.assert_allclose(gradient(w, b, x, sides, c) / size, 0, atol=1e-9)


def test_rows_may_come_in_any_order_and_be_more_or_fewer_than_features():
    x, labels = RNG.normal(size=(9, 20)).astype(np.float32), np.arange(9) % 3
    wide = linear_svm_ovr(jnp.asarray(x), jnp.asarray(labels), 3)
    order = RNG.permutation(9)
    other = linear_svm_ovr(jnp.asarray(x[order]), jnp.asarray(labels[order]), 3)
    np.testing.assert_allclose(other.weights, wide.weights, rtol=1e-4, atol=1e-5)
    # Rows that are there twice count as twice C, and are more than features.
    twice = np.concatenate([x, x, x])
    tall = linear_svm_ovr(jnp.asarray(twice), jnp.asarray(np.tile(labels, 3)), 3, 1 / 3)
    np.testing.assert_allclose(tall.weights, wide.weights, rtol=1e-3, atol=1e-4)


def test_missing_classes_and_no_rows_are_no_harm():
    x = jnp.asarray(RNG.normal(size=(8, 3)), jnp.float32)
    svm = linear_svm_ovr(x, jnp.zeros(8, jnp.int32), 2)
    sides = -np.ones(8)
    found = gradient(np.asarray(svm.weights[1]), float(svm.bias[1]), np.asarray(x), sides, 1.0)
    np.testing.assert_allclose(found, 0, atol=1e-4)
    assert svm.bias[1] < -0.5
    empty = linear_svm_ovr(x[:0], jnp.zeros(0, jnp.int32), 2)
    assert not empty.weights.any() and not empty.bias.any() and empty.converged.all()
    extreme = linear_svm_ovr(x * 1e4, jnp.arange(8) % 2, 2)
    same = linear_svm_ovr(jnp.ones((8, 3)), jnp.arange(8) % 2, 2)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((extreme, same)))
    # Equal rows of either side: nothing tells them apart.
    np.testing.assert_allclose(svm_scores(same, jnp.ones((1, 3))), 0, atol=1e-5)


def test_less_than_a_class_is_refused():
    with pytest.raises(ValueError, match='num_classes: expected at least 1, got 0'):
        linear_svm_ovr(jnp.ones((2, 2)), jnp.zeros(2, jnp.int32), 0)
