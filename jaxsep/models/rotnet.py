"""The networks of rotation prediction (Gidaris et al., 2018), which name their blocks' features.

The network in network and the classifiers follow the original code
(github.com/gidariss/FeatureLearningRotNet, architectures/), in evaluation and at the start.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.max_pool import max_pool

# As in the original: normal with variance 2 / (height * width * outputs), also in the linear layers
# of the classifiers; the linear layer of the network itself starts as torch's.
fan_out_init = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
torch_init = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


class ConvUnit(nn.Module):
    """A convolution without bias, batch normalisation, ReLU; keeps height and width at stride 1."""

    width: int
    kernel_size: int
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b s t d']:
        size = (self.kernel_size, self.kernel_size)
        x = Conv(self.width, size, self.stride, use_bias=False, kernel_init=fan_out_init)(x)
        x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
        return nn.relu(x)


class NINStage(nn.Module):
    """One convolution that looks around, then 1x1 convolutions (Lin et al., 2014)."""

    widths: Sequence[int]
    kernel_size: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b h w d']:
        for index, width in enumerate(self.widths):
            size = self.kernel_size if index == 0 else 1
            unit = ConvUnit(width, size, axis_name=self.axis_name, name=f'unit{index + 1}')
            x = unit(x, train)
        return x


class NINRotNet(nn.Module):
    """The network in network of the paper's CIFAR-10 experiments (section 3.1).

    Stage 1: 5x5, 1x1, 1x1 and a 3x3 maximum of stride 2. Stage 2: 5x5, 1x1, 1x1 and a 3x3 mean
    of stride 2 that counts the zeros of the padding. Further stages: 3x3, 1x1, 1x1. Then
    the mean over space and a linear layer.

    Returns every stage's map under conv1, conv2, ..., and the logits under classifier.

    Attributes:
      num_stages: at least 3; 4 in the paper's best.
      num_classes: of the linear layer; 4 rotations.
      widths: of the three convolutions of stage 1. All others have the first one's.
      pool_third: end stage 3 with a mean as stage 2, if a stage 4 follows (the supervised
        network of the paper; off for rotations).
    """

    num_stages: int = 4
    num_classes: int = 4
    widths: Sequence[int] = (192, 160, 96)
    pool_third: bool = False
    axis_name: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the maps, first stage first."""
        return tuple(f'conv{stage + 1}' for stage in range(self.num_stages))

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> dict[str, Array]:
        if self.num_stages < 3:
            raise ValueError(f'num_stages: expected at least 3, got {self.num_stages}')
        pool = (3, 3), (2, 2), ((1, 1), (1, 1))  # window, strides, padding
        features = {}
        for stage, name in enumerate(self.feature_names, start=1):
            widths = self.widths if stage == 1 else 3 * (self.widths[0],)
            kernel_size = 5 if stage <= 2 else 3
            x = NINStage(widths, kernel_size, self.axis_name, name=name)(x, train)
            if stage == 1:
                x = max_pool(x, *pool)
            elif stage == 2 or (stage == 3 and self.pool_third and self.num_stages > 3):
                x = nn.avg_pool(x, *pool)
            features[name] = x
        dense = nn.Dense(self.num_classes, kernel_init=torch_init, name='classifier')
        return {**features, 'classifier': dense(jnp.mean(x, axis=(1, 2)))}


class SmallRotNet(nn.Module):
    """Blocks of two 3x3 convolutions, halved by a maximum before every block but the first.

    For small images on small machines. Returns what `NINRotNet` returns.

    Attributes:
      widths: of the blocks.
      num_classes: of the linear layer; 4 rotations.
      first_stride: of the very first convolution.
    """

    widths: Sequence[int] = (16, 32, 64)
    num_classes: int = 4
    first_stride: int = 1
    axis_name: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the maps, first block first."""
        return tuple(f'conv{block + 1}' for block in range(len(self.widths)))

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> dict[str, Array]:
        features = {}
        for name, width in zip(self.feature_names, self.widths, strict=True):
            if features:
                x = max_pool(x, (2, 2), (2, 2))
            stride = 1 if features else self.first_stride
            x = ConvUnit(width, 3, stride, self.axis_name, name=f'{name}_1')(x, train)
            x = ConvUnit(width, 3, 1, self.axis_name, name=f'{name}_2')(x, train)
            features[name] = x
        dense = nn.Dense(self.num_classes, kernel_init=torch_init, name='classifier')
        return {**features, 'classifier': dense(jnp.mean(x, axis=(1, 2)))}


class ConvClassifier(nn.Module):
    """The paper's convolutional classifier on frozen maps: one NIN stage, mean, linear layer."""

    num_classes: int
    width: int = 192
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b k']:
        x = NINStage(3 * (self.width,), 3, self.axis_name)(x, train)
        dense = nn.Dense(self.num_classes, kernel_init=fan_out_init)
        return dense(jnp.mean(x, axis=(1, 2)))


class MultiLayerClassifier(nn.Module):
    """The paper's non-linear classifier on frozen maps: two hidden layers, normalised, ReLU.

    Each is min(20 k, 2048) wide for k classes, as in the original code.
    """

    num_classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b *s'], train: bool = False) -> Float[Array, 'b k']:
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            width = min(20 * self.num_classes, 2048)
            x = nn.Dense(width, use_bias=False, kernel_init=fan_out_init)(x)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
            x = nn.relu(x)
        return nn.Dense(self.num_classes, kernel_init=fan_out_init)(x)


def make_network(*, name: str, axis_name: str | None = None, **options) -> nn.Module:
    """The network a config names.

    Args:
      name: nin (`NINRotNet`) or small (`SmallRotNet`).
      options: further attributes of that module.
    """
    kinds = {'nin': NINRotNet, 'small': SmallRotNet}
    if name not in kinds:
        raise ValueError(f'network.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        return kinds[name](axis_name=axis_name, **options)
    except TypeError as error:
        raise ValueError(f'network: {error}') from None


def adaptive_average_pool(x: Float[Array, 'b h w c'], size: int) -> Float[Array, 'b s t c']:
    """The means of a map over a grid of size x size cells, whatever its height and width.

    Cell i of a side of n pixels spans the pixels floor(i n / size) to ceil((i + 1) n / size), the
    end excluded, as in torch; cells overlap where size does not divide n. A side of fewer than
    `size` pixels is left as it is.
    """
    if size < 1:
        raise ValueError(f'size: expected at least 1, got {size}')
    rows, columns = (jnp.asarray(_cells(n, min(size, n)), x.dtype) for n in x.shape[1:3])
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum('sh,bhwc,tw->bstc', rows, x, columns, precision=highest)


def _cells(n: int, size: int) -> np.ndarray:
    """[size, n] weights: row i holds the mean over the pixels of cell i."""
    start = np.arange(size) * n // size
    stop = -(-(np.arange(size) + 1) * n // size)
    pixel = np.arange(n)[None, :]
    inside = (start[:, None] <= pixel) & (pixel < stop[:, None])
    return inside / inside.sum(1, keepdims=True)
