"""The k rows of a database with the largest inner product, cosine or smallest distance, exactly.

The database is searched `chunk_size` rows at a time, and each chunk `query_chunk_size` queries at a
time, so that memory does not grow with queries x rows: it holds query_chunk_size x chunk_size
scores, and, where the database has more rows than that, a copy of one chunk.

A full sort is never made. The scores of a query are cut into groups of 32 neighbouring rows, and
any of its k best rows lies in one of the k groups with the largest maxima: what lies in another
group has k groups' maxima before it. So `jax.lax.top_k` sees two short lists instead of the whole.
The maxima are taken while the matrix product is in the cache. This holds for ties too, since
groups are ranges of rows: equal scores are ordered by the lower row, always.

Scores must not be NaN.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize, sqrt

GROUP = 32
SPARE_CANDIDATES = 8


class TopK(NamedTuple):
    """The best rows of each query, best first; equal values by the lower row.

    Attributes:
      values: inner products or cosines, descending, or squared distances, ascending.
      indices: rows of the database; -1 (with value -inf, or inf for distances) where the mask
        leaves fewer than k rows.
    """

    values: Float[Array, 'q k']
    indices: Int[Array, 'q k']


@functools.partial(jax.jit, static_argnames=('k', 'chunk_size', 'query_chunk_size'))
def mips_top_k(
    queries: Float[Array, 'q d'],
    database: Float[Array, 'n d'],
    k: int,
    *,
    mask: Bool[Array, 'n'] | None = None,
    chunk_size: int = 131072,
    query_chunk_size: int = 128,
) -> TopK:
    """The k rows of the largest inner product with each query, largest first.

    Args:
      k: at most n.
      mask: rows that may be found; all by default.
      chunk_size: rows of the database that are scored at a time.
      query_chunk_size: queries that are scored at a time.

    >>> import jax.numpy as jnp
    >>> found = mips_top_k(jnp.array([[1.0, 0.0]]), jnp.array([[1.0, 5.0], [2.0, 0.0], [1.0, 0.0]]), 2)
    >>> found.values.tolist(), found.indices.tolist()
    ([[2.0, 1.0]], [[1, 0]])
    """
    return _search(queries, database, k, mask, chunk_size, query_chunk_size, lambda x: (x, None))


@functools.partial(jax.jit, static_argnames=('k', 'chunk_size', 'query_chunk_size'))
def cosine_top_k(
    queries: Float[Array, 'q d'],
    database: Float[Array, 'n d'],
    k: int,
    *,
    mask: Bool[Array, 'n'] | None = None,
    chunk_size: int = 131072,
    query_chunk_size: int = 128,
) -> TopK:
    """The k rows of the largest cosine with each query; 0 with a zero vector.

    Arguments as `mips_top_k`. The rows are normalised a chunk at a time.
    """
    prepare = lambda x: (l2_normalize(x), None)  # noqa: E731
    queries = l2_normalize(queries)
    return _search(queries, database, k, mask, chunk_size, query_chunk_size, prepare)


@functools.partial(jax.jit, static_argnames=('k', 'chunk_size', 'query_chunk_size'))
def l2_top_k(
    queries: Float[Array, 'q d'],
    database: Float[Array, 'n d'],
    k: int,
    *,
    mask: Bool[Array, 'n'] | None = None,
    chunk_size: int = 131072,
    query_chunk_size: int = 128,
) -> TopK:
    """The k rows of the smallest squared Euclidean distance to each query, nearest first.

    One matrix product, around the middle of the database, proposes k + 8 rows by
    q.x - ||x||^2 / 2; their distances are then taken from the differences themselves, so that
    near-duplicates are told apart, and duplicates have equal distances, in float32 too. Only where
    more than 8 rows beyond the k-th are within the rounding of the product (near
    1e-7 of the squared distance to the middle) can another of them be returned in its place; on
    a grid (small integers, binary codes) nothing is rounded.

    Arguments as `mips_top_k`.
    """
    _check_k(k, len(database))
    queries, middle = in_float32(queries), _middle(in_float32(database))[None, :]

    def prepare(rows):
        rows = in_float32(rows) - middle
        return rows, -0.5 * jnp.sum(rows * rows, axis=1)

    proposed = min(k + SPARE_CANDIDATES, len(database))
    around = queries - middle
    found = _search(around, database, proposed, mask, chunk_size, query_chunk_size, prepare)

    def refine(block):
        query, candidates = block
        difference = query[:, None, :] - in_float32(database[candidates])
        distances = jnp.sum(jnp.square(difference), axis=2)
        distances = jnp.where(candidates < 0, jnp.inf, distances)
        values, indices = jax.lax.sort((distances, candidates), num_keys=2)
        return values[:, :k], indices[:, :k]

    return TopK(*_by_blocks(refine, query_chunk_size, queries, found.indices))


def mips_as_l2(
    queries: Float[Array, 'q d'], database: Float[Array, 'n d']
) -> tuple[Float[Array, 'q e'], Float[Array, 'n e']]:
    """Queries and rows with one more dimension, whose distances order as the inner products did.

    Rows get sqrt(M^2 - ||x||^2), M the largest norm, and queries 0: then ||q - x||^2 =
    ||q||^2 + M^2 - 2 q.x, and an index for distances finds the largest inner products.

    >>> import jax.numpy as jnp
    >>> q, x = mips_as_l2(jnp.array([[1.0, 0.0]]), jnp.array([[1.0, 0.0], [3.0, 4.0]]))
    >>> [len(q[0]), round(x[0, 2].item(), 3), x[1, 2].item()]
    [3, 4.899, 0.0]

    Source: Bachrach 2014, Speeding up the Xbox recommender system,
    https://doi.org/10.1145/2645710.2645741
    """
    queries, database = in_float32(queries), in_float32(database)
    squares = jnp.sum(database * database, axis=1, keepdims=True)
    missing = sqrt(jnp.max(squares, initial=0.0) - squares)
    return (
        jnp.concatenate([queries, jnp.zeros_like(queries[:, :1])], axis=1),
        jnp.concatenate([database, missing], axis=1),
    )


def _middle(rows):
    """The mean of the rows, rounded to a power of two below their spread: grids stay grids."""
    mean = jnp.mean(rows, axis=0)
    spread = jnp.sqrt(jnp.mean(jnp.square(rows - mean[None, :])))
    step = jnp.ldexp(jnp.ones((), rows.dtype), jnp.frexp(spread)[1] - 1)
    return jnp.where(spread > 0, jnp.round(mean / step) * step, mean)


def _search(queries, database, k, mask, chunk_size, query_chunk_size, prepare):
    """The k largest q.x + bias of each query; `prepare(rows)` gives the x of a chunk and its bias."""
    num_rows = len(database)
    _check_k(k, num_rows)
    if chunk_size < 1 or query_chunk_size < 1:
        raise ValueError(
            f'chunk_size, query_chunk_size: expected positive integers, '
            f'got {chunk_size} and {query_chunk_size}'
        )
    queries = in_float32(queries)
    size = max(min(chunk_size, num_rows), k)
    num_chunks = num_rows // size

    def of_chunk(start, rows):
        """Best of the rows of one chunk, whose first is number `start`."""
        length = len(rows)
        rows, bias = prepare(in_float32(rows))
        if mask is not None:
            kept = jax.lax.dynamic_slice_in_dim(mask, start, length)
            bias = jnp.where(
                kept, jnp.zeros(length, rows.dtype) if bias is None else bias, -jnp.inf
            )
        best = min(k, length)
        values, indices = _by_blocks(
            lambda block: _block_top_k(block[0], rows, bias, best), query_chunk_size, queries
        )
        return values, indices + start

    def visit(best, chunk):
        start = chunk * size
        rows = jax.lax.dynamic_slice_in_dim(database, start, size)
        return _merge(best, of_chunk(start, rows), k), None

    best = of_chunk(0, database[:size])
    if num_chunks > 1:
        best, _ = jax.lax.scan(visit, best, jnp.arange(1, num_chunks, dtype=jnp.int32))
    if num_rows % size:
        start = num_chunks * size
        best = _merge(best, of_chunk(start, database[start:]), k)
    values, indices = best
    return TopK(values, jnp.where(values == -jnp.inf, -1, indices))


def _block_top_k(queries, rows, bias, k):
    """The k largest scores of a block of queries, and their places among the rows."""
    scores, num_queries, num_rows = inner_products(queries, rows), len(queries), len(rows)
    whole = num_rows - num_rows % GROUP
    if 2 * k * GROUP > whole:
        return _largest(scores if bias is None else scores + bias[None, :], k)
    grouped = scores[:, :whole].reshape(num_queries, whole // GROUP, GROUP)
    shifted = grouped if bias is None else grouped + bias[:whole].reshape(1, -1, GROUP)
    _, groups = _largest(jnp.max(shifted, axis=2), k)
    groups = jnp.sort(groups, axis=1)  # candidates in the order of their rows, for ties
    candidates = jnp.take_along_axis(shifted, groups[:, :, None], axis=1)
    candidates = candidates.reshape(num_queries, k * GROUP)
    if whole < num_rows:
        rest = scores[:, whole:]
        rest = rest if bias is None else rest + bias[None, whole:]
        candidates = jnp.concatenate([candidates, rest], axis=1)
    values, places = _largest(candidates, k)
    group = jnp.take_along_axis(groups, jnp.minimum(places // GROUP, k - 1), axis=1)
    grouped_place = group * GROUP + places % GROUP
    return values, jnp.where(places < k * GROUP, grouped_place, places - k * GROUP + whole)


def _largest(scores, k):
    """`jax.lax.top_k` to which -0.0 is 0.0."""
    values, indices = jax.lax.top_k(jnp.where(scores == 0, 0.0, scores), k)
    return values, indices.astype(jnp.int32)


def _merge(best, found, k):
    """The k best of two lists per query; those of the first, of lower rows, win ties."""
    values, indices = (jnp.concatenate(pair, axis=1) for pair in zip(best, found, strict=True))
    values, places = _largest(values, k)
    return values, jnp.take_along_axis(indices, places, axis=1)


def _by_blocks(function, size, *rows):
    """function(rows) of blocks of about `size` rows, of equal size, one after the other."""
    num_rows = len(rows[0])
    if num_rows == 0:
        return jax.tree.map(lambda x: x[:0], function([jnp.pad(x, ((0, 1), (0, 0))) for x in rows]))
    num_blocks = -(-num_rows // size)
    length = -(-num_rows // num_blocks)
    missing = num_blocks * length - num_rows
    blocks = [
        jnp.pad(x, ((0, missing), (0, 0))).reshape(num_blocks, length, x.shape[1]) for x in rows
    ]
    found = jax.lax.map(function, blocks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num_rows], found)


def _check_k(k, num_rows):
    if not 1 <= k <= num_rows:
        raise ValueError(f'k: expected between 1 and the {num_rows} rows of the database, got {k}')
