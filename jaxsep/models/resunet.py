"""A residual U-Net on spectrograms that separates what a condition asks for (Kong et al., 2023).

Maps are [b, m, f, c]: frames, frequencies, channels. The same network without a condition is that of
Kong et al., Decoupling magnitude and phase estimation with deep ResUNet, 2021.

https://arxiv.org/abs/2305.07447; uss/models/resunet.py of https://github.com/bytedance/uss.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.stft import Polar, from_polar, istft, stft, to_polar

WIDTHS = (32, 64, 128, 256, 384, 384)
POOLS = ((2, 2), (2, 2), (2, 2), (2, 2), (2, 2), (1, 2))
SLOPE = 0.01
INIT = nn.initializers.xavier_uniform()


class ConditionedNorm(nn.Module):
    """FiLM without scale: leaky_relu(batch_norm(x) + beta), beta linear in the condition.

    Attributes:
      momentum: of the running statistics; 0.99, which is 0.01 in PyTorch's terms.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    momentum: float = 0.99
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b m f c'], condition: Float[Array, 'b k'], train: bool = False
    ) -> Float[Array, 'b m f c']:
        y = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=self.momentum, name='norm')(
            x
        )
        beta = nn.Dense(x.shape[-1], kernel_init=INIT, name='beta')(condition)
        return nn.leaky_relu(y + beta[:, None, None, :], SLOPE)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each after norm, condition and leaky ReLU, added to the input.

    Where the number of channels changes, the input passes a 1 x 1 convolution with bias.
    """

    width: int
    momentum: float = 0.99
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b m f c'], condition: Float[Array, 'b k'], train: bool = False
    ) -> Float[Array, 'b m f d']:
        y = ConditionedNorm(self.momentum, self.axis_name, name='norm1')(x, condition, train)
        y = Conv(self.width, (3, 3), use_bias=False, kernel_init=INIT, name='conv1')(y)
        y = ConditionedNorm(self.momentum, self.axis_name, name='norm2')(y, condition, train)
        y = Conv(self.width, (3, 3), use_bias=False, kernel_init=INIT, name='conv2')(y)
        if x.shape[-1] != self.width:
            x = Conv(self.width, (1, 1), kernel_init=INIT, name='shortcut')(x)
        return x + y


class Upsample(nn.Module):
    """A transposed convolution whose kernel is as wide as its stride: each pixel becomes a patch.

    Such patches do not overlap, so it is one linear layer.
    """

    width: int
    factors: tuple[int, int]

    @nn.compact
    def __call__(self, x: Float[Array, 'b m f c']) -> Float[Array, 'b n g d']:
        b, m, f, _ = x.shape
        down, across = self.factors
        y = nn.Dense(down * across * self.width, use_bias=False, kernel_init=INIT)(x)
        y = y.reshape(b, m, f, down, across, self.width).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(b, m * down, f * across, self.width)


class DecoderBlock(nn.Module):
    """Norm, condition and leaky ReLU, upsampling, then a residual block beside the encoder's map.

    The original's table of conditions has a second entry here that nothing reads; it is left out.
    """

    width: int
    factors: tuple[int, int]
    momentum: float = 0.99
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b m f c'],
        skip: Float[Array, 'b n g d'],
        condition: Float[Array, 'b k'],
        train: bool = False,
    ) -> Float[Array, 'b n g d']:
        x = ConditionedNorm(self.momentum, self.axis_name, name='norm')(x, condition, train)
        x = Upsample(self.width, self.factors, name='up')(x)
        block = ResidualBlock(self.width, self.momentum, self.axis_name, name='block')
        return block(jnp.concatenate([x, skip], axis=-1), condition, train)


class ResUNet(nn.Module):
    """Magnitudes and a condition -> three maps, of which `masked` makes the separated spectrum.

    Every frequency is batch-normalised; time is padded with zeros to what the pools divide, and
    the highest frequency is left out inside: its maps are 0.

    Attributes:
      widths: channels of the encoder's blocks, and backwards of the decoder's; the block in the middle
        has the last. Six of them in the paper, ResUNet30.
      pools: (time, frequency), by which each encoder block averages.
    """

    widths: Sequence[int] = WIDTHS
    pools: Sequence[tuple[int, int]] = POOLS
    momentum: float = 0.99
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, magnitude: Float[Array, 'b m f'], condition: Float[Array, 'b k'], train: bool = False
    ) -> Float[Array, 'b m f 3']:
        shared = {'momentum': self.momentum, 'axis_name': self.axis_name}
        pools = [tuple(pool) for pool in self.pools]
        times = math.prod(pool[0] for pool in pools)
        num_frames, num_frequencies = magnitude.shape[1:]
        check_pools(self.widths, pools, num_frequencies)
        norm = nn.BatchNorm(
            not train, axis_name=self.axis_name, momentum=self.momentum, name='input_norm'
        )
        x = jnp.pad(norm(magnitude), ((0, 0), (0, -num_frames % times), (0, 0)))
        x = Conv(self.widths[0], (1, 1), kernel_init=INIT, name='before')(x[:, :, :-1, None])
        skips = []
        for place, (width, pool) in enumerate(zip(self.widths, pools, strict=True)):
            x = ResidualBlock(width, **shared, name=f'encoder{place}')(x, condition, train)
            skips.append(x)
            x = nn.avg_pool(x, pool, pool)
        x = ResidualBlock(self.widths[-1], **shared, name='center')(x, condition, train)
        for place in reversed(range(len(pools))):
            block = DecoderBlock(self.widths[place], pools[place], **shared, name=f'decoder{place}')
            x = block(x, skips[place], condition, train)
        x = Conv(3, (1, 1), kernel_init=INIT, name='after')(x)
        return jnp.pad(x[:, :num_frames], ((0, 0), (0, 0), (0, 1), (0, 0)))


def check_pools(
    widths: Sequence[int], pools: Sequence[tuple[int, int]], num_frequencies: int
) -> None:
    """Raises ValueError unless there is a pool for each width and they divide the frequencies."""
    if not widths or len(widths) != len(pools):
        raise ValueError(
            f'pools: expected one for each of at least one width, got {pools} for {widths}'
        )
    factor = math.prod(pool[1] for pool in pools)
    if (num_frequencies - 1) % factor:
        raise ValueError(
            f'pools: expected a product over frequency that divides {num_frequencies - 1} '
            f'(n_fft // 2), got {factor}'
        )


def masked(maps: Float[Array, 'b m f 3'], mixture: Polar) -> Polar:
    """The spectrum that three maps make of the mixture's: another magnitude, a turned phase.

    magnitude' = relu(magnitude sigmoid(maps_0)), and the phase is turned by that of tanh(maps_1) +
    i tanh(maps_2). In float32 for half precision.
    """
    maps = in_float32(maps)
    turn = to_polar(jax.lax.complex(jnp.tanh(maps[..., 1]), jnp.tanh(maps[..., 2])))
    return Polar(
        nn.relu(mixture.magnitude * nn.sigmoid(maps[..., 0])),
        mixture.cos * turn.cos - mixture.sin * turn.sin,
        mixture.sin * turn.cos + mixture.cos * turn.sin,
    )


class QuerySeparator(nn.Module):
    """Mixture and condition -> waveform: transform, `ResUNet`, `masked`, inverse transform.

    Attributes:
      n_fft, hop: of the transform; 2048 and 320 at 32 kHz in the paper.
      widths, pools: of the U-Net.
      momentum, axis_name: of its batch norms.
    """

    n_fft: int = 2048
    hop: int = 320
    widths: Sequence[int] = WIDTHS
    pools: Sequence[tuple[int, int]] = POOLS
    momentum: float = 0.99
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, mixture: Float[Array, 'b t'], condition: Float[Array, 'b k'], train: bool = False
    ) -> Float[Array, 'b t']:
        sizes = {'n_fft': self.n_fft, 'hop': self.hop}
        polar = to_polar(stft(mixture, **sizes))
        net = ResUNet(self.widths, self.pools, self.momentum, self.axis_name, name='resunet')
        maps = net(polar.magnitude, condition, train)
        return istft(from_polar(masked(maps, polar)), **sizes, length=mixture.shape[1])
