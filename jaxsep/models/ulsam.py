"""Subspace attention for mobile networks, and the networks with it (ULSAM; Saini et al., 2020).

https://arxiv.org/abs/2006.15102; ulsam.py of https://github.com/Nandan91/ULSAM, which publishes the
module alone: networks and places are those of the paper, see `NETWORKS` and `changed`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.blocks.mobile import (
    InvertedResidual,
    Normalized,
    SeparableBlock,
    conv_init,
    strided,
)
from jaxsep.ops import cost
from jaxsep.ops.geometry import in_float32

CHANGES = ('replace', 'insert', 'drop')


def uniform_init(bound: float) -> nn.initializers.Initializer:
    """Uniform between -bound and bound."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class ULSAM(nn.Module):
    """A spatial attention map for each subspace of channels; the subspace times the map is added to it.

    In every one of g contiguous chunks of channels: a factor and a summand for each channel, batch norm,
    ReLU; the maximum of 3x3 neighbours; a linear map of the channels to one number, batch norm,
    ReLU; the softmax A of these numbers over all h w places; x A + x. All chunks are computed at once:
    nothing that is shared mixes channels of two of them, so that this is g separate modules.

    A is near 1 / (h w): the module changes little at large maps, and negative numbers all become 0, the
    same attention everywhere. That is the paper's; `by_size` multiplies A by h w. The running
    statistics keep a tenth of the old value, as in the code (torch's momentum 0.9); flax keeps the
    biased variance of a batch, torch the unbiased one, n / (n - 1) times as large.

    Returns the new map and A.

    Attributes:
      num_splits: g, divides the channels; with 1 it is the code's SubSpace.
      by_size: multiply A by h w, so that its mean is 1; not in the paper.
      momentum: see above.
      axis_name: the pmap axis over which batch statistics are averaged, if any.

    Source: Saini 2020, section 3, equations 3 to 6
    """

    num_splits: int = 4
    by_size: bool = False
    momentum: float = 0.1
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[Float[Array, 'b h w c'], Float[Array, 'b h w g']]:
        b, h, w, c = x.shape
        check_splits(c, self.num_splits)
        width = c // self.num_splits

        def normalized(name, y):
            norm = Normalized(momentum=self.momentum, axis_name=self.axis_name, name=name)
            return norm(y, train)

        def per_channel(name, bound, size=c):
            return self.param(name, uniform_init(bound), (size,)).reshape(1, 1, 1, size)

        y = x * per_channel('scale', 1.0) + per_channel('offset', 1.0)
        y = normalized('channel_norm', y)
        y = neighbourhood_maximum(y)
        y = (y * per_channel('kernel', width**-0.5)).reshape(b, h, w, self.num_splits, width)
        y = jnp.sum(y, axis=-1) + per_channel('bias', width**-0.5, self.num_splits)
        y = in_float32(normalized('map_norm', y)).reshape(b, h * w, self.num_splits)
        attention = jax.nn.softmax(y, axis=1).reshape(b, h, w, self.num_splits)
        factor = attention * (h * w) if self.by_size else attention
        return x * jnp.repeat(factor, width, axis=-1).astype(x.dtype) + x, attention


