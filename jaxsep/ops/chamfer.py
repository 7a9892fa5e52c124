"""How alike two sets of vectors are: each member looks for its best match in the other set.

The similarity is that of late interaction (Khattab 2020, https://arxiv.org/abs/2004.12832), the
distance that of point clouds. Masks tell members from padding, which may hold anything, and
NaN too.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsep.ops.geometry import in_float32, inner_products, squared_distances

LARGEST_BLOCK = 1 << 24
"""Similarities of pairs of vectors that are held at a time."""


@functools.partial(jax.jit, static_argnames='normalize')
def chamfer_similarity(
    query: Float[Array, 'n d'],
    document: Float[Array, 'm d'],
    query_mask: Bool[Array, 'n'] | None = None,
    document_mask: Bool[Array, 'm'] | None = None,
    *,
    normalize: bool = False,
) -> Float[Array, '']:
    """The sum over the query's vectors of the largest inner product with one of the document's.

    sum_q max_p <q, p>: not symmetric. At ties the gradient is shared. 0 with zero gradient where
    either set is empty.

    Args:
      query_mask: which rows belong to the query; all by default. `document_mask` likewise.
      normalize: divides by the number of query vectors.

    >>> import jax.numpy as jnp
    >>> query, document = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[3.0, 1.0], [0.0, 2.0]])
    >>> chamfer_similarity(query, document).item()
    5.0
    """
    masks = [None if m is None else m[None] for m in (query_mask, document_mask)]
    return chamfer_scores(query[None], document[None], *masks, normalize=normalize)[0, 0]


@functools.partial(jax.jit, static_argnames=('normalize', 'chunk_size'))
def chamfer_scores(
    queries: Float[Array, 'q n d'],
    documents: Float[Array, 'b m d'],
    query_mask: Bool[Array, 'q n'] | None = None,
    document_mask: Bool[Array, 'b m'] | None = None,
    *,
    normalize: bool = False,
    chunk_size: int | None = None,
) -> Float[Array, 'q b']:
    """`chamfer_similarity` of every query with every document.

    Documents are taken `chunk_size` at a time, and computed again in the gradient: what is held
    is q x n x chunk_size x m inner products.

    Args:
      chunk_size: documents at a time; by default as many as give 2^24 inner products.
    """
    queries, documents = in_float32(queries), in_float32(documents)
    (q, n, d), (b, m, _) = queries.shape, documents.shape
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f'chunk_size: expected a positive integer or None, got {chunk_size}')
    if queries.size == 0 or documents.size == 0:
        return jnp.zeros((q, b), queries.dtype)
    if query_mask is None:
        query_mask = jnp.ones((q, n), bool)
    if document_mask is None:
        document_mask = jnp.ones((b, m), bool)
    rows = jnp.where(query_mask[:, :, None], queries, 0.0).reshape(q * n, d)

    @jax.checkpoint
    def scores(chunk):
        """[q, c]; the vectors of a document stand apart, so that maxima are taken along rows."""
        vectors, mask = chunk
        columns = jnp.where(mask[:, :, None], vectors, 0.0).transpose(1, 0, 2)
        products = inner_products(rows, columns.reshape(-1, d)).reshape(q, n, m, -1)
        best = jnp.max(products, axis=2, where=mask.T[None, None], initial=-jnp.inf)
        counts = query_mask[:, :, None] & jnp.any(mask, axis=1)[None, None, :]
        return jnp.sum(jnp.where(counts, best, 0.0), axis=1)

    size = min(chunk_size or max(LARGEST_BLOCK // (q * n * m), 1), b)
    num_chunks = -(-b // size)
    missing = num_chunks * size - b
    if num_chunks == 1:
        found = scores((documents, document_mask))
    else:
        chunks = (
            jnp.pad(documents, ((0, missing), (0, 0), (0, 0))).reshape(num_chunks, size, m, d),
            jnp.pad(document_mask, ((0, missing), (0, 0))).reshape(num_chunks, size, m),
        )
        found = jax.lax.map(scores, chunks).transpose(1, 0, 2).reshape(q, -1)[:, :b]
    if normalize:
        found = found / jnp.maximum(jnp.sum(query_mask, axis=1), 1)[:, None]
    return found


@jax.jit
def chamfer_distance(
    x: Float[Array, 'n d'],
    y: Float[Array, 'm d'],
    x_mask: Bool[Array, 'n'] | None = None,
    y_mask: Bool[Array, 'm'] | None = None,
) -> Float[Array, '']:
    """Mean squared distance to the nearest point of the other set, both ways added.

    mean_p min_q ||p - q||^2 + mean_q min_p ||p - q||^2: symmetric, 0 for equal sets. The nearest
    point is found by one matrix product around the middle of the sets; its distance is taken from
    the difference itself. 0 with zero gradient where either set is empty.

    Args:
      x_mask: which rows belong to the set; all by default. `y_mask` likewise.

    >>> import jax.numpy as jnp
    >>> chamfer_distance(jnp.array([[0.0], [1.0]]), jnp.array([[3.0]])).item()
    10.5
    """
    x, y = in_float32(x), in_float32(y)
    if x.size == 0 or y.size == 0:
        return jnp.zeros((), x.dtype)
    x_mask = jnp.ones(len(x), bool) if x_mask is None else x_mask
    y_mask = jnp.ones(len(y), bool) if y_mask is None else y_mask
    x = jnp.where(x_mask[:, None], x, 0.0)
    y = jnp.where(y_mask[:, None], y, 0.0)
    middle = jnp.sum(x, axis=0) / jnp.maximum(jnp.sum(x_mask), 1)
    centred = [jax.lax.stop_gradient(z - middle[None, :]) for z in (x, y)]
    pairs = x_mask[:, None] & y_mask[None, :]
    distances = jnp.where(pairs, squared_distances(*centred), jnp.inf)

    def mean_to_nearest(points, mask, others, nearest):
        squares = jnp.sum(jnp.square(points - others[nearest]), axis=1)
        return jnp.sum(jnp.where(mask & jnp.any(pairs), squares, 0.0)) / jnp.maximum(
            jnp.sum(mask), 1
        )

    return mean_to_nearest(x, x_mask, y, jnp.argmin(distances, axis=1)) + mean_to_nearest(
        y, y_mask, x, jnp.argmin(distances, axis=0)
    )
