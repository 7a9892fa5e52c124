"""Search among sets of vectors by Chamfer similarity: candidates by something cheap, then exactly.

Source: Dhulipala 2024 (MUVERA), https://arxiv.org/abs/2405.19504; the single-vector heuristic is
that of ColBERT's descendants, Santhanam 2021, https://arxiv.org/abs/2112.01488
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.chamfer import chamfer_scores
from jaxsep.ops.geometry import in_float32, inner_products
from jaxsep.ops.top_k import TopK, mips_top_k


class Carved(NamedTuple):
    """Fewer vectors in place of a set's.

    Attributes:
      vectors: the sum of each group, at the place of its first member; 0 elsewhere.
      mask: the places of groups.
    """

    vectors: Float[Array, 'n d']
    mask: Bool[Array, 'n']


@functools.partial(jax.jit, static_argnames='per_vector')
def single_vector_candidates(
    queries: Float[Array, 'q n d'],
    documents: Float[Array, 'b m d'],
    per_vector: int,
    query_mask: Bool[Array, 'q n'] | None = None,
    document_mask: Bool[Array, 'b m'] | None = None,
) -> Int[Array, 'q c']:
    """Documents in the order the single-vector heuristic finds them, filled up with -1.

    Each query vector retrieves the `per_vector` vectors of largest inner product among all those of
    all documents. The documents of all first results come first, in the order of the query's
    vectors, then those of all second results, ...; each document once. c = n per_vector.
    """
    (q, n, d), (b, m, _) = queries.shape, documents.shape
    if not 1 <= per_vector <= b * m:
        raise ValueError(
            f'per_vector: expected between 1 and the {b * m} vectors of the documents, '
            f'got {per_vector}'
        )
    if document_mask is not None:
        documents = jnp.where(document_mask[:, :, None], documents, 0.0)
    if query_mask is not None:
        queries = jnp.where(query_mask[:, :, None], queries, 0.0)
    found = mips_top_k(
        queries.reshape(q * n, d),
        documents.reshape(b * m, d),
        per_vector,
        mask=None if document_mask is None else document_mask.reshape(-1),
    ).indices.reshape(q, n, per_vector)
    found = jnp.where(found < 0, -1, found // m)
    if query_mask is not None:
        found = jnp.where(query_mask[:, :, None], found, -1)
    return jax.vmap(_each_once)(found.transpose(0, 2, 1).reshape(q, -1))


def _each_once(items):
    """Items in order of first appearance; -1 is nothing, and fills the end."""
    order = jnp.argsort(items, stable=True)
    ordered = items[order]
    again = jnp.concatenate([jnp.zeros(1, bool), ordered[1:] == ordered[:-1]])
    keep = jnp.zeros(len(items), bool).at[order].set(~again) & (items >= 0)
    front = jnp.argsort(~keep, stable=True)
    return jnp.where(keep[front], items[front], -1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames='batch_size')
def rerank(
    queries: Float[Array, 'q n d'],
    documents: Float[Array, 'b m d'],
    candidates: Int[Array, 'q c'],
    query_mask: Bool[Array, 'q n'] | None = None,
    document_mask: Bool[Array, 'b m'] | None = None,
    *,
    batch_size: int = 16,
) -> TopK:
    """The candidates of each query by descending Chamfer similarity; -1 is no candidate.

    Equal similarities keep the order of the candidates.

    Args:
      batch_size: queries at a time, each with a copy of its candidates.
    """
    query_mask = jnp.ones(queries.shape[:2], bool) if query_mask is None else query_mask
    document_mask = jnp.ones(documents.shape[:2], bool) if document_mask is None else document_mask

    def of_query(row):
        query, mask, chosen = row
        scores = chamfer_scores(query[None], documents[chosen], mask[None], document_mask[chosen])
        scores = jnp.where(chosen < 0, -jnp.inf, scores[0])
        order = jnp.argsort(scores, descending=True, stable=True)
        return TopK(scores[order], chosen[order])

    rows = (queries, query_mask, candidates)
    return jax.lax.map(of_query, rows, batch_size=min(batch_size, max(len(queries), 1)))


def search(
    query_encodings: Float[Array, 'q e'],
    document_encodings: Float[Array, 'b e'],
    queries: Float[Array, 'q n d'],
    documents: Float[Array, 'b m d'],
    num_candidates: int,
    query_mask: Bool[Array, 'q n'] | None = None,
    document_mask: Bool[Array, 'b m'] | None = None,
) -> TopK:
    """The `num_candidates` documents of largest inner product of encodings, reranked by Chamfer."""
    found = mips_top_k(query_encodings, document_encodings, num_candidates)
    return rerank(queries, documents, found.indices, query_mask, document_mask)


def ball_carving(
    query: Float[Array, 'n d'], threshold: float, mask: Bool[Array, 'n'] | None = None
) -> Carved:
    """Groups the vectors of a query greedily, and puts the sum of each group in its place.

    The first vector that has no group begins one and takes along all others without a group whose
    inner product with it is at least `threshold`. Chamfer similarity with the sums
    is a little smaller than, and much faster to compute than, that with the vectors.

    Args:
      threshold: smallest inner product; of unit vectors, a cosine (the paper uses 0.7).
      mask: which rows belong to the query.

    >>> import jax.numpy as jnp
    >>> carved = ball_carving(jnp.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]), 0.7)
    >>> carved.mask.tolist()
    [True, True, False]
    """
    query = in_float32(query)
    mask = jnp.ones(len(query), bool) if mask is None else mask
    query = jnp.where(mask[:, None], query, 0.0)
    near = inner_products(query, query) >= threshold
    places = jnp.arange(len(query), dtype=jnp.int32)

    def carve(i, group):
        begins = group[i] < 0
        joins = (near[i] | (places == i)) & (group < 0) & mask
        return jnp.where(begins & mask[i] & joins, i, group)

    group = jax.lax.fori_loop(0, len(query), carve, jnp.full(len(query), -1, jnp.int32))
    sums = jax.ops.segment_sum(query, jnp.where(mask, group, len(query)), len(query))
    return Carved(sums, mask & (group == places))
