"""Linear probes against goldens, scikit-learn and the conditions of the minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from jaxsep.metrics.probes import logistic_probe, probe_logits, ridge_probe


@pytest.mark.parametrize('precision', ['float32', 'float64'])
def test_logistic_probe_equals_the_golden_solution(golden, precision):
    arrays = {name[2:]: value for name, value in golden('separability_metrics').items()}
    # The minimum is flat: in float32 the weights agree to 1e-3 of the largest, as the card says.
    tolerance = 1e-3 if precision == 'float32' else 1e-5
    with jax.enable_x64(precision == 'float64'):
        train, test = (jnp.asarray(arrays[f'X_{s}'], precision) for s in ('train', 'test'))
        weights, bias = logistic_probe(train, jnp.asarray(arrays['y_train']), 5)
        logits = probe_logits(test, weights, bias)
        assert logits.dtype == precision
        of_train = probe_logits(train, weights, bias)
    losses = -scipy.special.log_softmax(np.asarray(of_train), axis=-1)
    probabilities = scipy.special.softmax(np.asarray(logits), axis=-1)
    weights, bias = (np.asarray(a) for a in (weights, bias))
    objective = 0.5 * np.sum(weights**2) + losses[np.arange(38), arrays['y_train']].sum()
    expected = arrays['logreg_C1_W']
    scale = np.abs(expected).max()
    np.testing.assert_allclose(weights, expected, tolerance, tolerance * scale)
    np.testing.assert_allclose(
        bias - bias.mean(), arrays['logreg_C1_b'], rtol=tolerance, atol=10 * tolerance
    )
    np.testing.assert_allclose(probabilities, arrays['logreg_C1_proba'], atol=tolerance)
    np.testing.assert_allclose(objective, arrays['logreg_C1_objective'], rtol=1e-5)
    assert np.mean(np.asarray(logits).argmax(-1) == arrays['y_test']) == arrays['logreg_C1_acc']


@pytest.mark.parametrize('precision', ['float32', 'float64'])
def test_ridge_probe_equals_the_golden_solution(golden, precision):
    arrays = {name[2:]: value for name, value in golden('separability_metrics').items()}
    with jax.enable_x64(precision == 'float64'):
        train, test = (jnp.asarray(arrays[f'X_{s}'], precision) for s in ('train', 'test'))
        logits = probe_logits(test, *ridge_probe(train, jnp.asarray(arrays['y_train']), 5))
    tolerance = 1e-4 if precision == 'float32' else 1e-9
    np.testing.assert_allclose(logits, arrays['ridge_decision'], tolerance, tolerance)
    assert np.mean(np.asarray(logits).argmax(-1) == arrays['y_test']) == arrays['ridge_acc']


K = 6  # classes 4 and 5 have no points


def points(seed=0, n=60, d=5, k=4, offset=0.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % k).astype(np.int32)
    return rng.normal(size=(n, d)) + rng.normal(size=(k, d))[labels] + offset, labels


@pytest.mark.parametrize('strength', [0.01, 1.0, 100.0])
def test_logistic_probabilities_agree_with_sklearn(float64, strength):
    x, labels = points()
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-10).fit(x, labels)
    probe = logistic_probe(jnp.asarray(x), jnp.asarray(labels), K, strength)
    logits = np.asarray(probe_logits(jnp.asarray(x), *probe))
    probabilities = scipy.special.softmax(logits, axis=-1)[:, :4]
    np.testing.assert_allclose(probabilities, reference.predict_proba(x), atol=1e-6)


def test_gradient_of_the_objective_vanishes_at_the_logistic_probe(float64):
    x, labels = points(1)
    weights, bias = (
        np.asarray(a) for a in logistic_probe(jnp.asarray(x), jnp.asarray(labels), K, 1.0)
    )
    logits = x @ weights.T + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    errors = odds / odds.sum(1, keepdims=True) - np.eye(K)[labels]
    np.testing.assert_allclose(weights + errors.T @ x, 0, atol=1e-6)
    np.testing.assert_allclose(errors.sum(0), 0, atol=1e-6)


def test_a_far_away_mean_does_not_slow_the_logistic_probe():
    x, labels = points(2)
    near, far = (
        logistic_probe(jnp.asarray(x + offset, jnp.float32), jnp.asarray(labels), K, 1.0)[0]
        for offset in (0.0, 1000.0)
    )
    # Adding 1000 to float32 points costs them 3 of their 7 digits.
    np.testing.assert_allclose(far, near, atol=2e-3)


def test_ridge_decisions_agree_with_sklearn(float64):
    x, labels = points(3, offset=5.0)
    reference = RidgeClassifier(alpha=2.0).fit(x, labels)
    logits = probe_logits(
        jnp.asarray(x), *ridge_probe(jnp.asarray(x), jnp.asarray(labels), K, 2.0)
    )[:, :4]
    np.testing.assert_allclose(logits, reference.decision_function(x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('probe', [logistic_probe, ridge_probe])
def test_a_class_without_points_is_never_predicted_and_changes_nothing(float64, probe):
    x, labels = points(4)
    x, moved = jnp.asarray(x), np.where(labels == 3, 5, labels)
    plain, renamed = (
        np.asarray(probe_logits(x, *probe(x, jnp.asarray(y), K, 1.0))) for y in (labels, moved)
    )
    assert (plain[:, 4:] == -jnp.inf).all() and (renamed[:, 3:5] == -jnp.inf).all()
    np.testing.assert_allclose(
        scipy.special.softmax(renamed[:, [0, 1, 2, 5]], axis=-1),
        scipy.special.softmax(plain[:, :4], axis=-1),
        atol=1e-7,
    )


@pytest.mark.parametrize('probe', [logistic_probe, ridge_probe])
def test_constant_points_give_the_class_frequencies(probe):
    x = jnp.full((60, 5), 0.1)
    labels = jnp.asarray(np.arange(60, dtype=np.int32) % 4 // 3)  # 45 of class 0, 15 of class 1
    weights, bias = probe(x, labels, K, 1.0)
    np.testing.assert_allclose(weights, 0, atol=1e-7)
    logits = np.asarray(probe_logits(x, weights, bias))
    if probe is logistic_probe:
        shares = scipy.special.softmax(logits, axis=-1)
        np.testing.assert_allclose(shares[0, :2], [0.75, 0.25], atol=1e-5)
    else:
        np.testing.assert_allclose(logits[0, :2], [0.5, -0.5], atol=1e-6)


def test_separable_points_and_a_weak_penalty_stay_finite():
    labels = np.arange(60, dtype=np.int32) % 5
    x = jnp.asarray(1e4 * np.eye(5, dtype=np.float32)[labels])
    weights, bias = logistic_probe(x, jnp.asarray(labels), K, 1e6)
    assert np.isfinite(weights).all() and np.isfinite(np.asarray(bias)[:5]).all()
    found = np.argmax(np.asarray(probe_logits(x, weights, bias)), axis=-1)
    np.testing.assert_array_equal(found, labels)


def test_large_features_that_depend_on_one_another_have_a_solution():
    rng = np.random.default_rng(13)
    x = rng.normal(size=(20, 2)).astype(np.float32)
    x = jnp.asarray(np.concatenate([x, x, x], axis=1))
    labels = jnp.asarray((x[:, 0] > 0).astype(np.int32))
    for scale in (1e4, 1e9, 1e28):
        fitted = ridge_probe(x * scale, labels, 2)
        assert all(np.isfinite(part).all() for part in fitted)
        found = np.argmax(probe_logits(x * scale, *fitted), axis=1)
        assert np.mean(found == labels) > 0.9
