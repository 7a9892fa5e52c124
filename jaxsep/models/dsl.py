"""A network that looks at parts of the image, and a layer whose rows can start anew."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.resnet import DEPTHS, Block
from jaxsep.ops.max_pool import max_pool


class SpatialAttention(nn.Module):
    """A weight between 0 and 1 for every place of a feature map.

    Three 3x3 convolutions, c -> c/8 -> c/32 -> 1 channels (at least 1), with ReLU between and a
    sigmoid behind. The features of an image are the mean over ALL places of map times weight:
    not divided by the sum of the weights.

    Source: Adiga V 2022 (Dynamic Subspace Learners), section III-A.
    """

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w 1']:
        channels = x.shape[-1]
        y = nn.relu(Conv(max(channels // 8, 1), (3, 3))(x))
        y = nn.relu(Conv(max(channels // 32, 1), (3, 3))(y))
        return nn.sigmoid(Conv(1, (3, 3))(y))


class ConvMap(nn.Module):
    """3x3 convolutions with batch normalisation and ReLU; halves the map before each but the last.

    Attributes:
      widths: channels after each convolution.
    """

    widths: Sequence[int]
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b p q f']:
        for i, width in enumerate(self.widths):
            stride = 1 if i + 1 == len(self.widths) else 2
            x = Conv(width, (3, 3), strides=stride, use_bias=False)(x)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
            x = nn.relu(x)
        return x


class ResNetMap(nn.Module):
    """The first stages of a residual network, as a map: 1024 channels of ResNet-50 by default."""

    depth: int = 50
    stages: int = 3
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b p q f']:
        norm = partial(nn.BatchNorm, not train, axis_name=self.axis_name, momentum=0.9)
        blocks, bottleneck = DEPTHS[self.depth]
        x = nn.relu(norm()(Conv(64, (7, 7), 2, padding=3, use_bias=False)(x)))
        x = max_pool(x, (3, 3), (2, 2), padding='SAME')
        for stage, count in enumerate(blocks[: self.stages]):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                x = Block(64 * 2**stage, stride, bottleneck, norm)(x)
        return x


class AttendedFeatures(nn.Module):
    """A feature map weighted by `SpatialAttention`, averaged over space.

    Returns the features [b c] and the attention [b h w].
    """

    backbone: nn.Module

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[Float[Array, 'b f'], Float[Array, 'b p q']]:
        maps = self.backbone(x, train)
        attention = SpatialAttention()(maps)
        return jnp.mean(maps * attention, axis=(1, 2)), attention[..., 0]


def make_map(*, name: str, axis_name: str | None = None, **options) -> nn.Module:
    """The backbone a config names: conv (`ConvMap`) or resnet (`ResNetMap`), with its attributes."""
    kinds = {'conv': ConvMap, 'resnet': ResNetMap}
    if name not in kinds:
        raise ValueError(f'backbone.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        return kinds[name](axis_name=axis_name, **options)
    except TypeError as error:
        raise ValueError(f'backbone: {error}') from None


@partial(jax.jit, static_argnums=2)
def drop(keys: Key[Array, 'b'], features: Float[Array, 'b c'], rate: float) -> Float[Array, 'b c']:
    """Dropout with a key per row, so that the number of devices changes nothing.

    Each entry is 0 with probability `rate`, else divided by 1 - rate.
    """
    if not 0 <= rate < 1:
        raise ValueError(f'dropout: expected a rate in [0, 1), got {rate}')

    def row(key, x):
        kept = jax.random.bernoulli(jax.random.fold_in(key, 1), 1 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0.0)

    return jax.vmap(row)(keys, features)


class RenewableLayer(nn.Module):
    """A linear layer whose output dimensions can start anew while the optimizer runs on.

    y = x (kernel + kernel_offset) + bias + bias_offset. The offsets are constants to the optimizer;
    to start a dimension anew is to set its offset to (new weights - current parameters).
    Training then goes on from the new weights as if they had been the parameters, except
    that weight decay pulls towards the offset, not towards 0.

    Attributes:
      features: output dimensions.
    """

    features: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b c'],
        kernel_offset: Float[Array, 'c d'],
        bias_offset: Float[Array, 'd'],
    ) -> Float[Array, 'b d']:
        shape = (x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.xavier_normal(), shape)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        return x @ (kernel + kernel_offset) + (bias + bias_offset)[None, :]


def renew(
    key: Key[Array, ''],
    kernel: Float[Array, 'c d'],
    bias: Float[Array, 'd'],
    offsets: tuple[Float[Array, 'c d'], Float[Array, 'd']],
    renewed: Bool[Array, 'd'],
) -> tuple[Float[Array, 'c d'], Float[Array, 'd']]:
    """Offsets of a `RenewableLayer` with which some dimensions start anew, Xavier-initialised.

    Weights normal with variance 2 / (c + number of renewed dimensions), bias 0; the others keep
    their offsets.

    Source: Adiga V 2022's code, which renews the parameters themselves.
    """
    count = jnp.sum(renewed)
    fresh = jax.random.normal(key, kernel.shape) * jnp.sqrt(2.0 / (kernel.shape[0] + count))
    return (
        jnp.where(renewed[None, :], fresh - kernel, offsets[0]),
        jnp.where(renewed, -bias, offsets[1]),
    )
