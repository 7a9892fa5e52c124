"""The softmax contrastive loss as a function of its similarities, and hard negatives.

Everything here takes a similarity matrix s [n m], m >= n, of unit vectors: anchor i
against m candidates, of which column i is its positive and all others are negatives,
or those in `negative_mask` if given. Values are per anchor; the mean is the caller's.

Source: Wang 2021, Understanding the Behaviour of Contrastive Loss,
https://arxiv.org/abs/2012.09740
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsep.losses.contrastive import Scalar, contrastive_out
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.masks import masked_logsumexp, masked_mean


def info_nce_per_anchor(
    similarities: Float[Array, 'n m'],
    temperature: Scalar,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n']:
    """Cross-entropy of each anchor's positive among all candidates.

    L_i = -log( exp(s_ii/temperature) / sum_k exp(s_ik/temperature) ).
    As temperature -> 0, temperature L_i -> max(max_k s_ik - s_ii, 0); as it grows,
    temperature (L_i - log m) -> -s_ii + mean_k s_ik.

    Empty case: 0 without negatives.
    """
    negative = _negatives(similarities, negative_mask)
    logits = in_float32(similarities) / temperature
    return contrastive_out(logits, positive_mask(similarities), negative)


def simple_contrastive(
    similarities: Float[Array, 'n m'],
    weight: Scalar,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n']:
    """The linear loss that the softmax loss becomes at high temperature.

    L_i = -s_ii + weight sum_{j != i} s_ij, over the pairs in `negative_mask` if given.
    weight = 1/(number of negatives) is the limit of the softmax loss after rescaling.

    Empty case: -s_ii without negatives.
    """
    similarities = in_float32(similarities)
    negative = _negatives(similarities, negative_mask)
    return -jnp.diagonal(similarities) + weight * jnp.sum(
        jnp.where(negative, similarities, 0.0), axis=-1
    )


def hard_contrastive(
    similarities: Float[Array, 'n m'],
    temperature: Scalar,
    num_hard: int,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n']:
    """The softmax loss against only the most similar negatives.

    The denominator holds the positive and the negatives of `hard_negative_mask`.
    """
    logits = in_float32(similarities) / temperature
    negative = hard_negative_mask(similarities, num_hard, negative_mask)
    return contrastive_out(logits, positive_mask(similarities), negative)


def hard_simple(
    similarities: Float[Array, 'n m'],
    weight: Scalar,
    num_hard: int,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n']:
    """The linear loss against only the most similar negatives.

    L_i = -s_ii + weight sum_{j hard} s_ij. The paper does not give the weight;
    1/num_hard makes both terms means.
    """
    hard = hard_negative_mask(similarities, num_hard, negative_mask)
    return simple_contrastive(similarities, weight, hard)


def hard_negative_mask(
    similarities: Float[Array, 'n m'],
    num_hard: int,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Bool[Array, 'n m']:
    """True at each anchor's `num_hard` most similar negatives.

    s_ij >= the num_hard-th largest negative similarity of anchor i: all ties at the
    threshold are kept. The choice is not differentiated. Positives are never in it.

    Empty case: all False without negatives; with fewer than num_hard, all of them.
    """
    if num_hard < 1:
        raise ValueError(f'num_hard must be at least 1, got {num_hard}')
    negative = _negatives(similarities, negative_mask)
    candidates = jnp.where(negative, jax.lax.stop_gradient(similarities), -jnp.inf)
    kept = min(num_hard, similarities.shape[1])
    threshold = jax.lax.top_k(candidates, kept)[0][:, -1:]
    return negative & (candidates >= threshold)


def num_hard_negatives(alpha: float, num_negatives: int) -> int:
    """How many negatives the upper alpha quantile keeps: alpha num_negatives, at least 1.

    >>> num_hard_negatives(0.0819, 4095)
    335
    """
    if not 0 < alpha <= 1:
        raise ValueError(f'alpha must be a fraction in (0, 1], got {alpha}')
    return max(1, round(alpha * num_negatives))


def similarity_gradient(
    similarities: Float[Array, 'n m'], temperature: Scalar
) -> Float[Array, 'n m']:
    """The gradient of each anchor's softmax loss in its own row of similarities.

    dL_i/ds_ij = P_ij/temperature for negatives, dL_i/ds_ii = -sum_{k != i} P_ik/temperature,
    P the softmax over the row: every row sums to 0.
    """
    positive = positive_mask(similarities)
    probabilities = jax.nn.softmax(in_float32(similarities) / temperature, axis=-1)
    pushed = jnp.where(positive, 0.0, probabilities)
    return (pushed - jnp.where(positive, pushed.sum(axis=-1, keepdims=True), 0.0)) / temperature


def relative_penalty(
    similarities: Float[Array, 'n m'],
    temperature: Scalar,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n m']:
    """How an anchor's repulsion is shared among its negatives.

    r_ij = exp(s_ij/temperature) / sum_{k != i} exp(s_ik/temperature), over the pairs in
    `negative_mask` if given; 0 elsewhere. Rows sum to 1.

    Empty case: a row of zeros without negatives.
    """
    negative = _negatives(similarities, negative_mask)
    log_penalty = _log_penalty(similarities, temperature, negative)
    return jnp.where(negative, jnp.exp(log_penalty), 0.0)


def penalty_entropy(
    similarities: Float[Array, 'n m'],
    temperature: Scalar,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> Float[Array, 'n']:
    """The entropy, in nats, of each anchor's relative penalty; it grows with temperature.

    H_i = -sum_j r_ij log r_ij: log(number of negatives) when all are pushed alike,
    0 when only the nearest is.

    Empty case: 0 without negatives.
    """
    negative = _negatives(similarities, negative_mask)
    log_penalty = _log_penalty(similarities, temperature, negative)
    return -jnp.sum(jnp.where(negative, jnp.exp(log_penalty) * log_penalty, 0.0), axis=-1)


class LocalSeparation(NamedTuple):
    """How similar an anchor is to its positive and to its nearest negatives."""

    positive: Float[Array, 'n']
    negative: Float[Array, 'n']


def local_separation(
    similarities: Float[Array, 'n m'],
    num_negatives: int = 10,
    negative_mask: Bool[Array, 'n m'] | None = None,
) -> LocalSeparation:
    """Each anchor's positive similarity and the mean of its largest negative ones (figure 8).

    Exactly `num_negatives` are averaged, or all of them if there are fewer.

    Empty case: 0 for the negatives without negatives.
    """
    if num_negatives < 1:
        raise ValueError(f'num_negatives must be at least 1, got {num_negatives}')
    similarities = in_float32(similarities)
    negative = _negatives(similarities, negative_mask)
    candidates = jnp.where(negative, similarities, -jnp.inf)
    largest = jax.lax.top_k(candidates, min(num_negatives, similarities.shape[1]))[0]
    return LocalSeparation(jnp.diagonal(similarities), masked_mean(largest, largest > -jnp.inf))


def positive_mask(similarities: Float[Array, 'n m']) -> Bool[Array, 'n m']:
    """True at (i, i), the one positive of each anchor.

    Raises:
      ValueError: if there are fewer columns than anchors, so that some have no positive.
    """
    n, m = similarities.shape
    if m < n:
        raise ValueError(
            f'similarities must have at least as many columns as rows, the positive of anchor i '
            f'being column i; got shape ({n}, {m})'
        )
    return jnp.eye(n, m, dtype=bool)


def _negatives(similarities, negative_mask):
    negative = ~positive_mask(similarities)
    return negative if negative_mask is None else negative & negative_mask


def _log_penalty(similarities, temperature, negative):
    """The logarithm of r_ij; 0 where it does not apply, so that nothing infinite is multiplied."""
    logits = in_float32(similarities) / temperature
    normalizer = masked_logsumexp(logits, negative)
    return jnp.where(negative, logits - normalizer[:, None], 0.0)
