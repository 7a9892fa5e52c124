"""Feature maps of several resolutions: small and residual backbones, and the feature pyramid."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.resnet import DEPTHS, Block
from jaxsep.ops.max_pool import max_pool
from jaxsep.ops.resize import resize_nearest

Maps = list[Float[Array, 'b _ _ _']]
EXTRA = ('on_input', 'on_output')


class ConvMaps(nn.Module):
    """3x3 convolutions with batch normalisation and ReLU; each stage halves the image.

    Padding is 1 on every side, so that cell (i, j) of a map of stride s looks around pixel
    (i s, j s), where anchors are centred too.

    Attributes:
      widths: channels of each stage.
      depth: convolutions of each stage, the first of stride 2.
      levels: how many of the last stages are given out, finest first.
    """

    widths: Sequence[int] = (16, 32, 64, 64)
    depth: int = 2
    levels: int = 3
    axis_name: str | None = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the maps given out."""
        return tuple(2 ** (k + 1) for k in range(len(self.widths)))[-self.levels :]

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Maps:
        found = []
        for width in self.widths:
            for index in range(self.depth):
                stride = 2 if index == 0 else 1
                x = Conv(width, (3, 3), stride, padding=1, use_bias=False)(x)
                x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)(x)
                x = nn.relu(x)
            found.append(x)
        return found[-self.levels :]


class ResNetMaps(nn.Module):
    """A residual network whose last stages are given out: C3, C4, C5 with `levels=3`.

    Attributes:
      depth: 18, 34, 50 or 101.
      width: channels of the first stage.
      levels: how many of the four stages, finest first.
    """

    depth: int = 50
    width: int = 64
    levels: int = 3
    axis_name: str | None = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the maps given out."""
        return (4, 8, 16, 32)[-self.levels :]

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Maps:
        norm = partial(nn.BatchNorm, not train, axis_name=self.axis_name, momentum=0.9)
        blocks, bottleneck = DEPTHS[self.depth]
        x = Conv(self.width, (7, 7), 2, padding=3, use_bias=False)(x)
        x = max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        found = []
        for stage, count in enumerate(blocks):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                x = Block(self.width * 2**stage, stride, bottleneck, norm)(x)
            found.append(x)
        return found[-self.levels :]


def make_maps(*, name: str, axis_name: str | None = None, **options) -> nn.Module:
    """The backbone a config names: a module images -> maps, finest first, with their `strides`.

    Args:
      name: conv (`ConvMaps`), or resnet18, resnet34, resnet50, resnet101 (`ResNetMaps`).
      options: further attributes of that module.
    """
    kinds = {'conv': ConvMaps} | {f'resnet{depth}': partial(ResNetMaps, depth) for depth in DEPTHS}
    if name not in kinds:
        raise ValueError(f'backbone.name: expected one of {sorted(kinds)}, got {name!r}')
    try:
        module = kinds[name](axis_name=axis_name, **options)
    except TypeError as error:
        raise ValueError(f'backbone: {error}') from None
    stages = len(module.widths) if name == 'conv' else 4
    if not 1 <= module.levels <= stages:
        raise ValueError(f'backbone.levels: expected 1 to {stages}, got {module.levels}')
    return module


class FeaturePyramid(nn.Module):
    """A pyramid whose every level knows what the coarser ones saw.

    p_l = 3x3(q_l) with q_l = 1x1(c_l) + nearest(q_{l+1}), all of the same width. Further levels are
    3x3 convolutions of stride 2, without activation between them, of the coarsest
    input (RetinaNet's P6, P7) or of the coarsest output.

    Attributes:
      width: channels of every level.
      levels: how many are given out; those beyond the inputs are the further ones.
      extra: 'on_input' or 'on_output'.

    Source: Lin 2017, section 3, https://arxiv.org/abs/1612.03144
    """

    width: int = 256
    levels: int = 5
    extra: str = 'on_input'

    @nn.compact
    def __call__(self, maps: Maps) -> Maps:
        if self.extra not in EXTRA:
            raise ValueError(f'extra: expected one of {EXTRA}, got {self.extra!r}')
        if self.levels < len(maps):
            raise ValueError(f'levels: expected at least {len(maps)} inputs, got {self.levels}')
        init = nn.initializers.xavier_uniform()
        conv = partial(Conv, self.width, kernel_init=init)
        merged = [conv((1, 1), name=f'lateral_{i}')(x) for i, x in enumerate(maps)]
        for i in range(len(maps) - 2, -1, -1):
            merged[i] = merged[i] + resize_nearest(merged[i + 1], merged[i].shape[1:3])
        found = [conv((3, 3), padding=1, name=f'output_{i}')(x) for i, x in enumerate(merged)]
        source = maps[-1] if self.extra == 'on_input' else found[-1]
        for i in range(len(maps), self.levels):
            source = conv((3, 3), 2, padding=1, name=f'output_{i}')(source)
            found.append(source)
        return found


def flatten_places(x: Float[Array, 'b h w _'], width: int) -> Float[Array, 'b n {width}']:
    """A map of several predictions a place as rows: places row by row, then predictions.

    >>> import jax.numpy as jnp
    >>> flatten_places(jnp.zeros((1, 2, 3, 8)), 4).shape
    (1, 12, 4)
    """
    return jnp.reshape(x, (x.shape[0], -1, width))