def neighbourhood_maximum(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    """The maximum of each place and the eight around it, of each channel; for x that is nowhere below 0.

    First of three rows, then of three columns: six passes, while the window reduction that a max-pool
    compiles to takes ten times as long on a CPU, and longer still backward. Among equal numbers
    the first gets the gradient.

    >>> neighbourhood_maximum(jnp.array([5.0, 0, 0, 1]).reshape(1, 1, 4, 1)).ravel().tolist()
    [5.0, 5.0, 1.0, 1.0]
    """
    for axis in (1, 2):
        margin = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
        padded, size = jnp.pad(x, margin), x.shape[axis]
        left, middle, right = (
            jax.lax.slice_in_dim(padded, start, start + size, axis=axis) for start in range(3)
        )
        # By comparison: the gradient of jnp.maximum asks which argument equals the result, and one that
        # the compiler computes a second time, rounded otherwise, equals it no more.
        x = jnp.where(left >= middle, left, middle)
        x = jnp.where(x >= right, x, right)
    return x


def check_splits(channels: int, num_splits: int) -> None:
    """Raises ValueError unless the channels can be divided into so many subspaces."""
    if num_splits < 1 or channels % num_splits:
        raise ValueError(f'num_splits: expected a divisor of {channels} channels, got {num_splits}')


def ulsam_cost(
    channels: int, places: int, num_splits: int = 4, *, weights_only: bool = False
) -> cost.Cost:
    """What `ULSAM` costs: 5 c + 3 g parameters and 2 c multiply-adds at every place.

    Args:
      places: height times width.
      weights_only: the paper's count, 2 c: neither biases nor norms.

    >>> ulsam_cost(512, 14 * 14), ulsam_cost(512, 14 * 14, weights_only=True).parameters
    (Cost(parameters=2572, multiply_adds=200704), 1024)
    """
    check_splits(channels, num_splits)
    other = dict(bias=not weights_only, norm=not weights_only)
    depthwise = cost.convolution(channels, channels, places, groups=channels, **other)
    pointwise = cost.convolution(channels // num_splits, 1, places, **other)
    return cost.total(depthwise, *[pointwise] * num_splits)


class Layer(NamedTuple):
    """A layer of a mobile network.

    Attributes:
      kind: 'separable', 'inverted' or 'ulsam'.
      width: channels of its result.
      stride: 1 or 2.
      expansion: of an inverted residual: hidden channels over those of the input.
    """

    kind: str
    width: int
    stride: int = 1
    expansion: int = 6


class Network(NamedTuple):
    """A mobile network: a 3x3 convolution, layers, perhaps a pointwise convolution, mean, linear layer.

    Attributes:
      layers: after the stem.
      stem: channels of the first convolution.
      stem_stride: of it.
      last: channels of the pointwise convolution before the mean; 0 for none.
      bounded: ReLU6 where else is ReLU.
    """

    layers: tuple[Layer, ...]
    stem: int = 32
    stem_stride: int = 2
    last: int = 0
    bounded: bool = False


def _repeat(kind, *rows):
    """Layers from rows (width, number, stride of the first, expansion)."""
    return tuple(
        Layer(kind, width, stride if i == 0 else 1, expansion)
        for width, number, stride, expansion in rows
        for i in range(number)
    )


NETWORKS = {
    'mobilenet_v1': Network(
        _repeat(
            'separable', (64, 1, 1, 1), (128, 1, 2, 1), (128, 1, 1, 1), (256, 1, 2, 1), (256, 1, 1, 1),
            (512, 1, 2, 1), (512, 5, 1, 1), (1024, 1, 2, 1), (1024, 1, 1, 1),
        )
    ),
    'mobilenet_v2': Network(
        _repeat(
            'inverted', (16, 1, 1, 1), (24, 2, 2, 6), (32, 3, 2, 6), (64, 4, 2, 6), (96, 3, 1, 6),
            (160, 3, 2, 6), (320, 1, 1, 6),
        ),
        last=1280,
        bounded=True,
    ),
    'small': Network(
        _repeat('separable', (32, 1, 1, 1), (64, 1, 2, 1), (64, 5, 1, 1)), stem=16
    ),
    'tiny': Network(_repeat('separable', (8, 3, 1, 1)), stem=8),
}  # fmt: skip
"""The two networks of the paper, one for images of 32 x 32 with five equal layers as the first has, and
one with three, to try things on."""


def changed(network: Network, places: Sequence[int], change: str = 'replace') -> Network:
    """The network with attention at some of its layers.

    Args:
      places: numbers of layers as the paper counts them: the stem is 1, the first block 2.
        MobileNetV1 has equal layers at 8 to 12, MobileNetV2 at 13, 14 and 16, 17.
      change: 'replace' these layers by `ULSAM`, 'insert' it behind them, or 'drop' them, which tells
        what the attention adds to making the network smaller. Where layers go away, stride must be
        1 and the width that of the input.
    """
    if change not in CHANGES:
        raise ValueError(f'change: expected one of {CHANGES}, got {change!r}')
    widths = (network.stem, *(layer.width for layer in network.layers))
    layers = []
    for place in places:
        if not 2 <= place <= len(network.layers) + 1:
            raise ValueError(
                f'places: expected layers from 2 to {len(network.layers) + 1}, got {place}'
            )
        layer = network.layers[place - 2]
        equal = layer.stride == 1 and layer.width == widths[place - 2]
        if change != 'insert' and not equal:
            raise ValueError(
                f'places: layer {place} changes the shape of its input, so there is no {change} for it'
            )
    for place, layer in enumerate(network.layers, start=2):
        attention = Layer('ulsam', layer.width)
        if place not in places:
            layers.append(layer)
        elif change != 'drop':
            layers += [layer, attention] if change == 'insert' else [attention]
    return network._replace(layers=tuple(layers))


class Outcome(NamedTuple):
    """What a mobile network makes of images.

    Attributes:
      logits: of the classes.
      features: the mean over the last map.
      attention: of the last `ULSAM`, the mean of its subspaces; sums to 1. None where there is none.
    """

    logits: Float[Array, 'b k']
    features: Float[Array, 'b d']
    attention: Float[Array, 'b h w'] | None


class MobileNet(nn.Module):
    """A mobile network, with `ULSAM` where its layers say so.

    Attributes:
      network: its layers.
      num_classes: of the linear layer.
      num_splits, by_size, momentum: of `ULSAM`.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    network: Network
    num_classes: int
    num_splits: int = 4
    by_size: bool = False
    momentum: float = 0.1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Outcome:
        net, attention = self.network, None
        activation = nn.relu6 if net.bounded else nn.relu

        def normalized(name, y):
            return Normalized(activation, axis_name=self.axis_name, name=name)(y, train)

        stem = Conv(
            net.stem, (3, 3), net.stem_stride, 1, use_bias=False, kernel_init=conv_init, name='stem'
        )
        x = normalized('stem_norm', stem(x))
        for place, layer in enumerate(net.layers, start=2):
            if layer.kind == 'ulsam':
                module = ULSAM(self.num_splits, self.by_size, self.momentum, self.axis_name,
                               name=f'ulsam_{place}')  # fmt: skip
                x, maps = module(x, train)
                attention = jnp.mean(maps, axis=-1)
            else:
                x = block(layer, x.shape[-1], self.axis_name, f'{layer.kind}_{place}')(x, train)
        if net.last:
            last = nn.Dense(net.last, use_bias=False, kernel_init=conv_init, name='last')
            x = normalized('last_norm', last(x))
        features = jnp.mean(x, axis=(1, 2))
        return Outcome(nn.Dense(self.num_classes, name='head')(features), features, attention)


def block(
    layer: Layer, inputs: int, axis_name: str | None = None, name: str | None = None
) -> SeparableBlock | InvertedResidual:
    """The module of a layer that is no attention, for so many channels of input."""
    if layer.kind == 'separable':
        return SeparableBlock(layer.width, layer.stride, axis_name, name=name)
    hidden = layer.expansion * inputs
    return InvertedResidual(
        hidden,
        layer.width,
        stride=layer.stride,
        expand=layer.expansion > 1,
        axis_name=axis_name,
        name=name,
    )


def network_cost(
    network: Network, image: tuple[int, int, int], num_classes: int, num_splits: int = 4
) -> cost.Cost:
    """What `MobileNet` costs for an image [h, w, c].

    >>> network_cost(NETWORKS['mobilenet_v2'], (224, 224, 3), 1000)
    Cost(parameters=3504872, multiply_adds=300774272)
    """
    height, width, channels = image
    costs = []

    def shrink(stride):
        return -(-height // stride), -(-width // stride)

    places = strided(height, width, network.stem_stride)
    costs.append(cost.convolution(channels, network.stem, places, kernel_size=3, norm=True))
    height, width = shrink(network.stem_stride)
    channels = network.stem
    for layer in network.layers:
        if layer.kind == 'ulsam':
            costs.append(ulsam_cost(channels, height * width, num_splits))
        else:
            costs.append(block(layer, channels).cost(channels, height, width))
        height, width = shrink(layer.stride)
        channels = layer.width
    if network.last:
        costs.append(cost.convolution(channels, network.last, height * width, norm=True))
        channels = network.last
    return cost.total(*costs, cost.convolution(channels, num_classes, 1, bias=True))
