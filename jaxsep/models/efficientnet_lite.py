"""EfficientNet-Lite: inverted bottlenecks with ReLU6 and without squeeze-and-excitation.

EfficientNet (Tan & Le, 2019, https://arxiv.org/abs/1905.11946) without what is slow on phones:
ReLU6 in place of swish, no squeeze-and-excitation, stem and head of the same width at every scale. The
blocks are those of MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381).
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv

EPSILON, MOMENTUM = 1e-3, 0.99  # of the batch normalisation, as in the original


class Stage(NamedTuple):
    """Blocks of one resolution.

    Attributes:
      depth: number of blocks.
      width: channels of each block's output.
      kernel: side of the depthwise convolution.
      stride: of the first block; the others have 1.
      expansion: channels inside a block over those of its input.
    """

    depth: int
    width: int
    kernel: int
    stride: int
    expansion: int


LITE0 = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 2, 6),
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6),
    Stage(1, 320, 3, 1, 6),
)


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 to more channels, depthwise, 1x1 back, each batch-normalised.

    ReLU6 follows the first two and not the last. The input is added where stride and width allow.
    Padding is 'SAME' as TensorFlow has it: of an odd number of pixels the larger half at the end.

    Attributes:
      width: channels of the output.
      kernel: side of the depthwise convolution.
      stride: of the depthwise convolution.
      expansion: channels inside over those of the input; 1 leaves the first convolution out.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    expansion: int = 6
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b i j d']:
        norm = partial(
            nn.BatchNorm, not train, axis_name=self.axis_name, momentum=MOMENTUM, epsilon=EPSILON
        )
        inside, y = x.shape[-1] * self.expansion, x
        if self.expansion != 1:
            y = Conv(inside, (1, 1), use_bias=False, name='expand')(y)
            y = nn.relu6(norm(name='expand_norm')(y))
        depthwise = Conv(
            inside, (self.kernel, self.kernel), self.stride, use_bias=False,
            feature_group_count=inside, name='depthwise',
        )  # fmt: skip
        y = nn.relu6(norm(name='depthwise_norm')(depthwise(y)))
        y = norm(name='project_norm')(Conv(self.width, (1, 1), use_bias=False, name='project')(y))
        return x + y if x.shape == y.shape else y


class EfficientNetLite(nn.Module):
    """The network; returns the map of every stage, the embedding and the logits by name.

    `stem` and `stage1`, `stage2`, ... are maps [b, h, w, c], `stage1` at half the resolution of the
    image; `head` is the last map at `head_width` channels, `embedding` [b, head_width] its mean over
    space, and `logits` [b, k] are linear in it. What is not used of them is not computed under jit. With
    `after` the argument is the map of that stage, and only what follows it is computed and returned.

    Attributes:
      num_classes: of the linear layer; 0 for none.
      specification: the stages.
      stem_width: channels of the first convolution, 3x3 of stride 2.
      head_width: channels of the last convolution, 1x1.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    num_classes: int = 1000
    specification: Sequence[Stage] = LITE0
    stem_width: int = 32
    head_width: int = 1280
    axis_name: str | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages' maps, first one first."""
        return tuple(f'stage{i + 1}' for i in range(len(self.specification)))

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], train: bool = False, after: str = ''
    ) -> dict[str, Array]:
        if after and after not in self.stages:
            raise ValueError(f'after: expected one of {", ".join(self.stages)}, got {after!r}')
        norm = partial(
            nn.BatchNorm, not train, axis_name=self.axis_name, momentum=MOMENTUM, epsilon=EPSILON
        )
        found, first = {}, self.stages.index(after) + 1 if after else 0
        if not after:
            x = Conv(self.stem_width, (3, 3), 2, use_bias=False, name='stem')(x)
            x = found['stem'] = nn.relu6(norm(name='stem_norm')(x))
        stages = zip(self.stages[first:], self.specification[first:], strict=True)
        for name, stage in stages:
            for i in range(stage.depth):
                block = MBConv(
                    stage.width, stage.kernel, 1 if i else stage.stride, stage.expansion,
                    self.axis_name, name=f'{name}_block{i + 1}',
                )  # fmt: skip
                x = block(x, train)
            found[name] = x
        x = Conv(self.head_width, (1, 1), use_bias=False, name='head')(x)
        x = found['head'] = nn.relu6(norm(name='head_norm')(x))
        x = found['embedding'] = jnp.mean(x, axis=(1, 2))
        if self.num_classes:
            found['logits'] = nn.Dense(self.num_classes, name='logits')(x)
        return found
