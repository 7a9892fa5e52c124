"""Retrieval by cosine similarity: is something of the same label found, and how early.

Exact: every query is compared with the whole gallery, `chunk_size` queries at a time.
Items of equal similarity are ranked by index. A query whose label does not occur in
its gallery has no right answer and is left out; without any query, the value is 0.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import l2_normalize


def _check_ks(ks):
    if not ks or any(not isinstance(k, int) or k < 1 for k in ks):
        raise ValueError(f'ks must hold at least one positive integer, got {ks}')


def _check_selves(queries, gallery, exclude_self):
    if exclude_self and queries.shape[0] != gallery.shape[0]:
        raise ValueError(
            f'exclude_self needs queries and gallery to be the same points, '
            f'got {queries.shape[0]} queries and {gallery.shape[0]} items'
        )


def first_relevant_rank(
    similarities: Float[Array, 'n'], relevant: Bool[Array, 'n'], allowed: Bool[Array, 'n']
) -> Int[Array, '']:
    """How many allowed items come before the first relevant one; n if none is relevant.

    Example:
      >>> import jax.numpy as jnp
      >>> ranked, right = jnp.array([0.9, 0.5, 0.7]), jnp.array([False, True, False])
      >>> int(first_relevant_rank(ranked, right, jnp.array([True, True, True])))
      2
    """
    n = similarities.shape[0]
    relevant = relevant & allowed
    candidates = jnp.where(relevant, similarities, -jnp.inf)
    first, best = jnp.argmax(candidates), jnp.max(candidates, initial=-jnp.inf)
    earlier = (similarities == best) & (jnp.arange(n) < first)
    ahead = jnp.sum(allowed & ((similarities > best) | earlier))
    return jnp.where(jnp.any(relevant), ahead, n)


def _similarities(query, gallery):
    return jnp.matmul(gallery, query, precision=jax.lax.Precision.HIGHEST)


def _mean_hits(ranks, num_items, ks):
    """The share of ranks below each k, among those below num_items."""
    valid = ranks < num_items
    hits = jnp.stack([jnp.sum(valid & (ranks < k)) for k in ks])
    return hits / jnp.maximum(jnp.sum(valid), 1)


@functools.partial(jax.jit, static_argnames=('ks', 'exclude_self', 'chunk_size'))
def recall_at_k(
    queries: Float[Array, 'q d'],
    query_labels: Int[Array, 'q'],
    gallery: Float[Array, 'n d'],
    gallery_labels: Int[Array, 'n'],
    ks: tuple[int, ...],
    exclude_self: bool = False,
    chunk_size: int = 256,
) -> Float[Array, 'r']:
    """For each k of `ks`, the share of queries with a hit among the k most similar items.

    A hit is an item of the query's label.

    Args:
      exclude_self: queries and gallery are the same points; none retrieves itself.
    """
    _check_ks(ks)
    _check_selves(queries, gallery, exclude_self)
    queries, gallery = l2_normalize(queries), l2_normalize(gallery)
    num_items = gallery.shape[0]

    def rank(index):
        allowed = (jnp.arange(num_items) != index) | (not exclude_self)
        relevant = gallery_labels == query_labels[index]
        return first_relevant_rank(_similarities(queries[index], gallery), relevant, allowed)

    chunk_size = max(min(chunk_size, queries.shape[0]), 1)
    ranks = jax.lax.map(rank, jnp.arange(queries.shape[0]), batch_size=chunk_size)
    return _mean_hits(ranks, num_items, ks)


@functools.partial(jax.jit, static_argnames=('num_groups', 'ks', 'chunk_size'))
def recall_across_groups(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    groups: Int[Array, 'n'],
    num_groups: int,
    ks: tuple[int, ...],
    chunk_size: int = 256,
) -> tuple[Float[Array, 'g g r'], Int[Array, 'g g']]:
    """`recall_at_k` of the points of each group within each group, for all pairs in one pass.

    Returns:
      recalls: entry [a, b] is that of the points of group a as queries in group b as
        gallery. In its own group (a = b) no point retrieves itself.
      counts: how many queries of a have their label in b; the recall is 0 where none has.
    """
    _check_ks(ks)
    embeddings = l2_normalize(embeddings)
    n = embeddings.shape[0]

    def ranks_of(index):
        similarities = _similarities(embeddings[index], embeddings)
        relevant, others = labels == labels[index], jnp.arange(n) != index
        return jax.lax.map(
            lambda group: first_relevant_rank(similarities, relevant, others & (groups == group)),
            jnp.arange(num_groups),
        )

    ranks = jax.lax.map(ranks_of, jnp.arange(n), batch_size=max(min(chunk_size, n), 1))
    valid = jax.ops.segment_sum((ranks < n).astype(jnp.int32), groups, num_groups)
    hits = [
        jax.ops.segment_sum(((ranks < n) & (ranks < k)).astype(jnp.int32), groups, num_groups)
        for k in ks
    ]
    return jnp.stack(hits, axis=-1) / jnp.maximum(valid, 1)[:, :, None], valid


@functools.partial(jax.jit, static_argnames=('exclude_self', 'chunk_size'))
def mean_average_precision(
    queries: Float[Array, 'q d'],
    query_labels: Int[Array, 'q'],
    gallery: Float[Array, 'n d'],
    gallery_labels: Int[Array, 'n'],
    exclude_self: bool = False,
    chunk_size: int = 256,
) -> Float[Array, '']:
    """The mean over queries of the average precision of the whole ranked gallery.

    AP = mean over the relevant items of (relevant items up to its rank) / rank.

    Args:
      exclude_self: queries and gallery are the same points; none retrieves itself.
    """
    _check_selves(queries, gallery, exclude_self)
    queries, gallery = l2_normalize(queries), l2_normalize(gallery)
    num_items = gallery.shape[0]

    def average_precision(index):
        similarities = _similarities(queries[index], gallery)
        selves = (jnp.arange(num_items) == index) & exclude_self
        order = jnp.argsort(jnp.where(selves, -jnp.inf, similarities), descending=True)
        relevant = ((gallery_labels == query_labels[index]) & ~selves)[order]
        found = jnp.cumsum(relevant).astype(queries.dtype)
        precisions = found / jnp.arange(1, num_items + 1, dtype=queries.dtype)
        return jnp.sum(jnp.where(relevant, precisions, 0.0)), jnp.sum(relevant)

    num_queries = queries.shape[0]
    chunk_size = max(min(chunk_size, num_queries), 1)
    sums, counts = jax.lax.map(average_precision, jnp.arange(num_queries), batch_size=chunk_size)
    means = sums / jnp.maximum(counts, 1)
    return jnp.sum(means) / jnp.maximum(jnp.sum(counts > 0), 1)
