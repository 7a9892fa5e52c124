"""The memory bank against loops, its laws, and its copies on several devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import devices
from jaxsep.ops import memory_bank as banks

update = jax.jit(banks.update_bank)
similarities = jax.jit(banks.bank_similarities)


def random_rows(seed, n, d):
    return np.random.default_rng(seed).normal(size=(n, d))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_loops(bank, index, features, momentum):
    """Every row that the batch names, from the features that name it; in float64."""
    new = bank.copy()
    for row in range(len(bank)):
        mine = [unit(f) for i, f in zip(index, features, strict=True) if i == row]
        if mine:
            new[row] = unit(momentum * bank[row] + (1 - momentum) * sum(mine) / len(mine))
    return new


@pytest.mark.parametrize('momentum', [0.0, 0.5, 0.9])
def test_updates_agree_with_loops_also_for_repeated_and_outside_indices(float64, momentum):
    bank, features = unit(random_rows(0, 9, 4)), 3 * random_rows(1, 7, 4)
    index = np.array([2, 5, 2, 9, -1, 8, 2], np.int32)
    got = update(jnp.asarray(bank), jnp.asarray(index), jnp.asarray(features), momentum)
    want = by_loops(bank, index, features, momentum)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    untouched = [0, 1, 3, 4, 6, 7]
    np.testing.assert_array_equal(got[jnp.array(untouched)], bank[untouched])
    assert np.all(np.abs(want - bank).max(axis=1)[[2, 5, 8]] > 1e-3)


def test_rows_are_unit_vectors_at_the_start_and_after_updates():
    bank = banks.init_bank(jax.random.key(0), 200, 5)
    np.testing.assert_allclose(jnp.linalg.norm(bank, axis=1), 1, rtol=1e-6)
    # Uniform on the sphere: mean 0 and covariance 1/d, within 4 standard errors.
    np.testing.assert_allclose(bank.mean(axis=0), 0, atol=4 / np.sqrt(200 * 5))
    np.testing.assert_allclose(jnp.cov(bank.T) * 5, np.eye(5), atol=0.4)
    moved = update(bank, jnp.arange(6), 1e3 * jnp.asarray(random_rows(2, 6, 5), jnp.float32))
    np.testing.assert_allclose(jnp.linalg.norm(moved, axis=1), 1, rtol=1e-6)
    assert banks.init_bank(jax.random.key(0), 0, 5).shape == (0, 5)


def test_the_order_of_a_batch_does_not_matter_even_with_repeated_indices():
    bank = banks.init_bank(jax.random.key(1), 6, 3)
    index, features = jnp.array([4, 1, 4, 0]), jnp.asarray(random_rows(3, 4, 3), jnp.float32)
    order = jnp.array([2, 3, 0, 1])
    np.testing.assert_allclose(
        update(bank, index[order], features[order]), update(bank, index, features), atol=1e-6
    )


def test_a_row_approaches_a_feature_that_stays_the_same():
    bank, feature = jnp.eye(3), unit(np.array([[1.0, 2.0, 2.0]], np.float32))
    gaps = []
    for _ in range(8):
        gaps.append(float(jnp.linalg.norm(bank[0] - feature[0])))
        bank = update(bank, jnp.array([0]), jnp.asarray(feature))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.02


def test_an_average_of_zero_leaves_the_row():
    bank = jnp.eye(2)
    np.testing.assert_array_equal(update(bank, jnp.array([1]), -bank[1:]), bank)
    np.testing.assert_array_equal(update(bank, jnp.array([0]), jnp.zeros((1, 2))), bank)
    empty = update(bank, jnp.zeros(0, jnp.int32), jnp.zeros((0, 2)))
    np.testing.assert_array_equal(empty, bank)


def test_half_precision_features_keep_the_dtype_of_the_bank():
    bank = banks.init_bank(jax.random.key(2), 4, 3)
    features = jnp.asarray(random_rows(4, 2, 3), jnp.bfloat16)
    moved = update(bank, jnp.array([0, 3]), features)
    assert moved.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(moved, axis=1), 1, rtol=1e-6)


def test_no_gradient_flows_through_the_bank():
    bank, index = banks.init_bank(jax.random.key(3), 4, 3), jnp.array([1, 2])
    features = jnp.asarray(random_rows(5, 2, 3), jnp.float32)

    def total(bank, features):
        updated = banks.update_bank(bank, index, features)
        read, _ = banks.bank_similarities(jnp.ones((2, 3)), bank, index, jnp.array([0]))
        return jnp.sum(updated * jnp.arange(3.0)[None, :]) + jnp.sum(read)

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(bank, features):
        np.testing.assert_array_equal(gradient, 0)


def test_similarities_and_negatives_agree_with_loops(float64):
    bank, features = unit(random_rows(6, 8, 3)), random_rows(7, 3, 3)
    index, drawn = [4, 0, 7], [7, 1, 4, 2]
    got, negative = similarities(*map(jnp.asarray, (features, bank, index, drawn)))
    assert got.shape == negative.shape == (3, 7)
    for i in range(3):
        for column, row in enumerate(index + drawn):
            cosine = unit(features[i]) @ bank[row]
            np.testing.assert_allclose(got[i, column], cosine, rtol=1e-12)
            assert negative[i, column] == (column >= 3 and row != index[i])


def test_a_row_outside_the_bank_is_nan_for_all_who_look_at_it():
    bank = jnp.eye(3)
    for outside in (3, -1):
        got, _ = similarities(bank[:2], bank, jnp.array([0, outside]), jnp.array([2]))
        np.testing.assert_array_equal(np.isnan(got), [[False, True, False]] * 2)


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw(seed, num_samples, num_negatives):
    return banks.sample_negatives(jax.random.key(seed), num_samples, num_negatives)


def test_negatives_are_drawn_without_replacement_and_every_row_equally_often():
    draws = np.stack([draw(seed, 10, 4) for seed in range(300)])
    assert draws.shape == (300, 4) and draws.dtype == np.int32
    assert all(len(set(row)) == 4 for row in draws.tolist())
    counts = np.bincount(draws.ravel(), minlength=10)
    # 300 draws of probability 0.4 each: 120 with a standard deviation of 8.5.
    assert counts.shape == (10,) and np.abs(counts - 120).max() < 4 * 8.5
    np.testing.assert_array_equal(draw(7, 10, 4), draws[7])
    assert sorted(draw(0, 10, 10).tolist()) == draw(0, 10, 0).tolist() == list(range(10))


def test_more_negatives_than_rows_are_refused():
    for wrong in (11, -1):
        with pytest.raises(ValueError, match=f'num_negatives: .* the 10 rows .* got {wrong}'):
            banks.sample_negatives(jax.random.key(0), 10, wrong)


def test_banks_on_eight_devices_are_those_of_one():
    bank = banks.init_bank(jax.random.key(4), 20, 3)
    index = jnp.array([3, 19, 0, 7, 3, 11, 20, 5, 1, 2, 3, 12, 13, 14, 15, 16])
    features = jnp.asarray(random_rows(7, 16, 3), jnp.float32)

    def shard(index, features):
        rows = devices.gather(features, 'devices')
        return banks.update_bank(bank, devices.gather(index, 'devices'), rows)

    banks_of_devices = jax.pmap(shard, axis_name='devices')(
        index.reshape(8, 2), features.reshape(8, 2, 3)
    )
    for copy in banks_of_devices:
        np.testing.assert_allclose(copy, update(bank, index, features), atol=1e-6)
        np.testing.assert_array_equal(copy, banks_of_devices[0])
