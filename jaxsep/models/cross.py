"""Crosses of features: layers that multiply the input with itself (DCN-V2)."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def cross(
    x0: Float[Array, 'b d'], x: Float[Array, 'b d'], weight: Float[Array, 'd d'],
    bias: Float[Array, 'd'],
) -> Float[Array, 'b d']:  # fmt: skip
    """A full-rank cross layer of DCN-V2: x0 * (W x + b) + x, where * is entry by entry.

    After l layers the entries are polynomials of degree l + 1 in those of x0.

    Args:
      x0: the input of the network; x: of this layer.
      weight: W transposed, as a Dense layer keeps it.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 2.0]])
    >>> cross(x, x, jnp.eye(2), jnp.array([0.5, 0.0])).tolist()
    [[2.5, 6.0]]

    Source: Wang et al., DCN V2 (2021), https://arxiv.org/abs/2008.13535, equation 1
    """
    x0, x = in_float32(x0), in_float32(x)
    return x0 * (x @ weight + bias[None, :]) + x


class CrossNetwork(nn.Module):
    """Some cross layers, one after the other.

    Attributes:
      depth: how many.
    """

    depth: int

    @nn.compact
    def __call__(self, x0: Float[Array, 'b d']) -> Float[Array, 'b d']:
        d, x = x0.shape[1], x0
        for layer in range(self.depth):
            weight = self.param(f'kernel_{layer}', nn.initializers.lecun_normal(), (d, d))
            bias = self.param(f'bias_{layer}', jax.nn.initializers.zeros, (d,))
            x = cross(x0, x, weight, bias)
        return x
