"""Generalised divisive normalisation, the nonlinearity of learnt image codecs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, matmul
from jaxsep.ops.lower_bound import lower_bound

PEDESTAL = 2.0**-36
SMALLEST_OFFSET = 1e-6


def stored(value: Float[Array, '...']) -> Float[Array, '...']:
    """The parameter that stands for a value of at least 0: sqrt(value + 2^-36)."""
    return jnp.sqrt(jnp.maximum(value + PEDESTAL, PEDESTAL))


def nonnegative(parameter: Float[Array, '...'], smallest: float = 0.0) -> Float[Array, '...']:
    """The value of a `stored` parameter, at least `smallest` (to rounding).

    lower_bound(parameter, sqrt(smallest + 2^-36))^2 - 2^-36. The square makes steps small where
    the value is; the pedestal keeps the gradient at 0 from vanishing.
    """
    return jnp.square(lower_bound(parameter, float(np.sqrt(smallest + PEDESTAL)))) - PEDESTAL


class GDN(nn.Module):
    """Divides each channel by what it and the other channels are in the same place.

    With n_i = beta_i + sum_j gamma_ij x_j^2, y_i = x_i / sqrt(n_i); inverse: x_i sqrt(n_i).
    simplified (GDN1): n_i = beta_i + sum_j gamma_ij |x_j|, y_i = x_i / n_i; inverse: x_i n_i.
    beta starts at 1, gamma at 0.1 times the identity. float32 for half precision inputs.

    Attributes:
      inverse: multiply, in a decoder.
      simplified: GDN1, cheaper, and as good in codecs (Johnston 2019).

    Source: Ballé 2016, https://arxiv.org/abs/1511.06281; GDN1: Johnston 2019,
    https://arxiv.org/abs/1912.08771
    """

    inverse: bool = False
    simplified: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, '*s c']) -> Float[Array, '*s c']:
        x, channels = in_float32(x), x.shape[-1]
        beta = self.param('beta', lambda _: stored(jnp.ones(channels)))
        gamma = self.param('gamma', lambda _: stored(0.1 * jnp.eye(channels)))
        beta, gamma = nonnegative(beta, SMALLEST_OFFSET), nonnegative(gamma)
        size = jnp.abs(x) if self.simplified else jnp.square(x)
        norm = matmul(size, gamma.T)
        norm = norm + beta.reshape((1,) * (norm.ndim - 1) + (-1,))
        if not self.simplified:
            return x * (jnp.sqrt(norm) if self.inverse else jax.lax.rsqrt(norm))
        return x * norm if self.inverse else x / norm
