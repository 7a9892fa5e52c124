"""RetinaNet: a feature pyramid and two towers of convolutions that all levels share (Lin et al., 2017).

https://arxiv.org/abs/1708.02002. Several branches may predict from the same towers, as the
anchor-free one of FSAF beside the anchors (Zhu et al., 2019, figure 4).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.fpn import Maps, flatten_places


class Branch(NamedTuple):
    """One kind of prediction.

    Attributes:
      name: of its parameters.
      priors: how many boxes each cell starts from.
      box_bias: where the biases of the box numbers start.
    """

    name: str
    priors: int
    box_bias: float = 0.0


class RetinaHead(nn.Module):
    """Class logits and four box numbers for each prior of each cell of each level.

    Attributes:
      num_classes: columns of the logits, without the background.
      branches: what predicts from the two towers.
      width: channels of the towers.
      depth: 3x3 convolutions with ReLU in each tower.
      deviation: of the initial kernels; 0.01 in the paper. 0 takes He's for the towers, which a net
        that learns for minutes only needs.
      prior_probability: of every class at the start, which sets the bias of the logits.
      groups: of a group normalisation after each convolution of the towers; 0 for none.
    """

    num_classes: int
    branches: Sequence[Branch] = (Branch('anchors', 9),)
    width: int = 256
    depth: int = 4
    deviation: float = 0.01
    prior_probability: float = 0.01
    groups: int = 0

    @nn.compact
    def __call__(
        self, maps: Maps
    ) -> dict[str, list[tuple[Float[Array, 'b n c'], Float[Array, 'b n 4']]]]:
        """Branch -> of each level logits and box numbers; cells row by row, priors fastest."""
        start = nn.initializers.normal(self.deviation or 0.01)
        inner = start if self.deviation else nn.initializers.he_normal()
        towers = {}
        for kind in ('class', 'box'):
            layers = []
            for i in range(self.depth):
                layers.append(
                    Conv(self.width, (3, 3), padding=1, kernel_init=inner, name=f'{kind}_tower_{i}')
                )
                if self.groups:
                    layers.append(nn.GroupNorm(self.groups, name=f'{kind}_norm_{i}'))
                layers.append(nn.relu)
            towers[kind] = layers
        background = -math.log((1 - self.prior_probability) / self.prior_probability)
        last = {}
        for name, priors, box_bias in self.branches:
            biases = {'class': background, 'box': box_bias}
            for kind, width in (('class', self.num_classes), ('box', 4)):
                last[name, kind] = Conv(
                    priors * width,
                    (3, 3),
                    padding=1,
                    kernel_init=start,
                    bias_init=nn.initializers.constant(biases[kind]),
                    name=f'{name}_{kind}',
                )
        found = {name: [] for name, _, _ in self.branches}
        for x in maps:
            seen = {kind: passed(layers, x) for kind, layers in towers.items()}
            for name in found:
                logits = flatten_places(last[name, 'class'](seen['class']), self.num_classes)
                found[name].append((logits, flatten_places(last[name, 'box'](seen['box']), 4)))
        return found


def passed(layers, x: jax.Array) -> jax.Array:
    """What a list of layers makes of x, one after the other."""
    for layer in layers:
        x = layer(x)
    return x


class RetinaNet(nn.Module):
    """Backbone, pyramid and head.

    Attributes:
      backbone: images -> maps, of `jaxsep.models.fpn.make_maps`.
      pyramid: maps -> maps of one width.
      head: maps -> predictions.
    """

    backbone: nn.Module
    pyramid: nn.Module
    head: nn.Module

    def __call__(self, images: Float[Array, 'b h w c'], train: bool = False):
        """Shapes of the levels' maps, and what the head predicts of them."""
        maps = self.pyramid(self.backbone(images, train))
        return [x.shape[1:3] for x in maps], self.head(maps)
