"""A U-Net, and the pair of convolutions it is made of (Ronneberger et al., 2015).

https://arxiv.org/abs/1505.04597. As is usual today, with batch normalisation and with padding, so that
the result has the size of the image.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.max_pool import max_pool
from jaxsep.ops.resize import resize_bilinear


class DoubleConv(nn.Module):
    """Twice a 3x3 convolution, batch normalisation and ReLU.

    Attributes:
      width: channels of both.
      kernel_init, scale_init: how kernels and the scales of the norms start.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    width: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b h w d']:
        norm = partial(
            nn.BatchNorm,
            not train,
            momentum=0.9,
            scale_init=self.scale_init,
            axis_name=self.axis_name,
        )
        for _ in range(2):
            x = Conv(self.width, (3, 3), kernel_init=self.kernel_init)(x)
            x = nn.relu(norm()(x))
        return x


class UNet(nn.Module):
    """Pairs of convolutions, halved by maxima, and back up beside the maps of the same size.

    Going up, a transposed 2x2 convolution of stride 2 doubles a map; where a side was odd it is
    resized to the side of its partner.

    Attributes:
      widths: channels at each resolution, finest first.
      features: of the 1x1 convolution at the end, the classes of a segmentation; 0 for none.
    """

    widths: Sequence[int] = (16, 32, 64)
    features: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b h w d']:
        halvings = len(self.widths) - 1
        if halvings < 0 or min(x.shape[1:3]) < 2**halvings:
            raise ValueError(
                f'widths: expected one or more, and at most as many as images of '
                f'{x.shape[1]} x {x.shape[2]} can be halved, got {tuple(self.widths)}'
            )
        pair = partial(DoubleConv, axis_name=self.axis_name)
        skips = []
        for level, width in enumerate(self.widths):
            if level:
                x = max_pool(x, (2, 2), (2, 2))
            x = pair(width, name=f'down_{level}')(x, train)
            skips.append(x)
        for level in reversed(range(halvings)):
            skip, width = skips[level], self.widths[level]
            x = nn.ConvTranspose(width, (2, 2), (2, 2), name=f'double_{level}')(x)
            x = resize_bilinear(x, skip.shape[1:3])
            x = pair(width, name=f'up_{level}')(jnp.concatenate([skip, x], axis=-1), train)
        return Conv(self.features, (1, 1), name='head')(x) if self.features else x
