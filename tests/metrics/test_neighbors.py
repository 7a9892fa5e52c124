"""Neighbour search and votes against goldens, scikit-learn and exhaustive loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxsep.metrics import neighbors

# Compiled: one program a call in place of one an operation.
knn_predict = jax.jit(neighbors.knn_predict, static_argnames=('k', 'num_classes', 'metric'))
thornton = jax.jit(neighbors.thornton)
neighbor_purity = jax.jit(neighbors.neighbor_purity, static_argnames=('ks', 'metric'))
OPTIONS = ('k', 'num_classes', 'temperature')
weighted_knn_scores = jax.jit(neighbors.weighted_knn_scores, static_argnames=OPTIONS)
weighted_knn_log_scores = jax.jit(neighbors.weighted_knn_log_scores, static_argnames=OPTIONS)


def blobs(seed=0, n=60, d=5, k=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n).astype(np.int32)
    x = rng.normal(size=(n, d)) + rng.normal(size=(k, d))[labels]
    return x.astype(np.float32), labels


@jax.jit
def left_out_accuracies(x, labels):
    """By k and metric, in one program."""
    return {
        f'loo_knn{k}_{metric}': neighbors.leave_one_out_knn(x, labels, k, 5, metric)
        for k in (1, 5)
        for metric in neighbors.METRICS
    }


@pytest.mark.parametrize('case, precision', [('A_digits', 'float64'), ('A_toy', 'float32')])
def test_leave_one_out_accuracies_equal_their_golden_values(golden, case, precision):
    arrays = golden('separability_metrics')
    with jax.enable_x64(precision == 'float64'):
        x = jnp.asarray(arrays[f'{case}/X'], precision)
        labels = jnp.asarray(arrays[f'{case}/y'])
        for name, value in left_out_accuracies(x, labels).items():
            np.testing.assert_allclose(value, arrays[f'{case}/{name}'], 1e-6, err_msg=name)
        np.testing.assert_allclose(thornton(x, labels), arrays[f'{case}/thornton'], rtol=1e-6)


def test_train_to_test_votes_equal_their_golden_values(golden):
    arrays = {name[2:]: value for name, value in golden('separability_metrics').items()}
    train, test = jnp.asarray(arrays['X_train']), jnp.asarray(arrays['X_test'])
    labels = jnp.asarray(arrays['y_train'])
    for k in (1, 5):
        predicted = knn_predict(train, labels, test, k, 5)
        accuracy = np.mean(np.asarray(predicted) == arrays['y_test'])
        assert accuracy == arrays[f'knn{k}_acc']
    scores = np.asarray(weighted_knn_scores(train, labels, test, 8, 5, 0.07))
    expected = arrays['weighted_knn8_T0.07_scores']
    # exp(cos / 0.07) multiplies the rounding of the cosine by 14.
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    accuracy = np.mean(np.argmax(scores, -1) == arrays['y_test'])
    assert accuracy == arrays['weighted_knn8_acc']


def loop_nearest(queries, keys, k, metric, exclude_self):
    values, indices = [], []
    for i, query in enumerate(queries.astype(np.float64)):
        found = []
        for j, key in enumerate(keys.astype(np.float64)):
            if metric == 'cosine':
                norms = np.linalg.norm(query) * np.linalg.norm(key)
                distance = 1 - (query @ key / norms if norms else 0.0)
            else:
                distance = np.linalg.norm(query - key)
            if not (exclude_self and i == j):
                found.append((distance, j))
        found.sort()
        values.append([distance for distance, _ in found[:k]])
        indices.append([j for _, j in found[:k]])
    return np.array(values), np.array(indices)


@pytest.mark.parametrize('metric', neighbors.METRICS)
@pytest.mark.parametrize('exclude_self', [False, True])
def test_nearest_equals_an_exhaustive_search_whatever_the_chunks(metric, exclude_self):
    keys, _ = blobs(1, n=37)
    keys[3] = 0.0
    queries = keys if exclude_self else blobs(2, n=11)[0]
    expected = loop_nearest(queries, keys, 4, metric, exclude_self)
    for chunk_size in (5, 64):
        values, indices = neighbors.nearest(
            jnp.asarray(queries), jnp.asarray(keys), 4, metric, exclude_self, chunk_size
        )
        if metric == 'euclidean':  # the zero vector ties with all others in cosine distance
            np.testing.assert_array_equal(indices, expected[1])
        else:
            usable = np.any(queries != 0, axis=-1)
            np.testing.assert_array_equal(np.asarray(indices)[usable], expected[1][usable])
        np.testing.assert_allclose(values, expected[0], rtol=1e-5, atol=1e-6)


def test_equal_distances_are_ordered_by_index():
    x = np.zeros((20, 3), np.float32)
    values, indices = jax.device_get(neighbors.nearest(x, x, 3, exclude_self=True))
    assert indices[0].tolist() == [1, 2, 3] and indices[2].tolist() == [0, 1, 3]
    assert indices[19].tolist() == [0, 1, 2]
    assert (values == 0).all()
    line = np.array([[0.0], [1.0], [-1.0], [2.0], [-2.0]], np.float32)
    _, indices = neighbors.nearest(line[:1], line, 5)
    assert indices.tolist() == [[0, 1, 2, 3, 4]]


def test_near_duplicates_far_from_the_middle_are_told_apart_in_float32():
    offsets = np.array([0.0, 4e-4, 1e-4, 3e-4, 2e-4], np.float32)
    x = np.full((6, 2), -100.0, np.float32)
    x[:5, 0], x[:5, 1] = 1.0 + offsets, 2.0
    values, indices = jax.device_get(neighbors.nearest(x[:1], x, 5))
    assert indices[0].tolist() == [0, 2, 4, 3, 1]
    exact = np.sort(np.abs(x[:5, 0].astype(np.float64) - float(x[0, 0])))
    np.testing.assert_allclose(values[0], exact, rtol=1e-6)


def test_majority_vote_gives_ties_to_the_smallest_label():
    votes = jnp.array([[2, 1, 1, 2], [5, 0, 0, 3], [4, 3, 2, 1], [7, 7, 7, 7]])
    assert neighbors.majority_vote(votes, 8).tolist() == [1, 0, 1, 7]


@pytest.mark.parametrize('k', [1, 4, 7])
@pytest.mark.parametrize('metric', neighbors.METRICS)
def test_predictions_agree_with_sklearn(k, metric):
    (train, labels), (test, _) = blobs(3, n=80), blobs(4, n=40)
    reference = KNeighborsClassifier(k, metric=metric, algorithm='brute').fit(train, labels)
    predicted = knn_predict(
        jnp.asarray(train), jnp.asarray(labels), jnp.asarray(test), k, 4, metric
    )
    np.testing.assert_array_equal(predicted, reference.predict(test))


def test_purity_counts_the_same_labels_among_the_neighbours():
    x, labels = blobs(5, n=30)
    ks = (1, 3, 10, 29)
    _, indices = loop_nearest(x, x, 29, 'euclidean', True)
    expected = [np.mean(labels[indices[:, :k]] == labels[:, None]) for k in ks]
    purity = np.asarray(neighbor_purity(x, labels, ks))
    np.testing.assert_allclose(purity, expected, rtol=1e-6)
    counts = np.bincount(labels)
    np.testing.assert_allclose(purity[-1], np.sum(counts * (counts - 1)) / (30 * 29), rtol=1e-6)


def test_weighted_scores_are_sums_of_exponentials_and_zero_for_unseen_classes():
    train, labels = blobs(6, n=12)
    test, _ = blobs(7, n=5)
    distances, indices = loop_nearest(test, train, 4, 'cosine', False)
    expected = np.zeros((5, 6))
    for i in range(5):
        for distance, j in zip(distances[i], indices[i], strict=True):
            expected[i, labels[j]] += np.exp((1 - distance) / 0.2)
    args = jnp.asarray(train), jnp.asarray(labels), jnp.asarray(test), 4, 6
    scores = np.asarray(weighted_knn_scores(*args, 0.2))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert (scores[:, 4:] == 0).all()


def test_log_scores_stay_finite_at_a_temperature_where_scores_overflow():
    train, labels = blobs(8, n=12)
    args = jnp.asarray(train), jnp.asarray(labels), jnp.asarray(train), 1, 4
    scores = np.asarray(weighted_knn_log_scores(*args, 1e-3))
    np.testing.assert_array_equal(scores.argmax(-1), labels)
    np.testing.assert_allclose(scores.max(-1), 1000.0, rtol=1e-5)


def test_collapsed_embeddings_give_finite_values():
    x, labels = np.zeros((6, 2), np.float32), np.array([0, 0, 0, 1, 1, 1])
    for metric in neighbors.METRICS:
        values, _ = neighbors.nearest(x, x, 2, metric, exclude_self=True)
        assert (np.asarray(values) == (1.0 if metric == 'cosine' else 0.0)).all()
    assert thornton(x, labels) == 0.5


@pytest.mark.parametrize(
    'options, message',
    [
        ({'k': 0}, 'between 1 and the 4 keys available, got 0'),
        ({'k': 5}, 'between 1 and the 4 keys available, got 5'),
        ({'k': 1, 'metric': 'dot'}, "got 'dot'"),
        ({'k': 1, 'exclude_self': True}, '2 queries and 4 keys'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        neighbors.nearest(jnp.ones((2, 3)), jnp.ones((4, 3)), **options)
    with pytest.raises(ValueError, match='ks'):
        neighbor_purity(jnp.ones((4, 3)), jnp.arange(4), ())


@pytest.mark.parametrize('exponent', [-90, 90])
def test_neighbours_are_found_at_any_scale(exponent):
    x = jnp.asarray(np.random.default_rng(5).normal(size=(20, 3)), jnp.float32)
    distances, indices = neighbors.nearest(x, x, 3, exclude_self=True)
    scaled, same = neighbors.nearest(x * 2.0**exponent, x * 2.0**exponent, 3, exclude_self=True)
    np.testing.assert_array_equal(indices, same)
    np.testing.assert_array_equal(distances * 2.0**exponent, scaled)
