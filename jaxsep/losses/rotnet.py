"""The loss of rotation prediction (RotNet; Gidaris et al., 2018)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def rotation_loss(
    logits: Float[Array, 'n k'], rotations: Int[Array, 'n'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """How surprised a network is by the rotation that each image was given.

    mean over i of -log softmax(logits_i)[rotations_i], over all rotated copies of all images
    (k = 4 rotations, n = 4 b rows in the paper). Finite for logits of any finite size; 0
    without rows. With `axis_name` the rows are those of this device, and the value is the one
    of all rows. float32 for half precision inputs.
    Gidaris et al. 2018 (https://arxiv.org/abs/1803.07728), equations 1 and 2.

    Args:
      rotations: which rotation each row shows, 0 to k - 1.

    >>> round(float(rotation_loss(jnp.zeros((8, 4)), jnp.arange(8) % 4)), 4)  # log 4
    1.3863
    """
    log_probabilities = jax.nn.log_softmax(in_float32(logits), axis=-1)
    chosen = jnp.take_along_axis(log_probabilities, rotations[:, None], axis=-1)[:, 0]
    return -devices.mean(chosen, axis_name)
