"""Recall and average precision against sorting loops and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jaxsep.metrics.retrieval import mean_average_precision, recall_across_groups, recall_at_k


def points(seed, n, d=4, k=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n).astype(np.int32)
    x = rng.normal(size=(n, d)) + 0.5 * np.eye(k, d)[labels]
    return x.astype(np.float32), labels


def loop(queries, query_labels, gallery, gallery_labels, ks, exclude_self=False):
    """Recalls and mean average precision from one sorted list per query."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    hits, precisions = [], []
    for i, query in enumerate(queries):
        items = [j for j in range(len(gallery)) if not (exclude_self and i == j)]
        items.sort(key=lambda j: (-(gallery[j] @ query), j))
        right = [bool(gallery_labels[j] == query_labels[i]) for j in items]
        if any(right):
            hits.append([any(right[:k]) for k in ks])
            ranks = [r + 1 for r, hit in enumerate(right) if hit]
            precisions.append(np.mean([(m + 1) / r for m, r in enumerate(ranks)]))
    return np.mean(hits, axis=0), np.mean(precisions)


@pytest.mark.parametrize('exclude_self', [False, True])
def test_recall_and_precision_equal_the_sorted_lists(exclude_self):
    gallery, gallery_labels = points(0, 23)
    queries, query_labels = (gallery, gallery_labels) if exclude_self else points(1, 9)
    if not exclude_self:
        query_labels[0] = 99  # no right answer: left out
    ks = (1, 2, 5, 40)
    arrays = [jnp.asarray(a) for a in (queries, query_labels, gallery, gallery_labels)]
    recalls, precision = loop(queries, query_labels, gallery, gallery_labels, ks, exclude_self)
    for chunk_size in (4, 100):
        got = recall_at_k(*arrays, ks, exclude_self, chunk_size)
        np.testing.assert_allclose(got, recalls, rtol=1e-6)
    np.testing.assert_allclose(
        mean_average_precision(*arrays, exclude_self, 4), precision, rtol=1e-5
    )


def test_average_precision_agrees_with_sklearn():
    gallery, labels = points(2, 40)
    query = np.ones((1, 4), np.float32)
    scores = gallery @ query[0] / np.linalg.norm(gallery, axis=1)
    got = mean_average_precision(*map(jnp.asarray, (query, labels[:1], gallery, labels)))
    np.testing.assert_allclose(got, average_precision_score(labels == labels[0], scores), 1e-5)


def test_recall_across_groups_equals_each_pair_alone():
    x, labels = points(3, 30)
    groups = np.arange(30) % 3
    labels[groups == 1] = np.where(labels[groups == 1] == 0, 77, labels[groups == 1])
    pairs, counts = recall_across_groups(*map(jnp.asarray, (x, labels, groups)), 4, (1, 3), 7)
    for a in range(3):
        for b in range(3):
            own, other = groups == a, groups == b
            expected, _ = loop(x[own], labels[own], x[other], labels[other], (1, 3), a == b)
            np.testing.assert_allclose(pairs[a, b], expected, rtol=1e-6)
            if a != b:
                assert counts[a, b] == np.isin(labels[own], labels[other]).sum()
    assert (pairs[3] == 0).all() and (pairs[:, 3] == 0).all() and (counts[3] == 0).all()


def test_equal_similarities_are_ranked_by_index():
    gallery, labels = jnp.ones((4, 2)), jnp.array([3, 1, 2, 1])
    queries, ks = jnp.ones((3, 2)), (1, 2, 3)
    recalls = recall_at_k(queries, jnp.array([3, 1, 2]), gallery, labels, ks)
    np.testing.assert_allclose(recalls, [1 / 3, 2 / 3, 1.0], rtol=1e-6)
    precision = mean_average_precision(queries[:1], jnp.array([1]), gallery, labels)
    np.testing.assert_allclose(precision, (1 / 2 + 2 / 4) / 2, rtol=1e-6)


def test_without_any_right_answer_the_values_are_zero():
    x, labels = points(4, 5)
    arrays = jnp.asarray(x), jnp.asarray(labels), jnp.asarray(x), jnp.asarray(labels) + 100
    assert recall_at_k(*arrays, (1, 5)).tolist() == [0, 0]
    assert mean_average_precision(*arrays) == 0


def test_perfect_embeddings_have_recall_and_precision_one():
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    x = jnp.eye(3)[labels] * jnp.arange(1.0, 7.0)[:, None]
    assert recall_at_k(x, labels, x, labels, (1,), exclude_self=True) == 1
    np.testing.assert_allclose(mean_average_precision(x, labels, x, labels, True), 1, rtol=1e-6)


@pytest.mark.parametrize('ks', [(), (0,), (1, -2)])
def test_wrong_ks_are_named(ks):
    x, labels = points(5, 4)
    with pytest.raises(ValueError, match='ks must hold at least one positive integer'):
        recall_at_k(jnp.asarray(x), jnp.asarray(labels), jnp.asarray(x), jnp.asarray(labels), ks)


def test_excluding_self_needs_the_same_points():
    x, labels = map(jnp.asarray, points(6, 4))
    with pytest.raises(ValueError, match='3 queries and 4 items'):
        recall_at_k(x[:3], labels[:3], x, labels, (1,), exclude_self=True)
