"""Softmax over class directions, where the own class must win by an angle or a cosine."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.ops.devices import mean
from jaxsep.ops.geometry import l2_normalize, norm


def arcface(
    embeddings: Float[Array, 'b d'],
    labels: Int[Array, 'b'],
    weights: Float[Array, 'd k'],
    *,
    margin_degrees: Scalar = 28.6,
    scale: Scalar = 64.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of scaled cosines after the own class is turned away by an angle.

    Logits are scale cos(theta_k), theta_k the angle between row and column k; for the own class
    scale cos(theta + m), or scale (cos(theta) - m sin(m)) where theta > pi - m, since cosine
    rises again there. Mean over the rows. No arccos: cos(theta + m) = cos(theta) cos(m) -
    sin(theta) sin(m), and sin(theta) = |x - w| |x + w| / 2 of unit vectors, which is exact
    at both ends of the range and has a finite gradient there.

    Empty case: an empty batch, or a single class, gives 0.

    Args:
      weights: one direction per class, of any length.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over; the
        weights are the same on every device.

    Source: Deng 2019, equation 3, https://arxiv.org/abs/1801.07698; beyond pi - m as in
    pytorch-metric-learning.
    """
    margin = jnp.deg2rad(margin_degrees)
    cosines = cosine_similarities(embeddings, weights.T)
    own = jnp.take_along_axis(cosines, labels[:, None], axis=1)[:, 0]
    unit, direction = l2_normalize(embeddings), l2_normalize(weights.T)[labels]
    sine = 0.5 * norm(unit - direction) * norm(unit + direction)
    turned = own * jnp.cos(margin) - sine * jnp.sin(margin)
    turned = jnp.where(own >= -jnp.cos(margin), turned, own - margin * jnp.sin(margin))
    return _cross_entropy(cosines, labels, turned, scale, axis_name)


def cosface(
    embeddings: Float[Array, 'b d'],
    labels: Int[Array, 'b'],
    weights: Float[Array, 'd k'],
    *,
    margin: Scalar = 0.35,
    scale: Scalar = 64.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of scaled cosines after a margin is taken from the own class's cosine.

    Logits are scale cos(theta_k), and scale (cos(theta) - margin) for the own class; mean over
    the rows. With margin 0 this is the softmax on normalised rows and columns.

    Empty case: an empty batch, or a single class, gives 0.

    Args:
      weights: one direction per class, of any length.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over; the
        weights are the same on every device.

    >>> import jax.numpy as jnp
    >>> z, labels = jnp.eye(3), jnp.arange(3)
    >>> bool(cosface(z, labels, jnp.eye(3)) < cosface(z, labels, jnp.eye(3), margin=0.9))
    True

    Source: Wang 2018, equation 4, https://arxiv.org/abs/1801.09414
    """
    cosines = cosine_similarities(embeddings, weights.T)
    own = jnp.take_along_axis(cosines, labels[:, None], axis=1)[:, 0]
    return _cross_entropy(cosines, labels, own - margin, scale, axis_name)


def _cross_entropy(cosines, labels, own, scale, axis_name):
    """Cross-entropy of scale * cosines with the own class's entry replaced."""
    own_class = labels[:, None] == jnp.arange(cosines.shape[1])[None, :]
    logits = scale * jnp.where(own_class, own[:, None], cosines)
    losses = jax.nn.logsumexp(logits, axis=1) - scale * own
    return mean(losses, axis_name)
