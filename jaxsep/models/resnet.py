"""Residual networks (He et al., 2016, https://arxiv.org/abs/1512.03385)."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.max_pool import max_pool

# depth -> (blocks per stage, whether blocks have a bottleneck)
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 with a bottleneck, and the shortcut.

    The stride is on the 3x3 convolution; the last norm starts at zero, so that the
    block starts as the identity (Goyal et al., 2017).
    """

    width: int
    stride: int
    bottleneck: bool
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        conv = partial(Conv, use_bias=False)
        out_width = self.width * (4 if self.bottleneck else 1)
        y = x
        if self.bottleneck:
            y = nn.relu(self.norm()(conv(self.width, (1, 1))(y)))
        y = nn.relu(self.norm()(conv(self.width, (3, 3), self.stride)(y)))
        y = conv(out_width, (1, 1) if self.bottleneck else (3, 3))(y)
        y = self.norm(scale_init=nn.initializers.zeros)(y)
        if x.shape != y.shape:
            x = self.norm()(conv(out_width, (1, 1), self.stride)(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network up to the mean over space.

    Attributes:
      depth: 18, 34, 50 or 101.
      width: channels of the first stage; 64 in the paper.
      small_images: 3x3 stem of stride 1 and no max-pool, as is usual for 32 x 32 images.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    depth: int = 18
    width: int = 64
    small_images: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b d']:
        norm = partial(nn.BatchNorm, not train, axis_name=self.axis_name, momentum=0.9)
        blocks, bottleneck = DEPTHS[self.depth]
        if self.small_images:
            x = Conv(self.width, (3, 3), use_bias=False)(x)
            x = nn.relu(norm()(x))
        else:
            x = Conv(self.width, (7, 7), 2, padding=3, use_bias=False)(x)
            x = max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), padding='SAME')
        for stage, count in enumerate(blocks):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                x = Block(self.width * 2**stage, stride, bottleneck, norm)(x)
        return jnp.mean(x, axis=(1, 2))
