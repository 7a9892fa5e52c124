"""Fixed dimensional encodings: sets of vectors as single vectors, so that the inner product of
two encodings approximates the Chamfer similarity of the sets.

Random hyperplanes cut the space into 2^k parts. A query is the sum of its vectors in each part, a
document their mean, the parts one after the other: where a query vector and its best match fall
into the same part, the inner product holds theirs. R repetitions with other hyperplanes add
up (there is no factor 1/R), a random projection inside each part and a last one make it short.

All random matrices are arguments (`draw` makes some), the same for queries and documents. Encodings
are differentiable in the vectors; which part a vector falls into is not. One encoding is
`[repetition][part][dimension]`, parts in the order of a Gray code.

Source: Dhulipala 2024 (MUVERA), https://arxiv.org/abs/2405.19504, and its authors' code,
https://github.com/google/graph-mining, sketching/point_cloud
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, matmul

PROJECTIONS = ('dense', 'count_sketch')
MOST_PLANES = 30


class CountSketch(NamedTuple):
    """A projection that adds every coordinate, with a sign, to one coordinate of the result."""

    index: Int[Array, 'm']
    sign: Float[Array, 'm']


class Matrices(NamedTuple):
    """What an encoding is made with.

    Attributes:
      planes: normals of the k hyperplanes of each of r repetitions.
      projection: of the vectors inside a part, from d to p dimensions; None leaves them.
      sketch: of the whole encoding; None leaves it.
    """

    planes: Float[Array, 'r d k']
    projection: Float[Array, 'r d p'] | None = None
    sketch: CountSketch | None = None


@functools.partial(
    jax.jit,
    static_argnames=(
        'dim', 'num_repetitions', 'num_planes', 'projection_dim', 'projection', 'final_dim',
    ),
)  # fmt: skip
def draw(
    key: Array,
    dim: int,
    *,
    num_repetitions: int,
    num_planes: int,
    projection_dim: int | None = None,
    projection: str = 'dense',
    final_dim: int | None = None,
) -> Matrices:
    """Random matrices for vectors of `dim` dimensions.

    Args:
      projection_dim: p; None for no projection inside the parts.
      projection: 'dense', +-1 / sqrt(p) everywhere (the paper), or 'count_sketch', one +-1 in each
        row (the authors' code). Both keep inner products in expectation.
      final_dim: of the count sketch of the whole; None for none.
    """
    check_options(
        num_repetitions=num_repetitions,
        num_planes=num_planes,
        projection_dim=projection_dim,
        projection=projection,
        final_dim=final_dim,
    )
    keys = jax.random.split(key, 5)
    planes = jax.random.normal(keys[0], (num_repetitions, dim, num_planes))
    inner = sketch = None
    if projection_dim is not None:
        shape = (num_repetitions, dim, projection_dim)
        if projection == 'dense':
            inner = jax.random.rademacher(keys[1], shape, jnp.float32) / projection_dim**0.5
        else:
            place = jax.random.randint(keys[1], shape[:2], 0, projection_dim)
            sign = jax.random.rademacher(keys[2], shape[:2], jnp.float32)
            inner = jax.nn.one_hot(place, projection_dim) * sign[:, :, None]
    if final_dim is not None:
        size = num_repetitions * 2**num_planes * (projection_dim or dim)
        index = jax.random.randint(keys[3], (size,), 0, final_dim, jnp.int32)
        sketch = CountSketch(index, jax.random.rademacher(keys[4], (size,), jnp.float32))
    return Matrices(planes, inner, sketch)


def check_options(
    *,
    num_repetitions: int,
    num_planes: int,
    projection_dim: int | None,
    projection: str,
    final_dim: int | None,
) -> None:
    """Raises ValueError naming the argument of `draw` that cannot be."""
    if projection not in PROJECTIONS:
        raise ValueError(f'projection: expected one of {PROJECTIONS}, got {projection!r}')
    if not 0 <= num_planes <= MOST_PLANES:
        raise ValueError(f'num_planes: expected 0 .. {MOST_PLANES}, got {num_planes}')
    sizes = dict(
        num_repetitions=num_repetitions, projection_dim=projection_dim, final_dim=final_dim
    )
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f'{name}: expected a positive integer, got {size}')


def gray_index(bits: Bool[Array, '*s k']) -> Int[Array, '*s']:
    """The place of a pattern of k bits in the Gray code, in which neighbours differ in one bit.

    >>> import jax.numpy as jnp
    >>> gray_index(jnp.array([[False, False], [False, True], [True, True], [True, False]])).tolist()
    [0, 1, 2, 3]
    """
    index = jnp.zeros(bits.shape[:-1], jnp.int32)
    for i in range(bits.shape[-1]):
        index = 2 * index + (bits[..., i].astype(jnp.int32) ^ (index & 1))
    return index


def simhash_partition(x: Float[Array, 'n d'], planes: Float[Array, 'd k']) -> Int[Array, 'n']:
    """The part each vector falls into: the Gray index of the bits [<x, plane_i> > 0].

    Strictly larger: a zero vector has no bit set. Without planes there is one part.
    """
    return gray_index(matmul(x, planes) > 0)


def count_sketch(
    x: Float[Array, 'b m'], sketch: CountSketch, final_dim: int
) -> Float[Array, 'b f']:
    """out[index_i] += sign_i x_i, for each row.

    >>> import jax.numpy as jnp
    >>> sketch = CountSketch(jnp.array([1, 0, 1]), jnp.array([1.0, -1.0, -1.0]))
    >>> count_sketch(jnp.array([[1.0, 2.0, 3.0]]), sketch, 2).tolist()
    [[-2.0, -2.0]]
    """
    signed = (x * sketch.sign.astype(x.dtype)[None, :]).T
    return jax.ops.segment_sum(signed, sketch.index, final_dim).T


@functools.partial(jax.jit, static_argnames=('final_dim', 'chunk_size'))
def query_encoding(
    vectors: Float[Array, 'b n d'],
    matrices: Matrices,
    mask: Bool[Array, 'b n'] | None = None,
    *,
    final_dim: int | None = None,
    chunk_size: int | None = None,
) -> Float[Array, 'b e']:
    """Encodings of queries: the SUM of the (projected) vectors in each part, 0 in empty ones.

    Args:
      vectors: b sets, padded to n vectors.
      mask: which of them belong to the set; all by default. An empty set is encoded as 0.
      final_dim: of the result, with `matrices.sketch`; it is r 2^k p without.
      chunk_size: sets that are encoded at a time; chosen by default.
    """
    encode = functools.partial(_encode, average=False, fill_empty=False, final_dim=final_dim)
    return _by_chunks(encode, vectors, mask, matrices, final_dim, chunk_size)


@functools.partial(jax.jit, static_argnames=('fill_empty', 'final_dim', 'chunk_size'))
def document_encoding(
    vectors: Float[Array, 'b n d'],
    matrices: Matrices,
    mask: Bool[Array, 'b n'] | None = None,
    *,
    fill_empty: bool = True,
    final_dim: int | None = None,
    chunk_size: int | None = None,
) -> Float[Array, 'b e']:
    """Encodings of documents: the MEAN of the (projected) vectors in each part.

    Arguments as `query_encoding`, and:

    Args:
      fill_empty: an empty part takes the projected vector whose bits differ least from the part's,
        the first of them at ties; otherwise it is 0.
    """
    encode = functools.partial(_encode, average=True, fill_empty=fill_empty, final_dim=final_dim)
    return _by_chunks(encode, vectors, mask, matrices, final_dim, chunk_size)


def _by_chunks(encode, vectors, mask, matrices, final_dim, chunk_size):
    (b, n, d), (r, dim, k) = vectors.shape, matrices.planes.shape
    width = d if matrices.projection is None else matrices.projection.shape[2]
    if dim != d:
        raise ValueError(
            f'matrices.planes: expected [r, {d}, k], as the vectors are, got d = {dim}'
        )
    if k > MOST_PLANES:
        raise ValueError(f'matrices.planes: expected at most {MOST_PLANES} planes, got {k}')
    if (final_dim is None) != (matrices.sketch is None):
        raise ValueError(
            'final_dim: expected together with matrices.sketch, '
            f'got {final_dim} and {"no" if matrices.sketch is None else "a"} sketch'
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f'chunk_size: expected a positive integer or None, got {chunk_size}')
    vectors = in_float32(vectors)
    if vectors.size == 0:
        return jnp.zeros((b, final_dim or r * 2**k * width), vectors.dtype)
    mask = jnp.ones((b, n), bool) if mask is None else mask
    if chunk_size is None:
        # What is held at a time should fit into a cache of the CPU, and fill a GPU.
        numbers = 1 << (19 if jax.default_backend() == 'cpu' else 26)
        chunk_size = max(numbers // (r * 2**k * max(n, width)), 1)
    num_chunks = -(-b // chunk_size)
    if num_chunks == 1:
        return encode(vectors, mask, matrices)
    size = -(-b // num_chunks)
    missing = num_chunks * size - b
    chunks = (
        jnp.pad(vectors, ((0, missing), (0, 0), (0, 0))).reshape(num_chunks, size, n, d),
        jnp.pad(mask, ((0, missing), (0, 0))).reshape(num_chunks, size, n),
    )
    found = jax.lax.map(lambda chunk: encode(*chunk, matrices), chunks)
    return found.reshape(num_chunks * size, -1)[:b]


def _encode(vectors, mask, matrices, *, average, fill_empty, final_dim):
    (b, n, d), (r, _, k) = vectors.shape, matrices.planes.shape
    parts = 2**k
    rows = jnp.where(mask[:, :, None], vectors, 0.0).reshape(b * n, d)

    def of_all(weights):  # [r, d, p] -> [b, n, r, p], one product for all repetitions
        flat = weights.astype(rows.dtype).transpose(1, 0, 2).reshape(d, -1)
        return matmul(rows, flat).reshape(b, n, r, weights.shape[2])

    index = gray_index(of_all(matrices.planes) > 0)
    if matrices.projection is None:
        projected = jnp.broadcast_to(rows.reshape(b, n, 1, d), (b, n, r, d))
    else:
        projected = of_all(matrices.projection)
    width = projected.shape[3]
    block = jnp.arange(b)[:, None, None] * r + jnp.arange(r)[None, None, :]
    out = jax.ops.segment_sum(
        projected.reshape(-1, width), (block * parts + index).reshape(-1), b * r * parts
    ).reshape(b, r, parts, width)
    if average:
        # Sets and repetitions last: short loops over vectors and parts, long rows.
        members = index.transpose(1, 0, 2)[:, None] == jnp.arange(parts)[None, :, None, None]
        members = members & mask.T[:, None, :, None]
        count = jnp.sum(members, axis=0).transpose(1, 2, 0)[..., None]
        mean = out / jnp.maximum(count, 1)
        if fill_empty and k > 0:
            place = _nearest_by_bits(members).transpose(1, 2, 0)
            row = (jnp.arange(b)[:, None, None] * n + place) * r + jnp.arange(r)[None, :, None]
            mean = jnp.where(count > 0, mean, projected.reshape(-1, width)[row])
        out = mean
    out = out.reshape(b, -1)
    return out if final_dim is None else count_sketch(out, matrices.sketch, final_dim)


def _nearest_by_bits(members):
    """[n, parts, ...] -> [parts, ...]: the first vector whose bits differ least from the part's.

    Every part knows its own first vector; k times, along one bit after the other, it hears from
    the part on the other side at the price of one bit: the distance transform of a hypercube.
    """
    n, parts = members.shape[:2]
    k = parts.bit_length() - 1
    pattern = np.arange(parts) ^ (np.arange(parts) >> 1)  # bits of each part
    place = np.argsort(pattern)
    across = jnp.asarray([place[pattern ^ (1 << bit)] for bit in range(k)])
    number = jnp.arange(n).reshape(n, *(1,) * (members.ndim - 1))
    # One number for distance and place; no vector of a part is within k bits of nothing.
    key = jnp.min(jnp.where(members, number, (k + 1) * n), axis=0)
    hear = lambda bit, key: jnp.minimum(key, key[across[bit]] + n)  # noqa: E731
    return jax.lax.fori_loop(0, k, hear, key) % n
