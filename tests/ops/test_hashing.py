import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.utils import murmurhash3_32

from jaxsep.ops import hashing

EDGES = np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int32)
KEYS = np.concatenate([EDGES, np.random.default_rng(0).integers(-(2**31), 2**31, 59)])
KEYS = KEYS.astype(np.int32)
SEEDS = np.array([0, 1, 31, 2**31, 2**32 - 1], np.uint32)


@jax.jit
def hashes(keys, seeds):
    """Hash and bucket of every key under every seed."""
    keys, seeds = keys[:, None], seeds[None, :]
    return hashing.murmur3(keys, seeds), hashing.hash_bucket(keys, seeds, 1000)


def test_murmur_agrees_with_scikit_learn_bit_by_bit():
    got, buckets = hashes(KEYS, SEEDS)
    want = np.stack([murmurhash3_32(KEYS, int(s), positive=True) for s in SEEDS], axis=1)
    assert got.dtype == jnp.uint32 and buckets.dtype == jnp.int32
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(buckets, want % 1000)


def test_murmur_agrees_with_the_golden_numbers(golden):
    data = golden('unified_embedding')
    got, buckets = hashes(data['murmur3/keys'], data['murmur3/seeds'].astype(np.uint32))
    np.testing.assert_array_equal(got, data['murmur3/hash'])
    np.testing.assert_array_equal(buckets, data['murmur3/bucket1000'])
    np.testing.assert_array_equal(
        hashing.hash_bucket(data['murmur3/keys'], 12345, 17), data['murmur3/bucket17'][:, 4]
    )
    shared = golden('shared_retrieval')
    for seed in (0, 1, 99):
        got = hashing.murmur3(shared['hash/keys'], seed)
        np.testing.assert_array_equal(got, shared[f'hash/murmur3_seed{seed}'])


def test_a_bucket_is_the_same_for_any_shape_and_width_of_the_keys_and_seeds_wrap_around():
    row = hashing.hash_bucket(np.arange(6, dtype=np.int8), 3, 11)
    square = hashing.hash_bucket(np.arange(6, dtype=np.int32).reshape(2, 3), 3 + 2**32, 11)
    np.testing.assert_array_equal(row.reshape(2, 3), square)
    assert hashing.hash_bucket(np.zeros((0, 3), np.int32), 0, 5).shape == (0, 3)


def test_the_number_of_buckets_may_differ_along_an_axis():
    keys, sizes = np.tile(KEYS[:, None], 3), np.array([[1, 7, 2**31 - 1]])
    got = np.asarray(hashing.hash_bucket(keys, 5, sizes))
    assert (got[:, 0] == 0).all() and got.min() >= 0 and (got < sizes).all()
    np.testing.assert_array_equal(got[:, 1], hashing.hash_bucket(KEYS, 5, 7))


def test_buckets_are_uniform_and_independent_between_seeds():
    keys = np.arange(1600, dtype=np.int32)
    first, second = (np.asarray(hashing.hash_bucket(keys, seed, 8)) for seed in (0, 31))
    assert chisquare(np.bincount(first, minlength=8)).pvalue > 1e-3
    assert chisquare(np.bincount(8 * first + second, minlength=64)).pvalue > 1e-3


def test_siphash_has_the_values_of_its_reference():
    key = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    published = {0: 0x726FDB47DD0E0E31, 1: 0x74F839C593DC67FD, 8: 0x93F5F5799A932462}
    for length, value in published.items():
        assert hashing.siphash24(bytes(range(length)), key) == value


def test_decimal_buckets_agree_with_the_original_module(golden):
    data = golden('unified_embedding')
    fields = np.repeat(np.arange(4), data['module/num_chunks'])
    for lookup, salt in enumerate(data['module/chunk_salt']):
        got = hashing.decimal_bucket(
            data['module/ids'][:, fields[lookup]], (int(salt[0]), int(salt[1])), 17
        )
        np.testing.assert_array_equal(got, data['module/chunk_bucket'][:, lookup])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='keys: expected integers of at most 32 bits, got int64'):
        hashing.murmur3(np.zeros(2, np.int64))
    for bucket in (hashing.hash_bucket, hashing.decimal_bucket):
        with pytest.raises(ValueError, match='num_buckets: expected at least 1, got 0'):
            bucket(np.zeros(2, np.int32), (0, 0) if bucket is hashing.decimal_bucket else 0, 0)
