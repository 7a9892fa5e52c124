"""The two networks of SepCLR (Louiset et al., 2024), which share nothing."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxsep.models.encoders import Mlp


class Branch(nn.Module):
    """An encoder, a linear layer that narrows it, and a head back to the same width.

    Returns the features, which are for use, and the head's outputs, which the loss sees.

    Attributes:
      encoder: the network.
      features: outputs of the linear layer; 0 for the encoder as it is.
      hidden: width of the head's hidden layer.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    encoder: nn.Module
    features: int = 0
    hidden: int = 128
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b *s'], train: bool = False
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b d']]:
        x = self.encoder(x, train)
        if self.features:
            x = nn.Dense(self.features)(x)
        return x, Mlp((self.hidden, x.shape[-1]), axis_name=self.axis_name)(x, train)


class CommonAndSalient(nn.Module):
    """Two branches on the same image: the pairs of common and of salient (features, outputs)."""

    common: Branch
    salient: Branch

    def __call__(self, x: Float[Array, 'b *s'], train: bool = False):
        return self.common(x, train), self.salient(x, train)
