"""Networks of split computing: a classifier in stages, and what replaces its first stage.

The bottleneck's encoder is for the small device, its decoder and the later stages are for the
server; between them go the symbols of the latents.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.models.blocks import entropy
from jaxsep.models.blocks.conv import Conv
from jaxsep.models.blocks.gdn import GDN
from jaxsep.models.efficientnet_lite import LITE0, EfficientNetLite
from jaxsep.models.pretrained.efficientnet_lite0 import MEAN, SCALE
from jaxsep.models.resnet import Block
from jaxsep.ops.max_pool import max_pool

RANGE_BITS = 64  # two floats per image: the range of its 8-bit latents
LITE0_MAPS = ('stage2', 'stage3', 'stage5', 'stage7')


class Stage(nn.Module):
    """Residual blocks, the first of them with a stride; before them the stem if asked.

    Attributes:
      width: of the blocks; channels of the output are four times as many with a bottleneck.
      blocks: how many; 0 for one 3x3 convolution with batch normalisation and ReLU in their place.
      stride: of the first block, or of that convolution.
      bottleneck: of the blocks, as in ResNet-50.
      stem: width of a convolution of stride 2 and a max-pool of stride 2 in front, of a 5x5
        convolution of stride 2 alone where there are no blocks; 0 for none.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    width: int
    blocks: int
    stride: int = 1
    bottleneck: bool = False
    stem: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b i j d']:
        norm = partial(nn.BatchNorm, not train, axis_name=self.axis_name, momentum=0.9)
        conv = partial(Conv, use_bias=False)
        if not self.blocks:
            if self.stem:
                x = nn.relu(norm()(conv(self.stem, (5, 5), 2)(x)))
            return nn.relu(norm()(conv(self.width, (3, 3), 2 if self.stem else self.stride)(x)))
        if self.stem:
            x = conv(self.stem, (7, 7), 2, padding=3)(x)
            x = max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), padding='SAME')
        for i in range(self.blocks):
            x = Block(self.width, self.stride if i == 0 else 1, self.bottleneck, norm)(x)
        return x


