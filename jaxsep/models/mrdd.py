"""Autoencoders of several views: a code of what they share, codes of what each has of its own.

Ke et al., 2024, https://arxiv.org/abs/2403.10897. The residual networks are those of VQGAN
(Esser et al., 2021, https://arxiv.org/abs/2012.09841) with batch normalisation, without attention.

Encoders map images [b, h, w, c] to features of any shape; decoders map such features back to
images and tell with `feature_shape` which shape they want.
"""

import functools
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv


class ResidualBlock(nn.Module):
    """Norm, swish, 3x3 convolution, twice, added to the input (by a 1x1 where widths differ)."""

    width: int
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w d']:
        y = Conv(self.width, (3, 3), name='conv1')(nn.swish(self.norm(name='norm1')(x)))
        y = Conv(self.width, (3, 3), name='conv2')(nn.swish(self.norm(name='norm2')(y)))
        if x.shape[-1] != self.width:
            x = Conv(self.width, (1, 1), name='shortcut')(x)
        return x + y


class ResidualEncoder(nn.Module):
    """Residual blocks on ever smaller maps: image -> map of `latent_channels`.

    A 3x3 convolution; per level `blocks` residual blocks, and between levels a 3x3
    convolution of stride 2 (a row and a column of zeros at the end); two more blocks; norm,
    swish and a 3x3 convolution.

    Attributes:
      channels: of the first map; level i has multipliers[i] times as many.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    channels: int = 16
    multipliers: Sequence[int] = (1, 2, 4)
    blocks: int = 3
    latent_channels: int = 8
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b i j z']:
        norm = batch_norm(train, self.axis_name)
        x = Conv(self.channels, (3, 3), name='conv_in')(x)
        for level, multiplier in enumerate(self.multipliers):
            width = self.channels * multiplier
            for block in range(self.blocks):
                x = ResidualBlock(width, norm, name=f'down{level}_{block}')(x)
            if level < len(self.multipliers) - 1:
                end = ((0, 1), (0, 1))
                x = Conv(width, (3, 3), 2, padding=end, name=f'downsample{level}')(x)
        for block in range(2):
            x = ResidualBlock(width, norm, name=f'middle_{block}')(x)
        x = nn.swish(norm(name='norm_out')(x))
        return Conv(self.latent_channels, (3, 3), name='conv_out')(x)


class ResidualDecoder(nn.Module):
    """The mirror of `ResidualEncoder`, with a block more per level: map -> image.

    Between levels each pixel becomes 2 x 2 equal ones, then a 3x3 convolution. No
    non-linearity at the end.
    """

    channels: int = 16
    multipliers: Sequence[int] = (1, 2, 4)
    blocks: int = 3
    latent_channels: int = 8
    axis_name: str | None = None

    def feature_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Height, width and channels of the map for an image [h, w, c]."""
        factor = 2 ** (len(self.multipliers) - 1)
        h, w, _ = image_shape
        if h % factor or w % factor:
            raise ValueError(
                f'multipliers: {len(self.multipliers)} levels need sides that {factor} divides, '
                f'got images of {h} x {w}'
            )
        return h // factor, w // factor, self.latent_channels

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b i j z'], image_shape: tuple[int, ...], train: bool = False
    ) -> Float[Array, 'b h w c']:
        norm = batch_norm(train, self.axis_name)
        width = self.channels * self.multipliers[-1]
        x = Conv(width, (3, 3), name='conv_in')(x)
        for block in range(2):
            x = ResidualBlock(width, norm, name=f'middle_{block}')(x)
        for level in reversed(range(len(self.multipliers))):
            width = self.channels * self.multipliers[level]
            for block in range(self.blocks + 1):
                x = ResidualBlock(width, norm, name=f'up{level}_{block}')(x)
            if level:
                x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
                x = Conv(width, (3, 3), name=f'upsample{level}')(x)
        x = nn.swish(norm(name='norm_out')(x))
        return Conv(image_shape[-1], (3, 3), name='conv_out')(x)


class DenseEncoder(nn.Module):
    """Linear layers with ReLU on the pixels of small images."""

    widths: Sequence[int] = (256, 256)
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b f']:
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return x


