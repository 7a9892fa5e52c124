"""The network of DHVT: a vision transformer with convolutions and head tokens (Lu et al., 2022).

https://arxiv.org/abs/2210.05958; vision_transformer.py of https://github.com/ArieSeirack/DHVT.
Batch norms have torch's momentum (0.9 here) and epsilon 1e-5; their running variance is the biased one,
torch's the unbiased one, n / (n - 1) times as large.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.attention import attend
from jaxsep.models.blocks.conv import Conv
from jaxsep.models.blocks.mobile import depthwise
from jaxsep.models.blocks.vit import Dense, VisionTransformer, conv_init, init, layer_norm

PARTS = ('overlap', 'aggregate', 'heads')


def batch_norm(name: str, train: bool, axis_name: str | None) -> nn.BatchNorm:
    """The batch norm of this network, see the top of the file."""
    return nn.BatchNorm(not train, momentum=0.9, axis_name=axis_name, name=name)


class Affine(nn.Module):
    """scale * x + offset for each channel, from 1 and 0."""

    @nn.compact
    def __call__(self, x: Float[Array, '*s c']) -> Float[Array, '*s c']:
        shape = (1,) * (x.ndim - 1) + x.shape[-1:]
        scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
        offset = self.param('offset', nn.initializers.zeros, x.shape[-1:])
        return x * scale.reshape(shape) + offset.reshape(shape)


class OverlappingEmbedding(nn.Module):
    """SOPE, sequential overlapping patch embedding: a stack of 3x3 convolutions of stride 2.

    Affine, then log2(patch_size) times convolution without bias and batch norm, with GELU between them,
    then affine. Each convolution doubles the channels, up to the width. A single one, for patches
    of 2, is followed by GELU too.

    Attributes:
      width: channels of the result.
      patch_size: a power of two; 2, 4 and 16 in the paper.
      axis_name: the pmap axis over which batch statistics are averaged, if any.

    Source: Lu 2022, section 3.2
    """

    width: int
    patch_size: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b k l d']:
        number = self.patch_size.bit_length() - 1
        if number < 1 or self.patch_size != 2**number:
            raise ValueError(f'patch_size: expected a power of two from 2, got {self.patch_size}')
        if self.width % 2 ** (number - 1):
            raise ValueError(
                f'width: expected a multiple of {2 ** (number - 1)} for patches of '
                f'{self.patch_size}, got {self.width}'
            )
        x = Affine(name='before')(x)
        for i in range(number):
            width = self.width // 2 ** (number - 1 - i)
            conv = partial(Conv, use_bias=False, kernel_init=conv_init, name=f'conv_{i}')
            x = conv(width, (3, 3), 2, 1)(x)
            x = batch_norm(f'norm_{i}', train, self.axis_name)(x)
            if i < number - 1 or number == 1:
                x = nn.gelu(x, approximate=False)
        return Affine(name='after')(x)


class AggregationFeedForward(nn.Module):
    """DAFF, dynamic aggregation feed-forward: an inverted residual on the map of patches.

    u = GELU(BN(W1 x)), v = u + GELU(BN(depthwise 3x3 (u))), t = BN(W2 v) on the patches; the class token
    is multiplied by W4 GELU(W3 mean(t)), without a sigmoid, W3 to a quarter of the width. The
    convolutions never see the class token. Their biases start at 0; batch norm takes them away.

    Attributes:
      hidden: channels of u and v.
      axis_name: the pmap axis over which batch statistics are averaged, if any.

    Source: Lu 2022, section 3.3
    """

    hidden: int
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b n d'], grid: tuple[int, int], train: bool = False
    ) -> Float[Array, 'b n d']:
        b, n, d = x.shape
        if n != 1 + grid[0] * grid[1]:
            raise ValueError(f'grid: expected {n - 1} patches beside the class token, got {grid}')

        def normalized(name, y):
            return batch_norm(name, train, self.axis_name)(y)

        pointwise = partial(nn.Dense, kernel_init=conv_init)
        first, y = x[:, :1], x[:, 1:].reshape(b, *grid, d)
        y = nn.gelu(
            normalized('norm_0', pointwise(self.hidden, name='expand')(y)), approximate=False
        )
        mixed = depthwise(self.hidden, use_bias=True, name='depthwise')(y)
        y = y + nn.gelu(normalized('norm_1', mixed), approximate=False)
        y = normalized('norm_2', pointwise(d, name='project')(y)).reshape(b, n - 1, d)
        weight = Dense(d // 4, name='compress')(jnp.mean(y, axis=1, keepdims=True))
        weight = Dense(d, name='excite')(nn.gelu(weight, approximate=False))
        return jnp.concatenate([first * weight, y], axis=1)


class HeadInteraction(nn.Module):
    """HI-MHSA, head-interacted self-attention: one more token for each head, made of its channels.

    The mean over all tokens, class token included, is cut into heads; each head's d / h channels are mapped
    to d, normalised in chunks of d / h, passed through GELU, and get a learned vector of the head.
    All tokens attend to all; the class token gets the mean of the h head tokens, which end there.

    Returns the tokens and the weights of each head [b, heads, n + heads, n + heads].

    Attributes:
      num_heads: h, divides the width.

    Source: Lu 2022, section 3.4
    """

    num_heads: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b n d']
    ) -> tuple[Float[Array, 'b n d'], Float[Array, 'b h k k']]:
        b, n, d = x.shape
        heads = self.num_heads
        if d % heads:
            raise ValueError(f'num_heads: expected a divisor of the width {d}, got {heads}')
        means = jnp.mean(x, axis=1).reshape(b, heads, d // heads)
        token = Dense(d, name='head_tokens')(means).reshape(b, heads, heads, d // heads)
        token = nn.gelu(layer_norm('head_norm', 1e-5)(token), approximate=False)
        token = token.reshape(b, heads, d) + self.param('head_positions', init, (1, heads, d))
        x = jnp.concatenate([x, token], axis=1)
        query, key, value = jnp.split(Dense(3 * d, name='qkv')(x), 3, axis=-1)
        y, weights = attend(query, key, value, heads)
        y = Dense(d, name='output')(y)
        first = y[:, :1] + jnp.mean(y[:, n:], axis=1, keepdims=True)
        return jnp.concatenate([first, y[:, 1:n]], axis=1), weights


def make_dhvt(
    *,
    width: int = 192,
    depth: int = 12,
    num_heads: int = 4,
    expansion: float | int = 4,
    patch_size: int = 4,
    rate: float = 0.1,
    parts: Sequence[str] = PARTS,
    positions: bool | None = None,
    axis_name: str | None = None,
) -> VisionTransformer:
    """DHVT, or a plain vision transformer with some of its parts.

    Args:
      width, depth, num_heads, expansion, patch_size, rate: see `VisionTransformer`; the
        defaults are DHVT-T on CIFAR.
      parts: of 'overlap' (`OverlappingEmbedding`), 'aggregate' (`AggregationFeedForward`) and
        'heads' (`HeadInteraction`); () for the plain transformer.
      positions: learned; None for: unless all parts are there, as in the paper.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """
    for part in parts:
        if part not in PARTS:
            raise ValueError(f'parts: expected some of {PARTS}, got {part!r}')
    if num_heads < 1 or width % num_heads:
        raise ValueError(f'num_heads: expected a divisor of width {width}, got {num_heads}')
    if depth < 1:
        raise ValueError(f'depth: expected at least 1, got {depth}')
    if not 0 <= rate < 1:
        raise ValueError(f'rate: expected a share from 0 to below 1, got {rate}')
    hidden = int(expansion * width)
    makers = {
        'overlap': ('embedding', partial(OverlappingEmbedding, width, patch_size, axis_name)),
        'aggregate': ('feed_forward', partial(AggregationFeedForward, hidden, axis_name)),
        'heads': ('attention', partial(HeadInteraction, num_heads)),
    }
    if positions is None:
        positions = set(parts) != set(PARTS)
    return VisionTransformer(
        width, depth, num_heads, expansion, patch_size, rate, positions,
        **dict(makers[part] for part in parts),
    )  # fmt: skip
