"""The gate that opens a subspace for a pair of classes, and the head whose dimensions it closes."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class PairGate(nn.Module):
    """A gate in (0, 1)^d for each pair of classes; it sees the labels only, never the image.

    e = (E[y1] + E[y2]) / 2, then ReLU, BN, linear, ReLU, BN, linear, sigmoid: the ReLU stands
    BEFORE the batch normalisation, both times. E is normal with variance 1. Without y2 the gate
    of the single class, e = E[y1]. The order of the two classes does not matter.

    In training the normalisation sees a batch of label embeddings. Its running variance takes the
    biased variance of the batch, as flax has it; torch, the original's, takes the unbiased
    one. Outputs in training are the same.

    Attributes:
      num_classes: rows of E.
      features: d, dimensions of the embedding that is gated.
      embedding: width of E (512 in the original).
      hidden: width between the linear layers (1024 in the original).
      product: the gate of a pair is the product of the two single gates (`fuse=False`).
      axis_name: the pmap axis over which batch statistics are averaged, if any.

    Source: Wu 2024, https://arxiv.org/abs/2410.18200, `BasicGate` in erow/vitookit.
    """

    num_classes: int
    features: int
    embedding: int = 512
    hidden: int = 1024
    product: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, y1: Int[Array, 'b'], y2: Int[Array, 'b'] | None = None, train: bool = False
    ) -> Float[Array, 'b d']:
        table = nn.Embed(
            self.num_classes, self.embedding, embedding_init=nn.initializers.normal(1.0)
        )
        norms = [nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9) for _ in range(2)]
        layers = [nn.Dense(self.hidden), nn.Dense(self.features)]

        def gate(e):
            for norm, layer in zip(norms, layers, strict=True):
                e = layer(norm(nn.relu(e)))
            return nn.sigmoid(e)

        if y2 is None:
            return gate(table(y1))
        if self.product:
            return gate(table(y1)) * gate(table(y2))
        return gate((table(y1) + table(y2)) / 2)


class LayerNormHead(nn.Module):
    """Linear, BN, ReLU, linear without bias, and LayerNorm last.

    A batch normalisation in the last place would give every dimension the same spread again
    and keep a gate from closing one.

    Attributes:
      hidden: width after the first layer (2048 in the original).
      features: outputs (256 in the original).

    Source: `build_head(2, ..., last_norm='ln')` in erow/vitookit.
    """

    hidden: int = 2048
    features: int = 256
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b c'], train: bool = False) -> Float[Array, 'b d']:
        x = nn.Dense(self.hidden)(x)
        x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
        x = nn.Dense(self.features, use_bias=False)(nn.relu(x))
        return nn.LayerNorm(epsilon=1e-5)(x)


def open_gate(labels: Int[Array, 'b'], features: int) -> Float[Array, 'b d']:
    """A gate of ones for every row: no subspace, the ablation."""
    return jnp.ones((*labels.shape, features))
