"""Vision transformers in parts: patches, attention, feed-forward layer, pre-norm block, the whole.

Dosovitskiy et al., 2021 (https://arxiv.org/abs/2010.11929), trained as by Touvron et al., 2021
(https://arxiv.org/abs/2012.12877). Variants give the transformer another embedding of the patches, or
its blocks another attention or feed-forward layer.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxsep.models.blocks.attention import attend
from jaxsep.models.blocks.conv import Conv

# The truncation of the original's initialiser is at 2, a hundred standard deviations away.
init = nn.initializers.normal(0.02)
Dense = partial(nn.Dense, kernel_init=init)
# As torch's convolutions start: uniform with variance 1 / (3 inputs of a filter).
conv_init = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
Make = Callable[..., nn.Module]


class Seen(NamedTuple):
    """What a transformer makes of images.

    Attributes:
      tokens: after the last norm; the class token, then the patches row by row.
      attention: weights of the last block, one map from token to token for each head; a variant may
        attend to further tokens after the patches.
      grid: rows and columns of patches.
    """

    tokens: Float[Array, 'b n d']
    attention: Float[Array, 'b h q k']
    grid: tuple[int, int]


def layer_norm(name: str, epsilon: float = 1e-6) -> nn.LayerNorm:
    """The norm of these networks; the variance as mean((x - mean)^2), which does not cancel."""
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)


def drop_path(
    keys: Key[Array, 'b'] | None, x: Float[Array, 'b *s'], rate: float, place: int
) -> Float[Array, 'b *s']:
    """Stochastic depth: a branch as a whole is left out for some examples, else divided by 1 - rate.

    Each example draws from its own key, so that neither the other rows nor the number of devices
    matter. Without keys or with rate 0 nothing happens.

    Args:
      rate: probability that an example loses the branch, 0 <= rate < 1.
      place: where in the network; other places draw other numbers from the same keys.

    Source: Huang 2016, https://arxiv.org/abs/1603.09382
    """
    if keys is None or rate == 0:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, place), 1 - rate))(
        keys
    )
    return jnp.where(kept.reshape(-1, *[1] * (x.ndim - 1)), x / (1 - rate), 0.0)


class PatchEmbedding(nn.Module):
    """Patches that do not overlap, each mapped linearly: a convolution whose stride is its size.

    Attributes:
      width: channels of the result.
      patch_size: of a side; divides the image's.
    """

    width: int
    patch_size: int

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b k l d']:
        del train
        size = (self.patch_size, self.patch_size)
        if x.shape[1] % self.patch_size or x.shape[2] % self.patch_size:
            raise ValueError(
                f'patch_size: expected a divisor of {x.shape[1]} and {x.shape[2]}, '
                f'got {self.patch_size}'
            )
        return Conv(self.width, size, size, 'VALID', kernel_init=conv_init, name='patches')(x)


class Attention(nn.Module):
    """Self-attention among the tokens; queries, keys and values come from one linear layer.

    Returns the tokens and the weights of each head [b, heads, n, n].

    Attributes:
      num_heads: divides the width.
    """

    num_heads: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b n d']
    ) -> tuple[Float[Array, 'b n d'], Float[Array, 'b h n n']]:
        query, key, value = jnp.split(Dense(3 * x.shape[-1], name='qkv')(x), 3, axis=-1)
        y, weights = attend(query, key, value, self.num_heads)
        return Dense(x.shape[-1], name='output')(y), weights


class FeedForward(nn.Module):
    """Two linear layers with exact GELU between them, for each token on its own."""

    hidden: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b n d'], grid: tuple[int, int], train: bool = False
    ) -> Float[Array, 'b n d']:
        del grid, train
        y = nn.gelu(Dense(self.hidden, name='hidden')(x), approximate=False)
        return Dense(x.shape[-1], name='output')(y)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)), each branch under stochastic depth.

    Attributes:
      attention: makes a module tokens -> tokens, weights, of a name.
      feed_forward: makes a module tokens, grid, train -> tokens, of a name.
      rate: of both branches, see `drop_path`.
      place: number of the block.
    """

    attention: Make
    feed_forward: Make
    rate: float | int = 0.0
    place: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b n d'],
        grid: tuple[int, int],
        keys: Key[Array, 'b'] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, 'b n d'], Float[Array, 'b h q k']]:
        y, weights = self.attention(name='attention')(layer_norm('attention_norm')(x))
        x = x + drop_path(keys, y, self.rate, 2 * self.place)
        y = self.feed_forward(name='feed_forward')(layer_norm('feed_forward_norm')(x), grid, train)
        return x + drop_path(keys, y, self.rate, 2 * self.place + 1), weights


class VisionTransformer(nn.Module):
    """A class token and the patches, through blocks that raise the rate of stochastic depth.

    Without further options it is the plain vision transformer, DeiT without distillation.

    Attributes:
      width: of a token.
      depth: number of blocks.
      num_heads: of the attention; divides the width.
      expansion: width of a hidden layer over the token's.
      patch_size: of a side.
      rate: of stochastic depth in the last block; it rises linearly from 0 in the first.
      positions: add learned vectors, one for each place, to class token and patches. They fit images
        of one size.
      embedding: makes a module image, train -> map of patches; `PatchEmbedding` if None.
      attention, feed_forward: see `Block`; `Attention` and `FeedForward` if None.
    """

    width: int = 192
    depth: int = 12
    num_heads: int = 3
    expansion: float | int = 4
    patch_size: int = 16
    rate: float | int = 0.0
    positions: bool = True
    embedding: Make | None = None
    attention: Make | None = None
    feed_forward: Make | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b h w c'],
        keys: Key[Array, 'b'] | None = None,
        train: bool = False,
    ) -> Seen:
        embedding = self.embedding or partial(PatchEmbedding, self.width, self.patch_size)
        attention = self.attention or partial(Attention, self.num_heads)
        feed_forward = self.feed_forward or partial(FeedForward, int(self.expansion * self.width))
        patches = embedding(name='embedding')(x, train)
        b, *grid, _ = patches.shape
        first = self.param('class_token', init, (1, 1, self.width))
        x = jnp.concatenate(
            [jnp.tile(first, (b, 1, 1)), patches.reshape(b, -1, self.width)], axis=1
        )
        if self.positions:
            x = x + self.param('positions', init, (1, x.shape[1], self.width))
        for i in range(self.depth):
            rate = self.rate * i / max(self.depth - 1, 1)
            block = Block(attention, feed_forward, rate, i, name=f'block_{i}')
            x, weights = block(x, tuple(grid), keys if train else None, train)
        return Seen(layer_norm('norm')(x), weights, tuple(grid))


def class_attention(seen: Seen) -> Float[Array, 'b k l']:
    """How much the class token takes from each patch in the last block, the mean of the heads.

    The rest of 1 is what it takes from itself and from tokens that are no patches.
    """
    rows, columns = seen.grid
    weights = jnp.mean(seen.attention[:, :, 0, 1 : 1 + rows * columns], axis=1)
    return weights.reshape(-1, rows, columns)
