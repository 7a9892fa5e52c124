"""Blocks of mobile networks: depthwise separable convolution and inverted residual, with their costs.

Howard et al., 2017 (https://arxiv.org/abs/1704.04861), Sandler et al., 2018
(https://arxiv.org/abs/1801.04381), Howard et al., 2019 (https://arxiv.org/abs/1905.02244).
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops import cost

conv_init = nn.initializers.he_normal()


class Normalized(nn.Module):
    """Batch normalisation and an activation.

    Attributes:
      activation: None for none.
      momentum: share of the old running statistics that stays; torch says 1 minus it.
      epsilon: beside the variance.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    activation: Callable | None = nn.relu
    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b *s c'], train: bool = False) -> Float[Array, 'b *s c']:
        norm = nn.BatchNorm(
            not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            use_fast_variance=False,  # mean((x - mean)^2), which does not cancel
            axis_name=self.axis_name,
            name='norm',
        )
        x = norm(x)
        return x if self.activation is None else self.activation(x)


def depthwise(
    channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    name: str | None = None,
    use_bias: bool = False,
) -> nn.Module:
    """One filter for each channel, padded so that stride 1 keeps height and width."""
    if kernel_size % 2 == 0:
        raise ValueError(f'kernel_size: expected an odd number, got {kernel_size}')
    return Conv(
        channels, (kernel_size, kernel_size), stride, padding=kernel_size // 2, use_bias=use_bias,
        feature_group_count=channels, kernel_init=conv_init, name=name,
    )  # fmt: skip


def pointwise(width: int, name: str) -> nn.Dense:
    """A 1x1 convolution without bias."""
    return nn.Dense(width, use_bias=False, kernel_init=conv_init, name=name)


class SeparableBlock(nn.Module):
    """A depthwise 3x3 convolution and a pointwise one, each with batch norm and ReLU: MobileNetV1.

    Attributes:
      width: channels of the result.
      stride: of the depthwise convolution.
      axis_name: see `Normalized`.
    """

    width: int
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b k l d']:
        x = depthwise(x.shape[-1], stride=self.stride, name='depthwise')(x)
        x = Normalized(axis_name=self.axis_name, name='depthwise_norm')(x, train)
        x = pointwise(self.width, 'pointwise')(x)
        return Normalized(axis_name=self.axis_name, name='pointwise_norm')(x, train)

    def cost(self, inputs: int, height: int, width: int) -> cost.Cost:
        """Of a map with so many channels, rows and columns."""
        return cost.separable(inputs, self.width, strided(height, width, self.stride))


def strided(height: int, width: int, stride: int) -> int:
    """Places of a map that a stride leaves: ceil(height / stride) ceil(width / stride)."""
    return -(-height // stride) * -(-width // stride)


class SqueezeExcite(nn.Module):
    """Channels weighted by what two linear layers make of their means over space.

    x * gate(W2 relu(W1 mean(x) + b1) + b2).

    Attributes:
      hidden: between the two layers.
      gate: sigmoid (Hu et al., 2018); `flax.linen.hard_sigmoid` in MobileNetV3.
    """

    hidden: int
    gate: Callable = nn.sigmoid

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
        y = nn.relu(nn.Dense(self.hidden, name='squeeze')(jnp.mean(x, axis=(1, 2), keepdims=True)))
        return x * self.gate(nn.Dense(x.shape[-1], name='excite')(y))


class InvertedResidual(nn.Module):
    """Few channels, many, a depthwise convolution among them, few: MobileNetV2 and V3.

    Pointwise, batch norm, activation; depthwise, batch norm, activation, squeeze-excite if asked;
    pointwise, batch norm, no activation. The input is added where its shape is the result's.

    Attributes:
      hidden: channels of the depthwise convolution.
      width: channels of the result.
      kernel_size: of the depthwise convolution.
      stride: of the depthwise convolution.
      expand: with the first pointwise convolution; without, hidden is the width of the input.
      activation: ReLU6 in MobileNetV2.
      squeeze: makes a module map -> map of a name, such as a partial `SqueezeExcite`; None for none.
      axis_name: see `Normalized`.
    """

    hidden: int
    width: int
    kernel_size: int = 3
    stride: int = 1
    expand: bool = True
    activation: Callable = nn.relu6
    squeeze: Callable[..., nn.Module] | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b k l d']:
        if not self.expand and x.shape[-1] != self.hidden:
            raise ValueError(
                f'hidden: expected {x.shape[-1]}, the channels of the input, got {self.hidden}'
            )

        def normalized(name, y, activation=self.activation):
            return Normalized(activation, axis_name=self.axis_name, name=name)(y, train)

        y = x
        if self.expand:
            y = normalized('expand_norm', pointwise(self.hidden, 'expand')(y))
        y = depthwise(self.hidden, self.kernel_size, self.stride, 'depthwise')(y)
        y = normalized('depthwise_norm', y)
        if self.squeeze is not None:
            y = self.squeeze(name='squeeze')(y)
        y = normalized('project_norm', pointwise(self.width, 'project')(y), None)
        return x + y if x.shape == y.shape else y

    def cost(self, inputs: int, height: int, width: int) -> cost.Cost:
        """As `SeparableBlock.cost`; squeeze-excite is not counted."""
        places = strided(height, width, self.stride)
        rest = cost.separable(self.hidden, self.width, places, kernel_size=self.kernel_size)
        if not self.expand:
            return rest
        return cost.total(cost.convolution(inputs, self.hidden, height * width, norm=True), rest)
