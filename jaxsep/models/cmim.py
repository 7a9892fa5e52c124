"""The two halves of a probabilistic auto-encoder; the decoder shows its last hidden layer."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class GaussianEncoder(nn.Module):
    """Mean and log-variance of a code, linear in the features of a network after ReLU.

    Attributes:
      network: gives one row of features per example.
      size: dimensions of the code.
      logvar_range: log-variances outside are clipped to it, and get no gradient there.
    """

    network: nn.Module
    size: int
    logvar_range: tuple[float, float] = (-8.0, 4.0)

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b *s'], train: bool = False
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b d']]:
        features = nn.relu(self.network(x, train))
        mean, logvar = jnp.split(nn.Dense(2 * self.size)(features), 2, axis=-1)
        return mean, jnp.clip(logvar, *self.logvar_range)


class Decoder(nn.Module):
    """Linear layers with ReLU from a code to the parameters of p(x|z).

    Returns one parameter per number of an example, and the last hidden layer. Read at the mean
    code of an example, that layer is its *informative embedding* (Livne 2025): what the
    decoder made of the code, had without any training, from any auto-encoder.

    Attributes:
      widths: of the hidden layers; without any, the code is its own last hidden layer.
      shape: of an example.
    """

    widths: Sequence[int]
    shape: Sequence[int]

    @nn.compact
    def __call__(self, z: Float[Array, 'b d']) -> tuple[Float[Array, 'b *s'], Float[Array, 'b h']]:
        for width in self.widths:
            z = nn.relu(nn.Dense(width)(z))
        output = nn.Dense(math.prod(self.shape))(z)
        return output.reshape(-1, *self.shape), z