class DenseDecoder(nn.Module):
    """The mirror of `DenseEncoder`, of the same `widths`."""

    widths: Sequence[int] = (256, 256)
    axis_name: str | None = None

    def feature_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The width of the features, for any image."""
        del image_shape
        return (self.widths[-1],)

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b f'], image_shape: tuple[int, ...], train: bool = False
    ) -> Float[Array, 'b h w c']:
        for width in reversed(self.widths[:-1]):
            x = nn.Dense(width)(nn.relu(x))
        return nn.Dense(math.prod(image_shape))(nn.relu(x)).reshape(-1, *image_shape)


class ToFeatures(nn.Module):
    """A linear layer from a code to features of a given shape."""

    @nn.compact
    def __call__(self, code: Float[Array, 'b d'], shape: tuple[int, ...]) -> Float[Array, 'b ...']:
        return nn.Dense(math.prod(shape))(code).reshape(-1, *shape)


class ConsistencyAutoencoder(nn.Module):
    """One Gaussian code for all views of an example, from which every view is predicted.

    All views go through ONE encoder; their features side by side give mean and log-variance
    of the code. A linear layer gives features that every view's own decoder starts from.
    Views must have equal shapes. In training the encoder's batch statistics are those of all
    views together (the original: of each view on its own).

    Attributes:
      encoder, decoder: a pair of `make_networks`.
      code_size: numbers in the code.
    """

    encoder: nn.Module
    decoder: nn.Module
    code_size: int

    def setup(self):
        self.to_code = nn.Dense(2 * self.code_size)
        self.to_features = ToFeatures()

    def encode(
        self, views: Float[Array, 'b v h w c'], train: bool = False
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b d']]:
        """Mean and log-variance of the code."""
        b, v = views.shape[:2]
        features = self.encoder(views.reshape(b * v, *views.shape[2:]), train)
        return tuple(jnp.split(self.to_code(features.reshape(b, -1)), 2, axis=-1))

    def decode(
        self, code: Float[Array, 'b d'], views_shape: tuple[int, ...], train: bool = False
    ) -> Float[Array, 'b v h w c']:
        """All views of shape [v, h, w, c] from the code."""
        v, image_shape = views_shape[0], tuple(views_shape[1:])
        features = self.to_features(code, self.decoder.feature_shape(image_shape))
        decode = nn.vmap(
            lambda decoder, features: decoder(features, image_shape, train),
            variable_axes={'params': 0, 'batch_stats': 0},
            split_rngs={'params': True},
            in_axes=None,
            out_axes=1,
            axis_size=v,
        )
        return decode(self.decoder, features)

    def __call__(
        self,
        views: Float[Array, 'b v h w c'],
        noise: Float[Array, 'b d'] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, 'b v h w c'], Float[Array, 'b d'], Float[Array, 'b d']]:
        """Predicted views, mean, log-variance; the code is the mean where there is no noise."""
        mean, log_variance = self.encode(views, train)
        code = draw(mean, log_variance, noise)
        return self.decode(code, views.shape[1:], train), mean, log_variance


class ViewSpecificAutoencoder(nn.Module):
    """A Gaussian code of ONE view, which is decoded together with what is known already.

    Attributes:
      encoder, decoder: a pair of `make_networks`.
      code_size: numbers in the code.
    """

    encoder: nn.Module
    decoder: nn.Module
    code_size: int

    def setup(self):
        self.to_code = nn.Dense(2 * self.code_size)
        self.to_features = ToFeatures()

    def encode(
        self, images: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b d']]:
        """Mean and log-variance of the code."""
        features = self.encoder(images, train)
        return tuple(jnp.split(self.to_code(features.reshape(len(images), -1)), 2, axis=-1))

    def __call__(
        self,
        images: Float[Array, 'b h w c'],
        given: Float[Array, 'b g'],
        noise: Float[Array, 'b d'],
        train: bool = False,
    ) -> tuple[
        Float[Array, 'b h w c'], Float[Array, 'b d'], Float[Array, 'b d'], Float[Array, 'b d']
    ]:
        """Reconstruction from [code, given], then code, mean, log-variance.

        Args:
          given: what is known, such as the common code; zero columns for nothing.
        """
        mean, log_variance = self.encode(images, train)
        code = draw(mean, log_variance, noise)
        shape = images.shape[1:]
        both = jnp.concatenate([code, given], axis=-1)
        features = self.to_features(both, self.decoder.feature_shape(shape))
        return self.decoder(features, shape, train), code, mean, log_variance


class ConditionalGaussian(nn.Module):
    """q(c | v) of CLUB: mean and log-variance from two networks with one hidden layer each.

    The log-variance goes through tanh, so the standard deviation is between 0.6 and 1.65.

    Attributes:
      code_size: numbers in c.
      hidden: units of each hidden layer; half of the original's `hidden_size`.
    """

    code_size: int
    hidden: int = 50

    @nn.compact
    def __call__(self, v: Float[Array, 'b d']) -> tuple[Float[Array, 'b c'], Float[Array, 'b c']]:
        def network(name):
            hidden = nn.relu(nn.Dense(self.hidden, name=f'{name}_hidden')(v))
            return nn.Dense(self.code_size, name=f'{name}_out')(hidden)

        return network('mean'), jnp.tanh(network('log_variance'))


def draw(
    mean: Float[Array, 'b d'],
    log_variance: Float[Array, 'b d'],
    noise: Float[Array, 'b d'] | None,
) -> Float[Array, 'b d']:
    """A draw, mean + exp(log_variance / 2) noise; the mean where there is no noise."""
    return mean if noise is None else mean + jnp.exp(0.5 * log_variance) * noise


def batch_norm(train: bool, axis_name: str | None) -> Callable[..., nn.Module]:
    """Batch normalisation with the original's epsilon 1e-6."""
    return functools.partial(
        nn.BatchNorm, not train, epsilon=1e-6, momentum=0.9, axis_name=axis_name
    )


def make_networks(
    *, name: str, axis_name: str | None = None, **options
) -> tuple[nn.Module, nn.Module]:
    """The encoder and the decoder a config names.

    Args:
      name: dense (`DenseEncoder`, `DenseDecoder`) or residual (`ResidualEncoder`,
        `ResidualDecoder`).
      options: further attributes of both.
    """
    kinds = {'dense': (DenseEncoder, DenseDecoder), 'residual': (ResidualEncoder, ResidualDecoder)}
    if name not in kinds:
        raise ValueError(f'network.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        return tuple(kind(axis_name=axis_name, **options) for kind in kinds[name])
    except TypeError as error:
        raise ValueError(f'network: {error}') from None
