"""A small network whose layers are read out: what stands in for OverFeat where images are small."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.extremes import reduce_max
from jaxsep.ops.max_pool import max_pool


class PooledConv(nn.Module):
    """3x3 convolutions with batch normalisation and ReLU; every layer's maximum over space by name.

    `layer1`, `layer2`, ... are [b, widths[i]], the largest activation of each channel anywhere
    in the image, which does not tell where; `embedding` is the last of them, `logits` [b, k] are
    linear in it. Maps are halved by maxima after every second convolution.

    Attributes:
      num_classes: of the linear layer.
      widths: of the convolutions.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    num_classes: int
    widths: Sequence[int] = (16, 32, 64, 96)
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> dict[str, Array]:
        found = {}
        for i, width in enumerate(self.widths):
            if i and i % 2 == 0:
                x = max_pool(x, (2, 2), (2, 2), 'SAME')
            x = Conv(width, (3, 3), use_bias=False, name=f'conv{i + 1}')(x)
            norm = nn.BatchNorm(
                not train, axis_name=self.axis_name, momentum=0.9, name=f'norm{i + 1}'
            )
            x = nn.relu(norm(x))
            found[f'layer{i + 1}'] = reduce_max(x, axis=(1, 2))
        found['embedding'] = found[f'layer{len(self.widths)}']
        logits = nn.Dense(self.num_classes, name='logits')
        return {**found, 'logits': logits(found['embedding'])}
