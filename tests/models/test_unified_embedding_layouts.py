import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

from jaxsep.models import unified_embedding as unified
from jaxsep.ops.hashing import hash_bucket

IDS = np.random.default_rng(0).integers(0, 50, (9, 3)).astype(np.int32)


def test_lookups_are_dealt_and_joined_as_in_the_original_module(golden):
    data = {k.removeprefix('module/'): v for k, v in golden('unified_embedding').items()}
    t, m, d = data['tables'].shape
    layout = unified.multiplexed(data['num_chunks'].tolist(), m, num_tables=t)
    np.testing.assert_array_equal(np.array(layout.offsets) // m, data['chunk_table'])
    rows = data['chunk_bucket'] + np.array(layout.offsets)
    table = jnp.asarray(data['tables'].reshape(t * m, d))
    found = unified.lookup(table, rows, layout.fields)
    for got, name in zip(found, data['feature_names'].tolist(), strict=True):
        np.testing.assert_array_equal(got, data[f'out_{name}'])


def test_lookup_and_its_gradient_agree_with_the_golden_numbers(golden, float64):
    data = {k.removeprefix('lookup/'): v for k, v in golden('unified_embedding').items()}
    rows = hash_bucket(data['ids'], jnp.arange(3)[None, :], 7)
    np.testing.assert_array_equal(rows, data['bucket'])

    @functools.partial(jax.value_and_grad, has_aux=True)
    def read(table):
        found = jnp.stack(unified.lookup(table, rows, (0, 1, 2)), axis=1)
        return jnp.sum(found * data['upstream']), found

    (_, found), gradient = read(jnp.asarray(data['table']))
    np.testing.assert_array_equal(found, data['out'])
    np.testing.assert_allclose(gradient, data['grad_table'], rtol=1e-12, atol=1e-12)


def test_a_unified_lookup_is_one_scikit_learn_hash_per_lookup():
    tables = np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32)
    chunks = (2, 1, 3)
    found = unified.unified_lookup(jnp.asarray(tables), IDS, chunks)
    counter = 0
    for f, number in enumerate(chunks):
        parts = []
        for c in range(number):
            buckets = murmurhash3_32(IDS[:, f], 31 * f + c, positive=True) % 5
            parts.append(tables[counter % 2][buckets])
            counter += 1
        np.testing.assert_array_equal(found[f], np.concatenate(parts, axis=1))


def test_no_value_collides_with_another_where_each_has_a_row():
    sizes, chunks = (4, 3, 5), (1, 2, 1)
    layout = unified.collisionless(sizes, chunks)
    assert layout.num_rows == 4 + 2 * 3 + 5
    ids = np.stack(np.meshgrid(*map(np.arange, sizes)), axis=-1).reshape(-1, 3)
    rows = np.asarray(unified.rows_of(ids, layout))
    seen = collections.defaultdict(set)
    for values, taken in zip(ids, rows, strict=True):
        for lookup, row in enumerate(taken.tolist()):
            seen[row].add((lookup, values[layout.fields[lookup]]))
    assert len(seen) == layout.num_rows and all(len(owners) == 1 for owners in seen.values())


@pytest.mark.parametrize('num_rows', [4, 5, 23, 40, 400])
def test_separate_tables_use_all_rows_in_proportion_and_never_each_others(num_rows):
    sizes = (64, 30, 20, 1)
    layout = unified.separate(sizes, (1,) * 4, num_rows)
    assert sum(layout.sizes) == num_rows == layout.num_rows and min(layout.sizes) >= 1
    shares = np.array(sizes) / sum(sizes) * num_rows
    if shares.min() >= 1:
        assert np.abs(layout.sizes - shares).max() < 1
    ids = np.random.default_rng(0).integers(0, 64, (200, 4))
    rows = np.asarray(unified.rows_of(ids, layout))
    low, size = np.array(layout.offsets), np.array(layout.sizes)
    assert (rows >= low).all() and (rows < low + size).all()
    np.testing.assert_array_equal(low, np.cumsum([0, *layout.sizes[:-1]]))


def test_equal_values_of_different_fields_and_lookups_rarely_share_a_row():
    layout = unified.multiplexed((2, 2), 64)
    ids = np.tile(np.arange(2000)[:, None], 2)
    rows = np.asarray(unified.rows_of(ids, layout))
    for i in range(4):
        for j in range(i):
            # 1 / 64 of 2,000 by chance, 31 +- 6.
            assert 10 < np.sum(rows[:, i] == rows[:, j]) < 60
    other = unified.rows_of(ids, unified.multiplexed((2, 2), 64, hash_seed=1))
    assert 10 < np.sum(rows[:, 0] == np.asarray(other)[:, 0]) < 60


def test_values_outside_their_field_take_the_nearest_row():
    layout = unified.collisionless((3, 2), (1, 1))
    got = unified.rows_of(np.array([[-1, 0], [9, 9]], np.int32), layout)
    np.testing.assert_array_equal(got, [[0, 3], [2, 4]])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='num_rows, num_tables: expected at least 1, got 0 and 1'):
        unified.multiplexed((1,), 0)
    with pytest.raises(ValueError, match='num_rows: expected at least one a lookup, 3, got 2'):
        unified.separate((4, 4), (1, 2), 2)
    with pytest.raises(ValueError, match='num_chunks: expected 1 to 31 for each field'):
        unified.multiplexed((1, 32), 10)
    with pytest.raises(ValueError, match='field_sizes: expected 2 sizes of at least 1'):
        unified.collisionless((4,), (1, 1))
    with pytest.raises(ValueError, match='hash_seed: expected 0 or more, got -1'):
        unified.multiplexed((1,), 4, hash_seed=-1)
    with pytest.raises(ValueError, match='ids: expected 2 fields, got 3'):
        unified.rows_of(IDS, unified.multiplexed((1, 1), 4))
