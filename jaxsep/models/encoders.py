"""Small encoders and heads that many methods share."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.resnet import DEPTHS, ResNet
from jaxsep.models.text import TextEncoder


class Mlp(nn.Module):
    """Linear layers with ReLU between them, each hidden one batch-normalised if asked.

    Attributes:
      widths: output width of every layer; the last has no activation.
      normalize: batch normalisation after each hidden layer.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    widths: Sequence[int]
    normalize: bool = True
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b *s'], train: bool = False) -> Float[Array, 'b d']:
        x = x.reshape(x.shape[0], -1)
        for width in self.widths[:-1]:
            x = nn.Dense(width, use_bias=not self.normalize)(x)
            if self.normalize:
                x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
            x = nn.relu(x)
        return nn.Dense(self.widths[-1])(x)


class ConvEncoder(nn.Module):
    """3x3 convolutions of stride 2 with batch normalisation and ReLU, then a linear layer.

    Made for small images on small machines: a 32 x 32 image needs about 3 million
    multiply-adds at the default widths. The linear layer sees every place of the last
    map, so that where a stroke is can be told; the mean over space would forget it.

    Attributes:
      widths: channels after each convolution.
      features: outputs of the linear layer; 0 takes the mean over space in its place.
    """

    widths: Sequence[int] = (32, 64, 128)
    features: int = 128
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b d']:
        for width in self.widths:
            x = Conv(width, (3, 3), strides=2, use_bias=False)(x)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
            x = nn.relu(x)
        if not self.features:
            return jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.features)(x.reshape(x.shape[0], -1))


class Pixels(nn.Module):
    """The image itself as a row of numbers: what an encoder has to be better than."""

    axis_name: str | None = None

    def __call__(self, x: Float[Array, 'b *s'], train: bool = False) -> Float[Array, 'b d']:
        return x.reshape(x.shape[0], -1)


class Projected(nn.Module):
    """An encoder and the head its loss is taken on (Chen et al., 2020, section 4.2).

    Returns the encoder's features and the head's projection of them.
    """

    encoder: nn.Module
    head: nn.Module

    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        features = self.encoder(x, train)
        return features, self.head(features, train)


def make_encoder(*, name: str, axis_name: str | None = None, **options) -> nn.Module:
    """The encoder a config names.

    Args:
      name: conv (`ConvEncoder`), mlp (`Mlp`), pixels (`Pixels`), text (`TextEncoder`), or
        resnet18, resnet34, resnet50, resnet101.
      options: further attributes of that module.
    """
    kinds = {'conv': ConvEncoder, 'mlp': Mlp, 'pixels': Pixels, 'text': TextEncoder}
    kinds |= {f'resnet{depth}': partial(ResNet, depth) for depth in DEPTHS}
    if name not in kinds:
        raise ValueError(f'encoder.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        return kinds[name](axis_name=axis_name, **options)
    except TypeError as error:
        raise ValueError(f'encoder: {error}') from None


def init_model(model: nn.Module, key: jax.Array, x: jax.Array) -> tuple[dict, dict]:
    """Parameters, and extra state with the batch statistics if the model has any."""
    variables = dict(model.init(key, x, train=True))
    return variables.pop('params'), variables


def apply_train(model: nn.Module, params: dict, extra: dict, x: jax.Array):
    """The model on a training batch: its result, and the new batch statistics."""
    return model.apply({'params': params, **extra}, x, train=True, mutable=['batch_stats'])
