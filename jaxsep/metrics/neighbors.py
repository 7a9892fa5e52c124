"""Nearest neighbours, exact, and what they say about classes.

All searches take the queries `chunk_size` at a time, so the memory grows with the
number of keys, not with queries x keys. Neighbours at equal distance are ordered by
index, votes with equal counts go to the smallest label.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import (
    direct_squared_distances,
    in_float32,
    l2_normalize,
    power_of_two,
    sqrt,
    squared_distances,
)

METRICS = ('euclidean', 'cosine')
SPARE_CANDIDATES = 8


@functools.partial(jax.jit, static_argnames=('k', 'metric', 'exclude_self', 'chunk_size'))
def nearest(
    queries: Float[Array, 'q d'],
    keys: Float[Array, 'n d'],
    k: int,
    metric: str = 'euclidean',
    exclude_self: bool = False,
    chunk_size: int = 1024,
) -> tuple[Float[Array, 'q k'], Int[Array, 'q k']]:
    """The k keys nearest to each query, nearest first, equal distances by index.

    A matrix product proposes k + 8 candidates for each query; their distances are
    then taken from the differences themselves, so that near-duplicates are told apart
    in float32 too.

    Args:
      metric: 'euclidean' for ||q - x||, or 'cosine' for 1 - cos(q, x), which is 1 where
        either vector is 0.
      exclude_self: queries and keys are the same points; a point is not its own
        neighbour.

    Returns:
      values: the distances, ascending.
      indices: rows of `keys`.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[0.0], [1.0], [5.0]])
      >>> values, indices = nearest(x, x, 1, exclude_self=True)
      >>> indices[:, 0].tolist(), values[:, 0].tolist()
      ([1, 0, 1], [1.0, 1.0, 4.0])
    """
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    num_queries, num_keys = queries.shape[0], keys.shape[0]
    if exclude_self and num_queries != num_keys:
        raise ValueError(
            f'exclude_self needs queries and keys to be the same points, '
            f'got {num_queries} queries and {num_keys} keys'
        )
    available = num_keys - int(exclude_self)
    if not 1 <= k <= available:
        raise ValueError(f'k must be between 1 and the {available} keys available, got {k}')
    cosine = metric == 'cosine'
    prepare = l2_normalize if cosine else in_float32
    queries, keys = prepare(queries), prepare(keys)
    # A zero vector has cosine distance 1 to everything, which no point of the sphere gives.
    zero_query, zero_key = jnp.all(queries == 0, axis=-1), jnp.all(keys == 0, axis=-1)
    power = jnp.maximum(power_of_two(queries), power_of_two(keys))
    queries, keys = queries / power, keys / power
    middle = jnp.mean(keys, axis=0, keepdims=True)
    centred_queries, centred_keys = queries - middle, keys - middle
    num_candidates = min(k + SPARE_CANDIDATES, num_keys)

    def distances(squares, is_zero):
        return jnp.where(is_zero, 1.0, 0.5 * squares) if cosine else squares

    def search(index):
        proposed = squared_distances(centred_queries[index][None, :], centred_keys)[0]
        near = distances(proposed, zero_query[index] | zero_key)
        selves = (jnp.arange(num_keys) == index) & exclude_self
        _, candidates = jax.lax.top_k(jnp.where(selves, -jnp.inf, -near), num_candidates)
        exact = distances(
            direct_squared_distances(queries[index][None, :], keys[candidates])[0],
            zero_query[index] | zero_key[candidates],
        )
        exact = jnp.where(selves[candidates], jnp.inf, exact)
        values, indices = jax.lax.sort((exact, candidates.astype(jnp.int32)), num_keys=2)
        return (values if cosine else power[0] * sqrt(values))[:k], indices[:k]

    chunk_size = max(min(chunk_size, num_queries), 1)
    return jax.lax.map(search, jnp.arange(num_queries), batch_size=chunk_size)


def majority_vote(neighbor_labels: Int[Array, 'q k'], num_classes: int) -> Int[Array, 'q']:
    """The most frequent label of each row; the smallest of those that tie.

    Example:
      >>> import jax.numpy as jnp
      >>> majority_vote(jnp.array([[3, 1, 3], [2, 1, 0]]), 4).tolist()
      [3, 0]
    """
    votes = jnp.sum(neighbor_labels[:, :, None] == neighbor_labels[:, None, :], axis=-1)
    elected = votes == jnp.max(votes, axis=-1, keepdims=True)
    return jnp.min(jnp.where(elected, neighbor_labels, num_classes), axis=-1)


def knn_predict(
    train: Float[Array, 'n d'],
    train_labels: Int[Array, 'n'],
    test: Float[Array, 'm d'],
    k: int,
    num_classes: int,
    metric: str = 'euclidean',
) -> Int[Array, 'm']:
    """The majority label of the k training points nearest to each test point."""
    _, indices = nearest(test, train, k, metric)
    return majority_vote(train_labels[indices], num_classes)


def leave_one_out_knn(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    k: int,
    num_classes: int,
    metric: str = 'euclidean',
) -> Float[Array, '']:
    """The share of points whose k nearest other points vote for their label."""
    _, indices = nearest(x, x, k, metric, exclude_self=True)
    return jnp.mean(majority_vote(labels[indices], num_classes) == labels)


def thornton(x: Float[Array, 'n d'], labels: Int[Array, 'n']) -> Float[Array, '']:
    """Thornton's separability index: the share of points whose nearest other point agrees.

    Reference: Thornton, Separability is a learner's best friend, 1998,
    https://doi.org/10.1007/978-1-4471-1546-5_4.
    """
    return neighbor_purity(x, labels, (1,))[0]


def neighbor_purity(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    ks: tuple[int, ...],
    metric: str = 'euclidean',
) -> Float[Array, 'r']:
    """For each k of `ks`, the mean share of the k nearest other points with the same label.

    A curve that stays high up to the class size means one compact region per class.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f'ks must hold at least one positive integer, got {ks}')
    _, indices = nearest(x, x, max(ks), metric, exclude_self=True)
    same = jnp.cumsum(labels[indices] == labels[:, None], axis=-1)
    dtype = in_float32(x).dtype
    return jnp.stack([jnp.mean((same[:, k - 1]).astype(dtype)) / k for k in ks])


