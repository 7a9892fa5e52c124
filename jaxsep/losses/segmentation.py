"""Losses of segmentation: cross-entropy of every pixel, and the soft Dice of every class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def pixel_cross_entropy(
    logits: Float[Array, '*n k'],
    labels: Integer[Array, '*n'],
    *,
    ignore: int = 255,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean over the labelled pixels of -log softmax(logits) at the label.

    A pixel counts unless its label is `ignore`, 255 in most data sets. As PyTorch's
    `CrossEntropyLoss(ignore_index=ignore)`.

    Empty case: without labelled pixels 0 with zero gradient.

    Args:
      logits: [b, h, w, k], or any other shape before the classes.
      labels: 0 to k - 1 or `ignore`; the value is NaN, which stops a run, for any other.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    >>> round(float(pixel_cross_entropy(jnp.zeros((1, 2, 2, 4)), jnp.zeros((1, 2, 2), int))), 4)
    1.3863
    """
    labels = labels.astype(jnp.int32).ravel()
    counted = labels != ignore
    flat = logits.reshape(-1, logits.shape[-1])
    return cross_entropy(flat, jnp.where(counted, labels, 0), counted, axis_name=axis_name)


def soft_dice_loss(
    logits: Float[Array, '*n k'],
    labels: Integer[Array, '*n'],
    *,
    ignore: int = 255,
    background: int | None = None,
    smoothing: float = 1.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """One minus the mean over classes of the Dice of probabilities.

    1 - mean_k (2 sum p_k t_k + s) / (sum p_k + sum t_k + s), p = softmax(logits), t one-hot, sums over
    all labelled pixels of the batch, so that images without a class do not pull at it. float32 for
    half precision inputs.

    Empty case: without labelled pixels 0 with zero gradient.

    Args:
      labels: 0 to k - 1 or `ignore`.
      background: a class that is left out, if any.
      smoothing: s, above 0.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    Source: Sudre 2017, https://arxiv.org/abs/1707.03237, equation 1 for several classes, with the
    smoothing that is customary

    >>> logits = jnp.array([[20.0, -20.0], [-20.0, 20.0]])
    >>> round(float(soft_dice_loss(logits, jnp.array([0, 1]))), 6)
    0.0
    """
    if not smoothing > 0:
        raise ValueError(f'smoothing: expected a number above 0, got {smoothing}')
    k = logits.shape[-1]
    if background is not None and not (0 <= background < k and k > 1):
        raise ValueError(
            f'background: expected one of several classes 0 to {k - 1}, got {background}'
        )
    labels = labels.astype(jnp.int32).ravel()
    counted = (labels != ignore)[:, None]
    probabilities = jax.nn.softmax(in_float32(logits).reshape(-1, k))
    probabilities = jnp.where(counted, probabilities, 0.0)
    truth = jax.nn.one_hot(labels, k, dtype=probabilities.dtype) * counted
    sums = jnp.sum(probabilities * truth, axis=0), jnp.sum(probabilities + truth, axis=0)
    both, either = devices.total(sums, axis_name)
    overlap = (2 * both + smoothing) / (either + smoothing)
    weights = jnp.ones(k).at[background].set(0.0) if background is not None else jnp.ones(k)
    return 1 - jnp.sum(weights * overlap) / jnp.sum(weights)
