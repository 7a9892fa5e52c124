"""The search for the k best rows against sorts, golden numbers, and its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import top_k


def grid(seed, q, n, d=4):
    """Small integers: many equal scores, all exact; a query and a row are 0."""
    rng = np.random.default_rng(seed)
    queries, database = (rng.integers(-2, 3, (m, d)).astype(np.float32) for m in (q, n))
    queries[1], database[n // 2] = 0, 0
    return queries, database


def sorted_scores(scores, k):
    indices = np.argsort(-scores, axis=1, kind='stable')[:, :k]
    return np.take_along_axis(scores, indices, axis=1), indices


def squared_distances(queries, database):
    difference = queries[:, None, :].astype(float) - database[None, :, :]
    return np.sum(difference**2, axis=2)


# Groups with and without a rest, one chunk and several with a shorter last one, fewer than k rows
# in the last chunk, and too few rows for groups.
SHAPES = [(300, 300, 3), (300, 131, 3), (205, 100, 7), (40, 9, 20)]


@pytest.mark.parametrize('n, chunk, k', SHAPES)
def test_equal_scores_are_ordered_by_row_across_groups_and_chunks(n, chunk, k):
    queries, database = grid(0, 10, n)
    options = {'chunk_size': chunk, 'query_chunk_size': 4}
    found = top_k.mips_top_k(jnp.asarray(queries), jnp.asarray(database), k, **options)
    values, indices = sorted_scores(queries @ database.T, k)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.indices, indices)
    if chunk == 131:
        found = top_k.l2_top_k(jnp.asarray(queries), jnp.asarray(database), k, **options)
        values, indices = sorted_scores(-squared_distances(queries, database), k)
        np.testing.assert_array_equal(found.values, -values)
        np.testing.assert_array_equal(found.indices, indices)


def test_golden(golden, float64):
    a = {k[5:]: jnp.asarray(v) for k, v in golden('shared_retrieval').items() if k[:5] == 'mips/'}
    k = int(a['k'])
    found = top_k.mips_top_k(a['query'], a['db'], k)
    np.testing.assert_array_equal(found.indices, a['index'])
    np.testing.assert_allclose(found.values, a['value'], rtol=1e-12, atol=1e-12)
    found = top_k.l2_top_k(a['query'], a['db'], k)
    np.testing.assert_array_equal(found.indices, a['l2_index'])
    expected = np.take_along_axis(np.asarray(a['l2']), np.asarray(a['l2_index']), axis=1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-12, atol=1e-12)
    queries, database = top_k.mips_as_l2(a['query'], a['db'])
    np.testing.assert_allclose(database, a['db_augmented'], rtol=1e-12, atol=1e-12)
    distances = squared_distances(np.asarray(queries), np.asarray(database))
    np.testing.assert_allclose(distances, a['aug_l2'], rtol=1e-12)


def test_the_reduction_to_distances_keeps_the_order_of_inner_products():
    rng = np.random.default_rng(1)
    queries, database = (jnp.asarray(rng.normal(size=(m, 5)), jnp.float32) for m in (6, 30))
    expected = top_k.mips_top_k(queries, database, 4).indices
    np.testing.assert_array_equal(
        top_k.l2_top_k(*top_k.mips_as_l2(queries, database), 4).indices, expected
    )


def test_cosine_is_0_with_zero_vectors_and_ignores_lengths():
    rng = np.random.default_rng(2)
    queries, database = (rng.normal(size=(m, 3)).astype(np.float32) for m in (4, 9))
    queries[0], database[4] = 0, 0

    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)

    values, indices = sorted_scores(unit(queries) @ unit(database).T, 5)
    found = top_k.cosine_top_k(jnp.asarray(1e3 * queries), jnp.asarray(database), 5)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.values, values, atol=1e-6)
    assert found.indices[0].tolist() == [0, 1, 2, 3, 4]


def test_distances_of_near_duplicates_far_from_0_are_told_apart():
    offsets = np.arange(20, dtype=np.float32)[::-1] * 2.0**-12
    database = np.concatenate([1000 + offsets[:, None], np.full((20, 1), 1000, np.float32)], axis=1)
    queries = np.full((1, 2), 1000, np.float32)
    found = top_k.l2_top_k(jnp.asarray(queries), jnp.asarray(database), 5)
    assert found.indices[0].tolist() == [19, 18, 17, 16, 15]
    np.testing.assert_allclose(found.values[0], (np.arange(5) * 2.0**-12) ** 2, rtol=1e-6)


@pytest.mark.parametrize('chunk', [131, 1000])
def test_masked_rows_are_not_found_and_missing_ones_are_marked(chunk):
    queries, database = grid(3, 5, 300)
    mask = np.zeros(300, bool)
    mask[[7, 140, 141, 298]] = True
    args = jnp.asarray(queries), jnp.asarray(database), 6
    options = {'mask': jnp.asarray(mask), 'chunk_size': chunk}
    found = top_k.mips_top_k(*args, **options)
    _, indices = sorted_scores(np.where(mask, queries @ database.T, -np.inf), 6)
    np.testing.assert_array_equal(found.indices[:, :4], indices[:, :4])
    assert (found.indices[:, 4:] == -1).all() and (found.values[:, 4:] == -np.inf).all()
    near = top_k.l2_top_k(*args, **options)
    assert set(np.unique(near.indices[:, :4])) == {7, 140, 141, 298}
    assert (near.indices[:, 4:] == -1).all() and (near.values[:, 4:] == np.inf).all()


def test_no_queries_give_no_results_and_half_precision_is_searched_in_float32():
    database = jnp.asarray(grid(4, 2, 40)[1])
    found = top_k.l2_top_k(jnp.zeros((0, 4)), database, 3)
    assert found.values.shape == found.indices.shape == (0, 3)
    found = top_k.mips_top_k(jnp.ones((1, 4), jnp.bfloat16), database.astype(jnp.bfloat16), 3)
    assert found.values.dtype == jnp.float32


def test_memory_holds_a_chunk_of_scores_not_all_of_them():
    shapes = [jax.ShapeDtypeStruct((m, 4), jnp.float32) for m in (2048, 8192)]
    search = functools.partial(top_k.mips_top_k, k=3, chunk_size=1024, query_chunk_size=32)
    program = jax.jit(search).lower(*shapes).compile()
    assert program.memory_analysis().temp_size_in_bytes < 2048 * 8192 * 4 / 20


@pytest.mark.parametrize(
    'k, options, message',
    [
        (0, {}, 'k: expected between 1 and the 5 rows of the database, got 0'),
        (6, {}, 'k: expected between 1 and the 5 rows of the database, got 6'),
        (1, {'chunk_size': 0}, 'expected positive integers, got 0 and 128'),
    ],
)
def test_wrong_arguments_are_named(k, options, message):
    for search in (top_k.mips_top_k, top_k.l2_top_k):
        with pytest.raises(ValueError, match=message):
            search(jnp.ones((2, 3)), jnp.ones((5, 3)), k, **options)
