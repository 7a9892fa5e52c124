import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms import class_means
from jaxsep.metrics.incremental import session_accuracies, summary

update, scores = jax.jit(class_means.update), jax.jit(class_means.scores)


def numbers(labels):
    return np.asarray(labels, np.int32)


def test_class_incremental_means_predictions_and_accuracies_agree_with_the_original(golden):
    data = {k.removeprefix('class_incremental/'): v for k, v in golden('nmc').items()}
    meta = json.loads(str(data['meta']))
    state = update(class_means.empty(20, 6), data['train_feat'], numbers(data['train_labels']))
    np.testing.assert_allclose(class_means.means(state), data['class_means'], atol=1e-6)
    near = np.asarray(scores(state, data['test_feat']))
    np.testing.assert_array_equal(near.argmax(1), data['final_pred'])
    sizes = (meta['classes_per_task'],) * meta['tasks']
    found = session_accuracies(near, numbers(data['test_labels']), sizes)
    np.testing.assert_allclose(found.accuracy, data['acc_per_task'], atol=1e-6)
    average = summary(found)['average_incremental_accuracy']
    np.testing.assert_allclose(average, data['avg_incremental'], atol=1e-6)


def test_domain_incremental_sums_accumulate_as_in_the_original(golden):
    data = {k.removeprefix('domain_incremental/'): v for k, v in golden('nmc').items()}
    state, accuracies = class_means.empty(50, 4), []
    ends = np.cumsum(data['session_sizes'])[:-1]
    sessions = zip(
        np.split(data['train_feat'], ends), np.split(data['train_labels'], ends), strict=True
    )
    for features, labels in sessions:
        state = update(state, features, numbers(labels))
        predicted = np.argmax(scores(state, data['test_feat']), axis=1)
        accuracies.append(np.mean(predicted == data['test_labels']))
    np.testing.assert_allclose(class_means.means(state), data['class_means'], atol=1e-6)
    np.testing.assert_array_equal(state.count, data['counts'])
    np.testing.assert_allclose(accuracies, data['acc_per_session'], atol=1e-6)


def rows(seed=0, n=24, d=4, k=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), numbers(rng.integers(k, size=n))


def test_agrees_with_loops_in_float64_for_both_metrics():
    x, y = rows(1)
    state = update(class_means.empty(5, 4), x, y)
    unit = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    centres = np.stack([unit[y == c].mean(0) for c in range(5)])
    want = -np.array([[np.linalg.norm(u - c) for c in centres] for u in unit])
    np.testing.assert_allclose(scores(state, x), want, rtol=1e-5)
    cosine = jax.jit(class_means.scores, static_argnums=2)(state, x, 'cosine')
    directions = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine, unit @ directions.T, rtol=1e-4, atol=1e-6)


def test_neither_order_nor_batches_nor_sessions_matter():
    x, y = rows(2)
    whole = update(class_means.empty(5, 4), x, y)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = update(class_means.empty(5, 4), x[order], y[order])
    halves = [
        update(class_means.empty(5, 4), x[part], y[part]) for part in (order[:12], order[12:])
    ]
    merged = class_means.merge(*halves)
    for other in (shuffled, merged):
        np.testing.assert_allclose(other.sum, whole.sum, atol=1e-6)
        np.testing.assert_array_equal(other.count, whole.count)


def test_classes_that_were_not_seen_are_never_chosen():
    x, y = rows(3)
    state = update(class_means.empty(5, 4), x, np.where(y == 2, -1, y))
    near = np.asarray(scores(state, x))
    assert np.isneginf(near[:, 2]).all() and np.isfinite(np.delete(near, 2, 1)).all()
    assert int(state.count.sum()) == int((y != 2).sum()), 'rows of no class are left out'


def test_the_mean_is_not_scaled_to_unit_norm_and_that_changes_who_is_nearest():
    spread = np.float32([[1, 0.9], [1, -0.9], [0, 1], [0, 1]])
    state = update(class_means.empty(2, 2), spread, numbers([0, 0, 1, 1]))
    query = np.float32([[0.74, 0.67]])
    assert int(np.argmax(scores(state, query))) == 0
    cosine = jax.jit(class_means.scores, static_argnums=2)(state, query, 'cosine')
    assert int(np.argmax(cosine)) == 0
    assert float(jnp.linalg.norm(class_means.means(state)[0])) < 0.75


def test_ties_go_to_the_lower_class_and_zero_rows_are_finite():
    x = np.float32([[1, 0], [1, 0], [0, 0]])
    state = update(class_means.empty(3, 2), x, numbers([1, 0, 2]))
    near = np.asarray(scores(state, x))
    assert near[0].argmax() == 0 and near[2].argmax() == 2 and np.isfinite(near).all()


def test_without_rows_nothing_is_known():
    state = update(class_means.empty(3, 2), np.zeros((0, 2), np.float32), numbers([]))
    assert np.isneginf(scores(state, np.ones((2, 2), np.float32))).all()


def test_another_metric_is_named():
    with pytest.raises(ValueError, match="got 'manhattan'"):
        class_means.scores(class_means.empty(2, 2), jnp.ones((1, 2)), 'manhattan')
