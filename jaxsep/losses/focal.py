"""Focal losses of dense detectors: the many easy places of the background weigh little."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32


def sigmoid_focal(
    logits: Float[Array | np.ndarray, '*n c'],
    labels: Int[Array | np.ndarray, '*n'],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Array, '*n c']:
    """-alpha_t (1 - p_t)^gamma log p_t of every place and class.

    p_t is sigmoid(logit) in the column of the label and one minus it elsewhere, alpha_t is alpha
    and 1 - alpha. A label outside 0 .. c - 1 is the background: all columns are negative. It is
    `optax.losses.sigmoid_focal_loss` of one-hot labels, in float32 or wider. The usual divisor of
    the sum is the number of objects' places, at least 1.

    >>> import numpy as np
    >>> sigmoid_focal(np.zeros((1, 2), np.float32), np.array([0])).round(3).tolist()
    [[0.0430000014603138, 0.1300000101327896]]

    Source: Lin 2017, equation 5, https://arxiv.org/abs/1708.02002
    """
    logits = in_float32(jnp.asarray(logits))
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return optax.losses.sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma)


def gaussian_focal(
    logits: Float[Array | np.ndarray, '...'],
    targets: Float[Array | np.ndarray, '...'],
    *,
    alpha: float = 2.0,
    gamma: float = 4.0,
) -> Float[Array, '...']:
    """The focal loss of heat maps whose peaks are exactly 1, entry by entry.

    -(1 - p)^alpha log p where the target t is 1, else -(1 - t)^gamma p^alpha log(1 - p), with
    p = sigmoid(logit). From logits, so that no probability is 0 or 1 and no epsilon is needed.

    Args:
      targets: from 0 to 1.

    Source: Law 2018 (CornerNet), equation 1, https://arxiv.org/abs/1808.01244
    """
    logits, targets = in_float32(jnp.asarray(logits)), in_float32(jnp.asarray(targets))
    p, q = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    peak = -jnp.power(q, alpha) * jax.nn.log_sigmoid(logits)
    slope = -jnp.power(1.0 - targets, gamma) * jnp.power(p, alpha) * jax.nn.log_sigmoid(-logits)
    return jnp.where(targets == 1, peak, slope)