def weighted_knn_log_scores(
    train: Float[Array, 'n d'],
    train_labels: Int[Array, 'n'],
    test: Float[Array, 'm d'],
    k: int,
    num_classes: int,
    temperature: float | Float[Array, ''] = 0.07,
) -> Float[Array, 'm c']:
    """The logarithm of `weighted_knn_scores`; -inf for classes without a neighbour.

    Finite at any temperature, where the scores themselves overflow float32 below 0.0113.
    """
    distances, indices = nearest(test, train, k, 'cosine')
    logits = (1.0 - distances) / temperature
    largest = logits[:, :1]  # the nearest neighbour's
    rows = jnp.arange(test.shape[0])[:, None]
    sums = jnp.zeros((test.shape[0], num_classes), logits.dtype)
    sums = sums.at[rows, train_labels[indices]].add(jnp.exp(logits - largest))
    return jnp.where(sums > 0, jnp.log(jnp.where(sums > 0, sums, 1.0)) + largest, -jnp.inf)


def weighted_knn_scores(
    train: Float[Array, 'n d'],
    train_labels: Int[Array, 'n'],
    test: Float[Array, 'm d'],
    k: int,
    num_classes: int,
    temperature: float | Float[Array, ''] = 0.07,
) -> Float[Array, 'm c']:
    """Class scores by the k most cosine-similar training points, the nearer the heavier.

    score_c = sum over those neighbours of class c of exp(cos / temperature).

    Reference: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination, 2018, https://arxiv.org/abs/1805.01978, section 3.4.
    """
    return jnp.exp(weighted_knn_log_scores(train, train_labels, test, k, num_classes, temperature))