class StagedNetwork(nn.Module):
    """A residual network whose four stages can be entered after the first one.

    `__call__` gives the maps of the stages, of a quarter of the image's resolution and then half
    of that each time, and the logits; `tail` does so from a map that stands for the first.

    Attributes:
      num_classes: of the linear layer on the mean over space of the last map.
      width: channels of the first stage's blocks, 64 in ResNets.
      blocks: of the stages; (3, 4, 6, 3) with bottleneck for ResNet-50, zeros for five plain
        convolutions of stride 2.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    num_classes: int
    width: int = 64
    blocks: Sequence[int] = (3, 4, 6, 3)
    bottleneck: bool = True
    axis_name: str | None = None

    def setup(self):
        """Four stages and the head."""
        common = dict(bottleneck=self.bottleneck, axis_name=self.axis_name)
        self.stage1 = Stage(self.width, self.blocks[0], stem=self.width, **common)
        self.stage2 = Stage(2 * self.width, self.blocks[1], 2, **common)
        self.stage3 = Stage(4 * self.width, self.blocks[2], 2, **common)
        self.stage4 = Stage(8 * self.width, self.blocks[3], 2, **common)
        self.head = nn.Dense(self.num_classes)

    @property
    def first_channels(self) -> int:
        """Channels of the first stage's map."""
        return self.width * (4 if self.bottleneck and self.blocks[0] else 1)

    def __call__(
        self, image: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[tuple[Array, ...], Float[Array, 'b k']]:
        return self.tail(self.stage1(image, train), train)

    def tail(
        self, first: Float[Array, 'b i j d'], train: bool = False
    ) -> tuple[tuple[Array, ...], Float[Array, 'b k']]:
        """The maps, that of the first stage given, and the logits."""
        maps = [first]
        for stage in (self.stage2, self.stage3, self.stage4):
            maps.append(stage(maps[-1], train))
        return tuple(maps), self.head(jnp.mean(maps[-1], axis=(1, 2)))

    @staticmethod
    def later(tree: Mapping[str, Any]) -> dict[str, Any]:
        """Of its parameters, or statistics, those after the first stage."""
        return {name: values for name, values in tree.items() if name != 'stage1'}


class StagedLite(nn.Module):
    """EfficientNet-Lite0 with the interface of `StagedNetwork`, for images in [0, 1].

    Its maps are the last of a quarter, an eighth, a sixteenth and a thirty-second of the resolution, of
    24, 40, 112 and 320 channels; pixels are scaled as it was trained, grey ones repeated.

    Attributes:
      num_classes: of the linear layer.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    num_classes: int
    axis_name: str | None = None

    def setup(self):
        """The network."""
        self.network = EfficientNetLite(self.num_classes, axis_name=self.axis_name)

    @property
    def first_channels(self) -> int:
        """Channels of the first map."""
        return LITE0[1].width

    def __call__(
        self, image: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[tuple[Array, ...], Float[Array, 'b k']]:
        if image.shape[-1] not in (1, 3):
            raise ValueError(f'image: expected 1 or 3 channels, got shape {image.shape}')
        image = jnp.broadcast_to(image, (*image.shape[:-1], 3))
        found = self.network((255.0 * image - MEAN) / SCALE, train)
        return tuple(found[name] for name in LITE0_MAPS), found['logits']

    def tail(
        self, first: Float[Array, 'b i j d'], train: bool = False
    ) -> tuple[tuple[Array, ...], Float[Array, 'b k']]:
        """The maps, the first one given, and the logits."""
        found = self.network(first, train, after=LITE0_MAPS[0])
        return (first, *(found[name] for name in LITE0_MAPS[1:])), found['logits']

    @staticmethod
    def later(tree: Mapping[str, Any]) -> dict[str, Any]:
        """Of its parameters, or statistics, those after the first map."""
        before = ('stem', 'stage1_', 'stage2_')
        inner = tree['network'].items()
        return {'network': {name: x for name, x in inner if not name.startswith(before)}}


NETWORKS = {'residual': StagedNetwork, 'efficientnet_lite0': StagedLite}


def make_network(
    num_classes: int, axis_name: str | None = None, *, name: str = 'residual', **options: Any
) -> StagedNetwork | StagedLite:
    """The classifier a config names, 'residual' or 'efficientnet_lite0', with its attributes."""
    if name not in NETWORKS:
        raise ValueError(f'network.name: expected one of {tuple(NETWORKS)}, got {name!r}')
    try:
        return NETWORKS[name](num_classes, axis_name=axis_name, **options)
    except TypeError as error:
        raise ValueError(f'network: {error}') from None


class Encoder(nn.Module):
    """Image to latents: 4c, 2c, c channels, a side of h pixels becomes ceil(h / 4) - 1.

    Convolutions 5x5 of stride 2, 5x5 of stride 2 and 2x2 without padding, no biases, GDN1 between.
    """

    channels: int

    @nn.compact
    def __call__(self, image: Float[Array, 'b h w c']) -> Float[Array, 'b i j d']:
        conv = partial(Conv, use_bias=False)
        if min(image.shape[1:3]) < 5:
            raise ValueError(f'image: expected at least 5 x 5 pixels, got {image.shape[1:3]}')
        x = conv(4 * self.channels, (5, 5), 2, padding=2)(image)
        x = conv(2 * self.channels, (5, 5), 2, padding=2)(GDN(simplified=True)(x))
        return conv(self.channels, (2, 2), padding='VALID')(GDN(simplified=True)(x))


class FeatureDecoder(nn.Module):
    """Latents to the map of a network's first stage, sides one larger: three 2x2 convolutions."""

    channels: int

    @nn.compact
    def __call__(self, latents: Float[Array, 'b i j d']) -> Float[Array, 'b h w c']:
        conv = partial(Conv, kernel_size=(2, 2), use_bias=False)
        x = conv(2 * self.channels, padding=1)(latents)
        x = conv(self.channels, padding=0)(GDN(inverse=True, simplified=True)(x))
        return conv(self.channels, padding=1)(GDN(inverse=True, simplified=True)(x))


class ImageDecoder(nn.Module):
    """Latents back to the image, the encoder mirrored; `size` crops what is beyond its sides."""

    channels: int
    latent_channels: int
    size: tuple[int, int]

    @nn.compact
    def __call__(self, latents: Float[Array, 'b i j d']) -> Float[Array, 'b h w c']:
        up = partial(nn.ConvTranspose, kernel_size=(5, 5), strides=(2, 2), padding='SAME')
        x = Conv(2 * self.latent_channels, (2, 2), padding=1, use_bias=False)(latents)
        x = up(4 * self.latent_channels)(GDN(inverse=True, simplified=True)(x))
        x = up(self.channels)(GDN(inverse=True, simplified=True)(x))
        return x[:, : self.size[0], : self.size[1]]


class Sent(NamedTuple):
    """What was made of an image on its way.

    Attributes:
      decoded: the map that stands for the first stage's, or the image again.
      bits: [b], by the density of the latents; of 8-bit latents those that are sent.
      symbols: int32 [b, i, j, c].
    """

    decoded: Array
    bits: Array
    symbols: Array


class Bottleneck(nn.Module):
    """Encoder, density of the latents, decoder: the layer that replaces a network's first stage.

    `__call__` is the training form, with noise for rounding; `send` is what is done in the end.

    Attributes:
      channels: of the latents, 24 in the paper.
      decoder: `FeatureDecoder` or `ImageDecoder`.
      num_bits: 0 for the learnt density; else latents are sent with so many bits each, between
        the least and the largest of the image, and trained without noise.

    Source: Matsubara 2022, section 3 and figure 3, https://arxiv.org/abs/2108.11898
    """

    channels: int
    decoder: nn.Module
    num_bits: int = 0

    def setup(self):
        """The encoder and the density."""
        self.encoder = Encoder(self.channels)
        self.entropy = entropy.EntropyBottleneck(self.channels)

    def __call__(
        self, image: Float[Array, 'b h w c'], noise: Float[Array, 'b i j d']
    ) -> tuple[Array, Float[Array, 'b']]:
        """What is decoded of noisy latents, and the bits of each image."""
        latents = self.encoder(image)
        if self.num_bits:
            return self.decoder(latents), self.fixed_bits(latents)
        noisy = latents + noise
        return self.decoder(noisy), entropy.bits(self.entropy(noisy))

    def send(self, image: Float[Array, 'b h w c'], around_median: bool = True) -> Sent:
        """What is decoded of rounded latents; no gradient flows into encoder and density.

        Args:
          around_median: round the distance from the median of each channel, as the coder does;
            else the latent itself, as the original does while it trains the decoder.
        """
        latents = jax.lax.stop_gradient(self.encoder(image))
        if self.num_bits:
            values, symbols = quantize_range(latents, self.num_bits)
            return Sent(self.decoder(values), self.fixed_bits(latents), symbols)
        symbols = self.entropy.symbols(latents)
        values = self.entropy.values(symbols)
        bits = jax.lax.stop_gradient(entropy.bits(self.entropy(values)))
        received = values if around_median else jnp.round(latents)
        return Sent(self.decoder(received), bits, symbols)

    def fixed_bits(self, latents):
        """Bits of each image without a density."""
        return jnp.full(len(latents), latents[0].size * self.num_bits + RANGE_BITS, jnp.float32)

    def auxiliary_loss(self) -> Float[Array, '']:
        """That of the quantiles, 0 without a density."""
        return jnp.float32(0) if self.num_bits else self.entropy.auxiliary_loss()

    def symbol_likelihoods(self, radius: int) -> Float[Array, 'c n']:
        """Of the symbols -radius .. radius of each channel."""
        return self.entropy.symbol_likelihoods(radius)


def latent_shape(image_shape: Sequence[int], channels: int) -> tuple[int, int, int]:
    """Of the latents of one image [h, w, c]."""
    height, width = (-(-side // 4) - 1 for side in image_shape[:2])
    return height, width, channels


def quantize_range(
    x: Float[Array, 'b ...'], num_bits: int
) -> tuple[Float[Array, 'b ...'], Int[Array, 'b ...']]:
    """Each example's numbers on 2^num_bits evenly spaced levels from its least to its largest.

    Returns:
      the numbers of the levels, and the levels, int32 from 0. All equal numbers stay as they are.

    Source: Jacob 2018, section 2.1, https://arxiv.org/abs/1712.05877; there the range contains 0.
    """
    axes, steps = tuple(range(1, x.ndim)), 2**num_bits - 1
    low = jnp.min(x, axis=axes, keepdims=True)
    step = (jnp.max(x, axis=axes, keepdims=True) - low) / steps
    levels = jnp.round((x - low) / jnp.where(step > 0, step, 1.0))
    return low + levels * step, levels.astype(jnp.int32)
