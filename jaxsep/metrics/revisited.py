"""Mean average precision of the revisited Oxford and Paris landmarks, with its three protocols.

An item is to a query easy, hard, junk or negative. What a protocol does not ask for is not wrong
either: it is removed from the ranking.

    easy:   positives easy,         removed hard and junk
    medium: positives easy + hard,  removed junk
    hard:   positives hard,         removed easy and junk

Source: Radenovic 2018, https://arxiv.org/abs/1803.11285, and its published evaluation.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.metrics.ranking import ranking
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.masks import masked_mean

EASY, HARD, JUNK, NEGATIVE = range(4)
"""What an item is to a query."""
PROTOCOLS = {'easy': (EASY,), 'medium': (EASY, HARD), 'hard': (HARD,)}


class Revisited(NamedTuple):
    """Measures of each query under one protocol, and their means.

    Attributes:
      average_precision: 0 for queries without positives.
      precision: at each k; 0 for queries without positives.
      valid: the queries with a positive; the means are over them.
      mean_average_precision: 0 without valid queries.
      mean_precision: at each k.
    """

    average_precision: Float[Array, 'q']
    precision: Float[Array, 'q r']
    valid: Bool[Array, 'q']
    mean_average_precision: Float[Array, '']
    mean_precision: Float[Array, 'r']


@functools.partial(jax.jit, static_argnames=('protocol', 'ks'))
def revisited_map(
    scores: Float[Array, 'q n'],
    labels: Int[Array, 'q n'],
    protocol: Literal['easy', 'medium', 'hard'] = 'medium',
    ks: tuple[int, ...] = (1, 5, 10),
) -> Revisited:
    """Average precision by the trapezoid rule and precision at k, of rankings without ignored items.

    For the j-th of p positives (from 0) at rank r (from 0): AP += (a + b) / (2 p), where
    b = (j + 1) / (r + 1), and a = j / r, or 1 if r = 0. Precision at k looks only as far as the last
    positive: k' = min(k, its rank from 1), and is the share of positives among the first k'.
    Queries without positives are left out of the means.

    Args:
      scores: larger is more similar; equal scores are ranked by index.
      labels: 0 easy, 1 hard, 2 junk, 3 negative.

    >>> import jax.numpy as jnp
    >>> found = revisited_map(jnp.array([[4.0, 3.0, 2.0, 1.0]]), jnp.array([[2, 0, 1, 3]]), 'easy')
    >>> found.mean_average_precision.item()
    1.0
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f'protocol: expected one of {tuple(PROTOCOLS)}, got {protocol!r}')
    if any(k < 1 for k in ks):
        raise ValueError(f'ks: expected positive numbers of items, got {ks}')
    dtype = in_float32(scores).dtype
    positive = jnp.isin(labels, jnp.asarray(PROTOCOLS[protocol], labels.dtype))
    kept = positive | (labels == NEGATIVE)
    order = ranking(scores, mask=kept)
    hits = jnp.take_along_axis(positive, order, axis=1)
    ranks = jnp.arange(1, scores.shape[1] + 1, dtype=dtype)[None, :]
    found = jnp.cumsum(hits, axis=1).astype(dtype)
    total = jnp.sum(hits, axis=1)
    before = jnp.where(ranks == 1, 1.0, (found - 1.0) / jnp.maximum(ranks - 1.0, 1.0))
    pieces = jnp.where(hits, before + found / ranks, 0.0)
    average_precision = jnp.sum(pieces, axis=1) / (2 * jnp.maximum(total, 1))
    last = jnp.max(jnp.where(hits, ranks, 0.0), axis=1, initial=0.0)
    depths = jnp.minimum(last[:, None], jnp.asarray(ks, dtype)[None, :])
    within = hits[:, :, None] & (ranks[:, :, None] <= depths[:, None, :])
    precision = jnp.sum(within, axis=1) / jnp.maximum(depths, 1.0)
    valid = total > 0
    return Revisited(
        average_precision,
        precision,
        valid,
        masked_mean(average_precision, valid),
        masked_mean(precision, jnp.broadcast_to(valid[:, None], precision.shape), axis=0),
    )
