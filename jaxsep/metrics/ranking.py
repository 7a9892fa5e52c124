"""How well scores rank the relevant items of each query: recall, precision, MRR, NDCG, AP.

Items are ranked by descending score, equal scores by the lower index (as `jax.lax.top_k` does);
-0.0 equals 0.0. Scores must not be NaN. Everything is exact, runs under jit, and takes a `mask` of
the items that take part in the ranking of each query: the others are removed from it, so that
the items behind them move up.

Each measure returns `PerQuery`: a value for each query, and which queries it is defined for. Their
mean is `mean_over_valid`. The literature has two recalls at k, and both are here under their own
names: `recall_any` (place recognition, metric learning) and `recall_frac` (recommendation).
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

from jaxsep.ops.geometry import in_float32
from jaxsep.ops.masks import masked_mean

GAINS = ('linear', 'exponential')


class PerQuery(NamedTuple):
    """A measure of each query.

    Attributes:
      values: 0 where the measure is not defined.
      valid: the queries that belong into a mean over queries.
    """

    values: Float[Array, 'q']
    valid: Bool[Array, 'q']


class BundleMetrics(NamedTuple):
    """What bundle construction reports, each a mean over the queries with a relevant item."""

    recall: Float[Array, '']
    ndcg: Float[Array, '']


def mean_over_valid(per_query: PerQuery) -> Float[Array, '']:
    """The mean of the values of the valid queries; 0 if there are none."""
    return masked_mean(per_query.values, per_query.valid)


@functools.partial(jax.jit, static_argnames='k')
def ranking(
    scores: Float[Array, 'q n'], k: int | None = None, mask: Bool[Array, 'q n'] | None = None
) -> Int[Array, 'q r']:
    """The items of each query from first to last: descending score, equal scores by lower index.

    Args:
      k: only the first min(k, n) items; all n by default.
      mask: the items that take part; those that do not come last, by index.

    >>> import jax.numpy as jnp
    >>> ranking(jnp.array([[0.1, 0.7, 0.7, 0.3]])).tolist()
    [[1, 2, 3, 0]]
    """
    scores = jnp.where(scores == 0, 0.0, scores)  # -0.0 sorts before 0.0 elsewhere
    if mask is not None:
        scores = jnp.where(mask, jnp.maximum(scores, jnp.finfo(scores.dtype).min), -jnp.inf)
    num_items = scores.shape[1]
    if k is not None and k < num_items:
        return jax.lax.top_k(scores, k)[1]
    return jnp.argsort(scores, axis=1, descending=True, stable=True).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames='k')
def recall_any(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    k: int,
    mask: Bool[Array, 'q n'] | None = None,
) -> PerQuery:
    """1 for each query with a relevant item among its first k (the hit rate), else 0.

    Valid: the queries with a relevant item.

    >>> import jax.numpy as jnp
    >>> scores, relevant = jnp.array([[3.0, 2.0, 1.0]]), jnp.array([[False, True, True]])
    >>> recall_any(scores, relevant, 2).values.tolist()
    [1.0]
    >>> recall_frac(scores, relevant, 2).values.tolist()
    [0.5]
    """
    hits, total = _hits(scores, relevant, k, mask)
    found = jnp.any(hits, axis=1).astype(in_float32(scores).dtype)
    return PerQuery(found, total > 0)


@functools.partial(jax.jit, static_argnames='k')
def recall_frac(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    k: int,
    mask: Bool[Array, 'q n'] | None = None,
) -> PerQuery:
    """The share of each query's relevant items that are among its first k.

    Valid: the queries with a relevant item.
    """
    hits, total = _hits(scores, relevant, k, mask)
    found = jnp.sum(hits, axis=1).astype(in_float32(scores).dtype)
    return PerQuery(found / jnp.maximum(total, 1), total > 0)


@functools.partial(jax.jit, static_argnames='k')
def precision(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    k: int,
    mask: Bool[Array, 'q n'] | None = None,
) -> PerQuery:
    """The relevant items among the first k, divided by k, also where there are fewer than k items.

    Valid: all queries (with a mask: those with an item).
    """
    hits, _ = _hits(scores, relevant, k, mask)
    found = jnp.sum(hits, axis=1).astype(in_float32(scores).dtype)
    return PerQuery(found / k, _with_items(scores, mask))


@jax.jit
def reciprocal_rank(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    mask: Bool[Array, 'q n'] | None = None,
) -> PerQuery:
    """1 / rank of the first relevant item of each query, ranks from 1; 0 without one.

    Found by counting, without a sort. Valid: the queries with a relevant item.
    """
    num_items = scores.shape[1]
    allowed = jnp.ones(scores.shape, bool) if mask is None else mask
    relevant = relevant & allowed
    best = jnp.max(jnp.where(relevant, scores, -jnp.inf), axis=1, keepdims=True, initial=-jnp.inf)
    items = jnp.arange(num_items)[None, :]
    first = jnp.where(relevant & (scores == best), items, num_items)
    first = jnp.min(first, axis=1, keepdims=True, initial=num_items)
    ahead = allowed & ((scores > best) | ((scores == best) & (items < first)))
    valid = jnp.any(relevant, axis=1)
    ranks = 1 + jnp.sum(ahead, axis=1).astype(in_float32(scores).dtype)
    return PerQuery(jnp.where(valid, 1.0 / ranks, 0.0), valid)


def mean_reciprocal_rank(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    mask: Bool[Array, 'q n'] | None = None,
    *,
    over: Literal['with_positive', 'all'] = 'with_positive',
) -> Float[Array, '']:
    """The mean of `reciprocal_rank`; 0 without queries.

    Args:
      over: the queries 'with_positive', or 'all' of them, where those without count as 0.
    """
    if over not in ('with_positive', 'all'):
        raise ValueError(f"over: expected 'with_positive' or 'all', got {over!r}")
    values, valid = reciprocal_rank(scores, relevant, mask)
    return masked_mean(values, valid if over == 'with_positive' else _with_items(scores, mask))


@functools.partial(jax.jit, static_argnames=('k', 'gain'))
def ndcg(
    scores: Float[Array, 'q n'],
    grades: Real[Array, 'q n'] | Bool[Array, 'q n'],
    k: int | None = None,
    mask: Bool[Array, 'q n'] | None = None,
    *,
    gain: Literal['linear', 'exponential'] = 'linear',
) -> PerQuery:
    """Discounted cumulative gain of the first k items, over that of the ideal ranking.

    DCG = sum over ranks r = 1..k of gain(grade at r) / log2(r + 1); the ideal ranking is that of
    the whole list by grade, cut at k. Ties between scores are broken by index, not averaged.

    Valid: the queries with an item of a grade above 0; 0 for the others.

    Args:
      grades: relevance of each item, 0 for none; booleans are 0 and 1, where both gains agree.
      k: the whole list by default.
      gain: 'linear' (the grade, as scikit-learn) or 'exponential' (2^grade - 1).

    >>> import jax.numpy as jnp
    >>> ndcg(jnp.array([[3.0, 2.0, 1.0]]), jnp.array([[2, 1, 0]])).values.tolist()
    [1.0]
    """
    if gain not in GAINS:
        raise ValueError(f'gain: expected one of {GAINS}, got {gain!r}')
    _check_k(k)
    grades = grades.astype(in_float32(scores).dtype)
    grades = grades if mask is None else jnp.where(mask, grades, 0.0)
    gains = grades if gain == 'linear' else jnp.exp2(grades) - 1.0
    k = scores.shape[1] if k is None else min(k, scores.shape[1])
    discounts = 1.0 / jnp.log2(jnp.arange(2, k + 2, dtype=gains.dtype))[None, :]
    got = jnp.take_along_axis(gains, ranking(scores, k, mask), axis=1)
    ideal = jnp.sum(jax.lax.top_k(gains, k)[0] * discounts, axis=1)
    valid = jnp.any(grades > 0, axis=1)
    values = jnp.sum(got * discounts, axis=1) / jnp.where(valid, ideal, 1.0)
    return PerQuery(jnp.where(valid, values, 0.0), valid)


@functools.partial(jax.jit, static_argnames='k')
def average_precision(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    k: int | None = None,
    mask: Bool[Array, 'q n'] | None = None,
) -> PerQuery:
    """The mean over a query's relevant items of the precision at their ranks.

    AP = (1 / number relevant) sum over the relevant items among the first k of
    (relevant items up to its rank) / rank. All relevant items count in the denominator, also those
    beyond k. Valid: the queries with a relevant item; 0 for the others.

    Args:
      k: the whole list by default.

    >>> import jax.numpy as jnp
    >>> scores, relevant = jnp.array([[3.0, 2.0, 1.0]]), jnp.array([[True, False, True]])
    >>> round(average_precision(scores, relevant).values.item(), 4)
    0.8333
    """
    hits, total = _hits(scores, relevant, k, mask)
    found = jnp.cumsum(hits, axis=1).astype(in_float32(scores).dtype)
    precisions = found / jnp.arange(1, hits.shape[1] + 1, dtype=found.dtype)[None, :]
    sums = jnp.sum(jnp.where(hits, precisions, 0.0), axis=1)
    return PerQuery(sums / jnp.maximum(total, 1), total > 0)


@functools.partial(jax.jit, static_argnames='k')
def bundle_metrics(
    scores: Float[Array, 'q n'],
    relevant: Bool[Array, 'q n'],
    k: int,
    mask: Bool[Array, 'q n'] | None = None,
) -> BundleMetrics:
    """Recall and NDCG at k as reported for bundle construction.

    Recall divides by (number relevant + 1e-8), which shows in no digit that is reported; NDCG is
    that of binary relevance, so its ideal has min(number relevant, k) hits. Means over the
    queries with a relevant item.

    Args:
      mask: False for the items of the given part of the bundle, which are not to be found.

    Source: Ma 2024 (CLHE), https://github.com/Xiaohao-Liu/CLHE, utility.py
    """
    hits, total = _hits(scores, relevant, k, mask)
    found = jnp.sum(hits, axis=1).astype(in_float32(scores).dtype)
    recall = masked_mean(found / (total + 1e-8), total > 0)
    return BundleMetrics(recall, mean_over_valid(ndcg(scores, relevant, k, mask)))


def _hits(scores, relevant, k, mask):
    """Whether the items at ranks 1..k are relevant, [q, min(k, n)], and the number relevant [q]."""
    _check_k(k)
    relevant = relevant if mask is None else relevant & mask
    hits = jnp.take_along_axis(relevant, ranking(scores, k, mask), axis=1)
    return hits, jnp.sum(relevant, axis=1)


def _with_items(scores, mask):
    if mask is None:
        return jnp.full(scores.shape[0], scores.shape[1] > 0)
    return jnp.any(mask, axis=1)


def _check_k(k):
    if k is not None and k < 1:
        raise ValueError(f'k: expected a positive number of items, got {k}')
