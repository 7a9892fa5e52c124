import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.fixed_dimensional_encoding import document_encoding, draw, query_encoding
from jaxsep.algorithms.multi_vector_search import (
    ball_carving,
    rerank,
    search,
    single_vector_candidates,
)
from jaxsep.ops.chamfer import chamfer_scores, chamfer_similarity


@pytest.fixture(scope='module')
def data():
    rng = np.random.default_rng(0)
    queries, documents = (
        rng.normal(size=(n, t, 4)).astype(np.float32) for n, t in ((3, 2), (9, 3))
    )
    query_mask = np.array([[True, True], [True, False], [False, False]])
    document_mask = rng.random((9, 3)) < 0.7
    return tuple(map(jnp.asarray, (queries, documents, query_mask, document_mask)))


def heuristic(query, documents, mask, per_vector):
    """Rank by rank, query vector by query vector, each document once."""
    places = [(i, j) for i in range(len(documents)) for j in range(mask.shape[1]) if mask[i, j]]
    lists = []
    for q in query:
        scores = [float(q @ documents[place]) for place in places]
        order = sorted(range(len(places)), key=lambda i, s=scores: (-s[i], i))
        lists.append([places[i][0] for i in order[:per_vector]])
    ordered = [found[rank] for rank in range(per_vector) for found in lists if rank < len(found)]
    return list(dict.fromkeys(ordered))


def test_single_vector_candidates_agree_with_lists(data):
    queries, documents, query_mask, document_mask = data
    found = single_vector_candidates(queries, documents, 5, query_mask, document_mask)
    assert found.shape == (3, 10)
    for i in range(3):
        kept = np.asarray(queries[i])[np.asarray(query_mask[i])]
        expected = heuristic(kept, np.asarray(documents), np.asarray(document_mask), 5)
        assert found[i].tolist() == expected + [-1] * (10 - len(expected))


def test_too_many_results_a_vector_are_refused(data):
    with pytest.raises(ValueError, match='per_vector: expected between 1 and the 27 .* got 28'):
        single_vector_candidates(data[0], data[1], 28)


def test_reranking_all_documents_is_the_exact_search(data):
    queries, documents, query_mask, document_mask = data
    exact = np.asarray(chamfer_scores(queries, documents, query_mask, document_mask))
    candidates = jnp.asarray(np.tile(np.arange(9, dtype=np.int32), (3, 1))).at[:, 8].set(-1)
    found = rerank(queries, documents, candidates, query_mask, document_mask)
    order = np.argsort(-exact[:, :8], axis=1, kind='stable')
    np.testing.assert_array_equal(found.indices[:, :8], order)
    np.testing.assert_allclose(found.values[:, :8], np.take_along_axis(exact, order, 1), rtol=1e-6)
    assert (np.asarray(found.values[:, 8]) == -np.inf).all()
    assert found.indices[:, 8].tolist() == [-1] * 3


def test_search_finds_the_own_set(data):
    documents, mask = data[1], data[3].at[:, 0].set(True)
    documents = documents / jnp.linalg.norm(documents, axis=-1, keepdims=True)
    matrices = draw(jax.random.key(0), 4, num_repetitions=8, num_planes=2)
    encodings = [
        encode(documents, matrices, mask) for encode in (query_encoding, document_encoding)
    ]
    found = search(*encodings, documents, documents, 5, mask, mask)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(9))
    np.testing.assert_allclose(found.values[:, 0], mask.sum(1), rtol=1e-5)


def test_carving_agrees_with_a_greedy_loop_and_never_raises_the_similarity(data):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    mask = np.arange(8) != 2
    groups, left = [], [i for i in range(8) if mask[i]]
    while left:
        first = left[0]
        group = [i for i in left if i == first or x[first] @ x[i] >= 0.3]
        groups.append((first, x[group].sum(0)))
        left = [i for i in left if i not in group]
    carved = ball_carving(jnp.asarray(x).at[2].set(jnp.nan), 0.3, jnp.asarray(mask))
    assert np.flatnonzero(carved.mask).tolist() == [first for first, _ in groups]
    for first, total in groups:
        np.testing.assert_allclose(carved.vectors[first], total, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(carved.vectors)[~np.asarray(carved.mask)], 0.0)
    document = data[1][0][:, :3]
    whole = chamfer_similarity(jnp.asarray(x), document, jnp.asarray(mask))
    assert chamfer_similarity(carved.vectors, document, carved.mask) <= whole + 1e-5


def test_nothing_is_carved_above_the_largest_inner_product():
    x = jnp.eye(3)
    carved = ball_carving(x, 0.5)
    np.testing.assert_array_equal(carved.vectors, x)
    assert carved.mask.all()
