"""Measures of scores for two classes: AUC, log loss, average precision, accuracy.

Each is exact, ties included, and takes O(n log n). `exact_auc` counts on the host in integers, for
tables of millions of rows; the others are arrays to scalar and run under jit, with an optional mask
of the rows that count.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

from jaxsep.ops.geometry import in_float32
from jaxsep.ops.masks import masked_mean

Labels = Bool[Array, 'n'] | Int[Array, 'n']
Mask = Bool[Array, 'n'] | None


def exact_auc(
    scores: Real[Array | np.ndarray, 'n'],
    labels: Bool[Array | np.ndarray, 'n'] | Int[Array | np.ndarray, 'n'],
) -> float:
    """The area under the ROC curve, counted in integers on the host.

    P(score of a positive > score of a negative) + 0.5 P(equal). 0 if there are no positives or no
    negatives.

    Args:
      labels: positive where not 0.

    >>> import numpy as np
    >>> exact_auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    scores, positive = np.asarray(scores), np.asarray(labels) != 0
    if np.isnan(scores).any():
        raise ValueError('scores: expected numbers, got NaN')
    # Both sorted: a binary search whose queries ascend stays within the cache.
    positives, negatives = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(positives) or not len(negatives):
        return 0.0
    below = np.searchsorted(negatives, positives, 'left').sum(dtype=np.int64)
    not_above = np.searchsorted(negatives, positives, 'right').sum(dtype=np.int64)
    return (int(below) + int(not_above)) / (2 * len(positives) * len(negatives))


@jax.jit
def auc(scores: Float[Array, 'n'], labels: Labels, mask: Mask = None) -> Float[Array, '']:
    """The area under the ROC curve, as `exact_auc`, under jit.

    The mean over the positives of (negatives below + 0.5 negatives equal) / negatives: each count
    is exact, the mean is rounded as any mean of float32. 0 without positives or negatives.

    >>> import jax.numpy as jnp
    >>> auc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])).item()
    0.875
    """
    scores = in_float32(scores)
    positive, negative = _classes(labels, mask)
    negatives, count = jnp.sort(jnp.where(negative, scores, jnp.inf)), jnp.sum(negative)
    below = jnp.searchsorted(negatives, scores, side='left')
    # A score of inf is not above the places of the other rows.
    not_above = jnp.minimum(jnp.searchsorted(negatives, scores, side='right'), count)
    shares = 0.5 * (below + not_above).astype(scores.dtype) / jnp.maximum(count, 1)
    return jnp.where(count > 0, masked_mean(shares, positive), 0.0)


@jax.jit
def average_precision(
    scores: Float[Array, 'n'], labels: Labels, mask: Mask = None
) -> Float[Array, '']:
    """The area under the precision-recall curve as a step function, equal scores in one step.

    sum over distinct scores t, descending, of (R_t - R_before) P_t: the mean over the positives of
    the precision among all rows of at least the same score. As scikit-learn's
    `average_precision_score`. 0 without positives.

    >>> import jax.numpy as jnp
    >>> average_precision(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])).item()
    0.8333333730697632
    """
    scores = in_float32(scores)
    positive, negative = _classes(labels, mask)

    def at_least(kept):
        """How many of the kept rows have at least the score of each row."""
        ascending = jnp.sort(jnp.where(kept, scores, -jnp.inf))
        at_least = ascending.shape[0] - jnp.searchsorted(ascending, scores, side='left')
        return jnp.minimum(at_least, jnp.sum(kept)).astype(scores.dtype)

    found = at_least(positive)
    return masked_mean(found / jnp.maximum(found + at_least(negative), 1.0), positive)


@jax.jit
def logloss(
    probabilities: Float[Array, 'n'],
    labels: Labels,
    mask: Mask = None,
    clip: float | Float[Array, ''] = 1e-6,
) -> Float[Array, '']:
    """The mean of -log p(label), probabilities clipped to [clip, 1 - clip]; 0 without rows.

    Args:
      probabilities: of the label 1.
      clip: 1e-6 is the habit of click-through reports.
    """
    p = jnp.clip(in_float32(probabilities), clip, 1.0 - clip)
    positive, negative = _classes(labels, mask)
    return masked_mean(-jnp.log(jnp.where(positive, p, 1.0 - p)), positive | negative)


@jax.jit
def logloss_from_logits(
    logits: Float[Array, 'n'], labels: Labels, mask: Mask = None
) -> Float[Array, '']:
    """The mean of log(1 + exp(logit)) - label logit, the log loss of sigmoid(logit); 0 without rows.

    Nothing is clipped, and nothing overflows. Differentiable: as a loss it is binary cross-entropy.
    """
    logits = in_float32(logits)
    positive, negative = _classes(labels, mask)
    losses = jax.nn.softplus(jnp.where(positive, -logits, logits))
    return masked_mean(losses, positive | negative)


@jax.jit
def accuracy(logits: Float[Array, 'n'], labels: Labels, mask: Mask = None) -> Float[Array, '']:
    """The share of rows whose logit is above 0 just where their label is 1; 0 without rows."""
    positive, negative = _classes(labels, mask)
    right = ((logits > 0) == positive).astype(in_float32(logits).dtype)
    return masked_mean(right, positive | negative)


def _classes(labels, mask):
    """Which rows are positive, and which negative; neither where the mask is False."""
    positive = labels != 0
    kept = jnp.ones(labels.shape, bool) if mask is None else mask
    return positive & kept, ~positive & kept
