"""Measures for two classes against the golden numbers, scikit-learn, and their laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, roc_auc_score

from jaxsep.metrics import binary


@jax.jit
def measures(scores, labels, mask=None):
    p = jax.nn.sigmoid(scores)
    return {
        'auc': binary.auc(scores, labels, mask),
        'ap': binary.average_precision(scores, labels, mask),
        'logloss': binary.logloss(p, labels, mask),
        'logits': binary.logloss_from_logits(scores, labels, mask),
        'accuracy': binary.accuracy(scores, labels, mask),
    }


def table(seed, n=60):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int32)
    return (rng.normal(size=n) + labels).round(1).astype(np.float32), labels


def test_golden(golden, float64):
    a = {k[4:]: jnp.asarray(v) for k, v in golden('shared_retrieval').items() if k[:4] == 'ctr/'}

    def close(got, want):
        return np.testing.assert_allclose(got, want, rtol=1e-12)

    close(binary.exact_auc(a['prob'], a['label']), a['auc'])
    close(binary.auc(a['prob'], a['label']), a['auc'])
    close(binary.average_precision(a['prob'], a['label']), a['ap_sklearn'])
    close(binary.logloss(a['prob'], a['label']), a['logloss'])
    close(binary.logloss_from_logits(a['logit'], a['label']), a['bce_with_logits'])


def test_all_agree_with_sklearn_where_scores_tie():
    scores, labels = table(0)
    found = measures(jnp.asarray(scores), jnp.asarray(labels))
    expected = roc_auc_score(labels, scores)
    assert binary.exact_auc(scores, labels) == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(found['auc'], expected, rtol=1e-6)
    np.testing.assert_allclose(found['ap'], average_precision_score(labels, scores), rtol=1e-5)
    p = 1 / (1 + np.exp(-scores.astype(float)))
    np.testing.assert_allclose(found['logloss'], log_loss(labels, p), rtol=1e-5)
    np.testing.assert_allclose(found['logits'], log_loss(labels, p), rtol=1e-5)
    np.testing.assert_allclose(found['accuracy'], accuracy_score(labels, scores > 0), rtol=1e-6)


def test_masked_rows_are_as_good_as_removed():
    scores, labels = table(1)
    scores[:3] = np.inf, -np.inf, 50.0
    kept = np.arange(60) > 7
    masked = measures(jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(kept))
    removed = measures(jnp.asarray(scores[kept]), jnp.asarray(labels[kept]))
    for name, value in removed.items():
        np.testing.assert_allclose(masked[name], value, rtol=1e-6, err_msg=name)


def test_auc_depends_on_the_order_only_and_is_reversed_by_the_sign():
    scores, labels = table(2)
    auc = binary.exact_auc(scores, labels)
    assert binary.exact_auc(np.exp(scores), labels) == auc
    assert binary.exact_auc(-scores, labels) == pytest.approx(1 - auc)
    assert binary.exact_auc(np.zeros(60), labels) == 0.5


def test_the_count_of_the_host_is_exact_beyond_float32():
    """2e5 x 2e5 pairs, of which one is wrong."""
    n = 200_000
    scores = np.arange(2 * n)
    labels = (scores >= n).astype(np.int32)
    scores[n - 1], scores[n] = n, n - 1
    assert binary.exact_auc(scores, labels) == (n * n - 1) / (n * n)


def test_infinite_scores_are_ranked_like_any_other():
    scores, labels = np.array([np.inf, 0, np.inf, -np.inf, -np.inf]), np.array([1, 0, 0, 1, 0])
    ranks = np.array([2, 1, 2, 0, 0.0])
    expected = roc_auc_score(labels, ranks)
    assert binary.exact_auc(scores, labels) == pytest.approx(expected)
    found = measures(jnp.asarray(scores, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(found['auc'], expected, rtol=1e-6)
    np.testing.assert_allclose(found['ap'], average_precision_score(labels, ranks), rtol=1e-6)


def test_one_class_or_no_rows_give_0():
    for labels in (jnp.zeros(3, jnp.int32), jnp.ones(3, jnp.int32)):
        assert binary.auc(jnp.arange(3.0), labels) == 0
        assert binary.exact_auc(np.arange(3.0), np.asarray(labels)) == 0
    nothing = measures(jnp.arange(3.0), jnp.array([0, 1, 1]), jnp.zeros(3, bool))
    assert all(value == 0 for value in nothing.values())
    with pytest.raises(ValueError, match='scores: expected numbers, got NaN'):
        binary.exact_auc(np.array([np.nan, 1.0]), np.array([0, 1]))


def test_log_loss_is_finite_at_extreme_logits_and_differentiable(float64):
    labels = jnp.array([1, 0, 1])

    def loss(logits):
        return binary.logloss_from_logits(logits, labels)

    check_grads(loss, (jnp.array([0.3, -1.0, 2.0]),), order=2)
    value, grad = jax.value_and_grad(loss)(jnp.array([-1e4, 1e4, 1e4]))
    np.testing.assert_allclose(value, 2e4 / 3)
    np.testing.assert_allclose(grad, jnp.array([-1, 1, 0]) / 3, atol=1e-12)
    np.testing.assert_allclose(binary.logloss(jnp.array([0.0]), jnp.array([1])), -np.log(1e-6))
