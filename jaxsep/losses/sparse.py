"""What sparse autoencoders minimise: the error of the reconstruction, and how many codes are active.

`axis_name` as in `jaxsep.losses.contrastive`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.sparse_activations import is_above


def mean_squared_error(
    x: Float[Array, 'n d'], reconstruction: Float[Array, 'n d'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """The squared error averaged over all entries: mean_{i, c} (x_ic - xhat_ic)^2.

    Times d it is the mean over rows of ||x - xhat||^2, which many sparse autoencoders write.

    Empty case: 0 without rows.

    >>> import jax.numpy as jnp
    >>> mean_squared_error(jnp.ones((2, 4)), jnp.zeros((2, 4))).item()
    1.0
    """
    squares = jnp.mean(jnp.square(in_float32(x) - in_float32(reconstruction)), axis=1)
    return devices.mean(squares, axis_name)


def l1(codes: Float[Array, 'n m'], *, axis_name: str | None = None) -> Float[Array, '']:
    """The mean over rows of sum_j |z_j|; the gradient at 0 is 0.

    Meant with unit-norm atoms: else small codes and long atoms make it as small as one likes.

    Empty case: 0 without rows.
    """
    z = in_float32(codes)
    return devices.mean(jnp.sum(z * jnp.sign(z), axis=1), axis_name)


def expected_l0(
    codes: Float[Array, 'n m'],
    thresholds: Float[Array, 'm'],
    bandwidth: float,
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean over rows of how many entries are above their threshold (JumpReLU).

    The gradient is the pseudo-gradient of `jaxsep.ops.sparse_activations.is_above`: in the
    thresholds only.

    Empty case: 0 without rows.

    Source: Rajamanoharan et al., Jumping ahead (2024), https://arxiv.org/abs/2407.14435, eq. 9
    """
    counts = jnp.sum(is_above(in_float32(codes), in_float32(thresholds), bandwidth), axis=1)
    return devices.mean(counts, axis_name)
