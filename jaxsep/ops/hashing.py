"""Hashes of whole numbers into buckets: MurmurHash3 under jit, SipHash of decimal digits on the host.

Both are exact. They give different buckets for the same number: use one of them in a model.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, Integer, UInt32

Numbers = Integer[Array | np.ndarray, '...'] | int


def murmur3(keys: Integer[Array | np.ndarray, '...'], seed: Numbers = 0) -> UInt32[Array, '...']:
    """MurmurHash3 (x86, 32 bits) of each key's four bytes, the lowest first.

    The same as scikit-learn's `murmurhash3_32` of int32 arrays. In uint32 arithmetic, which wraps
    around; no gradient.

    Args:
      keys: int32 or uint32, or narrower, which are widened.
      seed: a number, or an array that broadcasts against `keys`.

    >>> import jax.numpy as jnp
    >>> murmur3(jnp.array([0, 1, -1]), seed=0).tolist()
    [593689054, 4226891818, 1982413648]

    Source: Appleby, MurmurHash3 (2011), public domain
    """
    if keys.dtype.itemsize > 4:
        raise ValueError(f'keys: expected integers of at most 32 bits, got {keys.dtype}')
    k = jnp.asarray(keys).astype(jnp.int32 if keys.dtype.kind == 'i' else jnp.uint32)
    k = k.astype(jnp.uint32) * jnp.uint32(0xCC9E2D51)
    k = _rotate_left(k, 15) * jnp.uint32(0x1B873593)
    h = k ^ _as_uint32(seed)
    h = _rotate_left(h, 13) * jnp.uint32(5) + jnp.uint32(0xE6546B64)
    h = h ^ jnp.uint32(4)  # the length in bytes
    h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
    return h ^ (h >> 16)


def hash_bucket(
    keys: Integer[Array | np.ndarray, '...'], seed: Numbers, num_buckets: Numbers
) -> Int32[Array, '...']:
    """The bucket 0 .. num_buckets - 1 of each key: `murmur3` modulo the number of buckets.

    Args:
      keys: see `murmur3`.
      seed, num_buckets: numbers, or arrays that broadcast against `keys`.

    >>> import jax.numpy as jnp
    >>> hash_bucket(jnp.array([0, 1, -1]), seed=0, num_buckets=1000).tolist()
    [54, 818, 648]
    """
    if isinstance(num_buckets, int) and num_buckets < 1:
        raise ValueError(f'num_buckets: expected at least 1, got {num_buckets}')
    return (murmur3(keys, seed) % _as_uint32(num_buckets)).astype(jnp.int32)


def siphash24(message: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 of some bytes, a number of 64 bits, on the host.

    Args:
      key: its two halves of 64 bits.

    >>> hex(siphash24(bytes(range(15)), (0x0706050403020100, 0x0F0E0D0C0B0A0908)))
    '0xa129ca6149be45e5'

    Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012); their appendix A is the
    example
    """
    word = (1 << 64) - 1
    first, second = (half & word for half in key)
    v0, v1 = first ^ 0x736F6D6570736575, second ^ 0x646F72616E646F6D
    v2, v3 = first ^ 0x6C7967656E657261, second ^ 0x7465646279746573

    def left(x, bits):
        return (x << bits | x >> (64 - bits)) & word

    def rounds(number, v0, v1, v2, v3):
        for _ in range(number):
            v0, v2 = (v0 + v1) & word, (v2 + v3) & word
            v1, v3 = left(v1, 13) ^ v0, left(v3, 16) ^ v2
            v0, v2 = (left(v0, 32) + v3) & word, (v2 + v1) & word
            v1, v3 = left(v1, 17) ^ v2, left(v3, 21) ^ v0
            v2 = left(v2, 32)
        return v0, v1, v2, v3

    # Whole words of eight bytes; the last one ends with the length.
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for start in range(0, len(padded), 8):
        m = int.from_bytes(padded[start : start + 8], 'little')
        v0, v1, v2, v3 = rounds(2, v0, v1, v2, v3 ^ m)
        v0 ^= m
    v0, v1, v2, v3 = rounds(4, v0, v1, v2 ^ 0xFF, v3)
    return v0 ^ v1 ^ v2 ^ v3


def decimal_bucket(
    keys: Int[np.ndarray, '...'], salt: tuple[int, int], num_buckets: int
) -> Int[np.ndarray, '...']:
    """The bucket of each key's decimal digits: `siphash24` modulo the number of buckets, on the host.

    What Keras' layer `Hashing` does with a salt: 7 is hashed as the text '7'.

    >>> import numpy as np
    >>> decimal_bucket(np.array([7, 8, 7]), (0, 1), 17).tolist()
    [16, 6, 16]
    """
    if num_buckets < 1:
        raise ValueError(f'num_buckets: expected at least 1, got {num_buckets}')
    values, places = np.unique(keys, return_inverse=True)
    buckets = [siphash24(str(value).encode(), salt) % num_buckets for value in values.tolist()]
    return np.array(buckets, np.int32)[places].reshape(keys.shape)


def _rotate_left(x: UInt32[Array, '...'], bits: int) -> UInt32[Array, '...']:
    return (x << bits) | (x >> (32 - bits))


def _as_uint32(x: Numbers) -> UInt32[Array, '...']:
    """Python numbers modulo 2^32, arrays of at most 32 bits by their bits."""
    return jnp.uint32(x & 0xFFFFFFFF) if isinstance(x, int) else jnp.asarray(x).astype(jnp.uint32)
