"""Cross-entropy of a classifier, with smoothed labels if asked."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def cross_entropy(
    logits: Float[Array, 'b k'],
    labels: Int[Array, 'b'],
    mask: Bool[Array, 'b'] | None = None,
    *,
    smoothing: float = 0.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """How surprised a classifier is by the labels.

    mean over i of -sum_k t_ik log softmax(logits_i)_k, where t_i has 1 - s at the label and s / k more
    at each of the k classes, the label among them. float32 for half precision inputs. With
    s = 0 it is the negative log likelihood; with s > 0 the best logits are finite.

    Empty case: no row in the mask gives 0 with zero gradient.

    Args:
      labels: 0 to k - 1; beyond that the value is NaN, which stops a run.
      mask: rows that count; all by default.
      smoothing: s, 0 <= s < 1; 0.1 in the source.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    Source: Szegedy 2016, section 7, https://arxiv.org/abs/1512.00567

    >>> round(float(cross_entropy(jnp.zeros((3, 4)), jnp.array([0, 1, 2]))), 4)  # log 4
    1.3863
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f'smoothing: expected a number from 0 to below 1, got {smoothing}')
    log_probabilities = jax.nn.log_softmax(in_float32(logits), axis=-1)
    own = jnp.take_along_axis(
        log_probabilities, labels[:, None], axis=-1, mode='fill', fill_value=jnp.nan
    )[:, 0]
    surprise = -(1 - smoothing) * own
    if smoothing:
        surprise = surprise - smoothing * jnp.mean(log_probabilities, axis=-1)
    mask = jnp.ones(labels.shape, bool) if mask is None else mask
    kept = jnp.sum(jnp.where(mask, surprise, 0.0)), jnp.sum(mask)
    sum_of_losses, count = devices.total(kept, axis_name)
    return sum_of_losses / jnp.maximum(count, 1)
