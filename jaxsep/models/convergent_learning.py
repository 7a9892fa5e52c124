"""Small classifiers that hand out the activations of every layer."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.max_pool import max_pool


class LayeredMlp(nn.Module):
    """Linear layers with ReLU; returns what each gives as layer1, layer2, ..., and the logits.

    Attributes:
      num_classes: of the last layer.
      widths: of the hidden ones.
    """

    num_classes: int
    widths: Sequence[int] = (32, 32)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the hidden layers, first one first."""
        return tuple(f'layer{i + 1}' for i in range(len(self.widths)))

    @nn.compact
    def __call__(self, x: Float[Array, 'b *s']) -> dict[str, Array]:
        x = x.reshape(x.shape[0], -1)
        activations = {}
        for name, width in zip(self.layers, self.widths, strict=True):
            x = activations[name] = nn.relu(nn.Dense(width, name=name)(x))
        return {**activations, 'logits': nn.Dense(self.num_classes, name='logits')(x)}


class LayeredConv(nn.Module):
    """3x3 convolutions with ReLU, then a linear layer; returns every layer's map and the logits.

    Maps are [b, h, w, c]. Each but the last is halved by a maximum before the next layer sees it.

    Attributes:
      num_classes: of the linear layer, which sees every place of the last map.
      widths: of the convolutions.
      stride: of the first of them.
    """

    num_classes: int
    widths: Sequence[int] = (16, 32)
    stride: int = 2

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the convolutions, first one first."""
        return tuple(f'layer{i + 1}' for i in range(len(self.widths)))

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> dict[str, Array]:
        activations = {}
        for name, width in zip(self.layers, self.widths, strict=True):
            stride = 1 if activations else self.stride
            x = max_pool(x, (2, 2), (2, 2)) if activations else x
            x = activations[name] = nn.relu(Conv(width, (3, 3), stride, name=name)(x))
        x = max_pool(x, (2, 2), (2, 2))
        logits = nn.Dense(self.num_classes, name='logits')(x.reshape(x.shape[0], -1))
        return {**activations, 'logits': logits}


def make_network(*, name: str, num_classes: int, **options) -> nn.Module:
    """The classifier a config names.

    Args:
      name: mlp (`LayeredMlp`) or conv (`LayeredConv`).
      options: further attributes of that module.
    """
    kinds = {'mlp': LayeredMlp, 'conv': LayeredConv}
    if name not in kinds:
        raise ValueError(f'network.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        return kinds[name](num_classes, **options)
    except TypeError as error:
        raise ValueError(f'network: {error}') from None
