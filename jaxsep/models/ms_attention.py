"""The network of multi-scale self-guided attention (Sinha and Dolz, 2019).

https://arxiv.org/abs/1906.02849; src/models/{attention,my_stacked_danet}.py of
https://github.com/sinAshish/Multi-Scale-Attention. What the code declares and never uses (conv6, conv7,
attention1 to 4, refine1 to 4) is left out.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.models.blocks.dual_attention import ChannelAttention, PositionAttention
from jaxsep.models.blocks.unet import DoubleConv
from jaxsep.ops.max_pool import max_pool
from jaxsep.ops.resize import resize_bilinear

ATTENTION = ('dual', 'convolutions', 'none')
Map = Float[Array, 'b _ _ _']
glorot_normal = nn.initializers.variance_scaling(1.0, 'fan_avg', 'normal')
Conv = partial(Conv, kernel_init=glorot_normal)
Conv1x1 = partial(nn.Dense, kernel_init=glorot_normal)
PReLU = partial(nn.PReLU, negative_slope_init=0.25)


def near_one(key, shape, dtype=jnp.float32) -> jax.Array:
    """Where the scales of norms start in the original: normal, mean 1, deviation 0.02."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class Outcome(NamedTuple):
    """What a segmentation network makes of images.

    Attributes:
      logits: of the heads that segment, [b, h, w, classes] of any size; their mean is the answer.
      early: of the heads that only train, on the scales before attention.
      inputs: what went through the guides, scale by scale, stage after stage.
      reconstructions: what the guides made of it.
      codes: of each stage, the guide's code of every scale.
      attended: how much each place of the finest scale is attended to in the last stage.
    """

    logits: list[Map]
    early: list[Map] = []
    inputs: list[Map] = []
    reconstructions: list[Map] = []
    codes: list[list[Map]] = []
    attended: Float[Array, 'b _ _'] | None = None


class AttentionLayer(nn.Module):
    """conv 3x3, norm, PReLU, attention, conv 3x3, norm, PReLU; to `width` channels.

    Attributes:
      kind: of the attention, 'position', 'channel' or 'none'.
      chunk: of queries in the former, 0 for all at once.

    Returns the map, and how much each place is attended to (zeros without position attention).
    """

    width: int
    kind: str
    chunk: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[Float[Array, 'b h w d'], Float[Array, 'b h w']]:
        norm = partial(
            nn.BatchNorm, not train, momentum=0.9, scale_init=near_one, axis_name=self.axis_name
        )
        x = PReLU(name='slope_1')(norm(name='norm_1')(Conv(self.width, (3, 3), name='conv_1')(x)))
        attended = jnp.zeros(x.shape[:3])
        if self.kind == 'position':
            x, attended = PositionAttention(chunk=self.chunk, name='attention')(x)
        elif self.kind == 'channel':
            x = ChannelAttention(name='attention')(x)
        x = PReLU(name='slope_2')(norm(name='norm_2')(Conv(self.width, (3, 3), name='conv_2')(x)))
        return x, attended


class SemanticGuide(nn.Module):
    """A small encoder and decoder of c channels: code of 4c channels at a quarter, reconstruction.

    Down: pairs of convolutions to 2c and 4c, each followed by a 2x2 maximum. Up: pairs of 2c and c,
    each followed by a transposed 2x2 convolution of stride 2. Height and width are even, at least
    4; where they are no multiple of 4, the map is resized on the way up.

    Source: Sinha 2019, section 3.3
    """

    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], train: bool = False
    ) -> tuple[Map, Float[Array, 'b h w c']]:
        _, h, w, c = x.shape
        if h % 2 or w % 2 or min(h, w) < 4:
            raise ValueError(f'guide: expected maps of even sides, at least 4, got {h} x {w}')
        pair = partial(
            DoubleConv, kernel_init=glorot_normal, scale_init=near_one, axis_name=self.axis_name
        )
        double = partial(
            nn.ConvTranspose, kernel_size=(2, 2), strides=(2, 2), kernel_init=glorot_normal
        )
        half = max_pool(pair(2 * c, name='down_1')(x, train), (2, 2), (2, 2))
        code = max_pool(pair(4 * c, name='down_2')(half, train), (2, 2), (2, 2))
        y = double(2 * c, name='double_2')(pair(2 * c, name='up_2')(code, train))
        y = resize_bilinear(y, half.shape[1:3])
        return code, double(c, name='double_1')(pair(c, name='up_1')(y, train))


class MultiConv(nn.Module):
    """Convolutions 3x3, 3x3 and 1x1, each with norm and PReLU; or a softmax over channels at the end."""

    width: int
    softmax: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Map, train: bool = False) -> Map:
        convolutions = (partial(Conv, kernel_size=(3, 3)),) * 2 + (Conv1x1,)
        for index, convolution in enumerate(convolutions, start=1):
            x = convolution(self.width, name=f'conv_{index}')(x)
            x = nn.BatchNorm(
                not train,
                momentum=0.9,
                scale_init=near_one,
                axis_name=self.axis_name,
                name=f'norm_{index}',
            )(x)
            last = index == 3
            x = jax.nn.softmax(x) if self.softmax and last else PReLU(name=f'slope_{index}')(x)
        return x


class Scale(nn.Module):
    """What a scale of a stage has for itself: attention of both kinds, the gate, a convolution.

    Attributes: see `Stage`.

    Returns the result of the scale, and how much each of its places is attended to.
    """

    width: int
    attention: str = 'dual'
    chunk: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b h w c'],
        reconstruction: Float[Array, 'b h w c'] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, 'b h w d'], Float[Array, 'b h w']]:
        kinds = {'dual': ('position', 'channel'), 'convolutions': ('none', 'none'), 'none': ()}
        y, attended = ([] if kinds[self.attention] else [x]), jnp.zeros(x.shape[:3])
        for name, kind in zip(('pam', 'cam'), kinds[self.attention], strict=False):
            layer = AttentionLayer(self.width, kind, self.chunk, self.axis_name, name=name)
            found, places = layer(x, train)
            y, attended = [*y, found], attended + places
        y = sum(y)
        if reconstruction is not None:
            y = y * Conv(y.shape[-1], (3, 3), name='gate')(reconstruction)
        return Conv1x1(self.width, name='out')(y), attended


class Stage(nn.Module):
    """One stage of guided attention on every scale; the guide is shared, the rest is each scale's own.

    out_s = conv1x1((channel_s(x_s) + position_s(x_s)) * conv3x3_s(reconstruction of x_s)), without the
    factor if there is no guide. The maps of all scales have one shape: one loop goes through
    them, which is compiled once. Its parameters have a leading axis, one entry a scale.

    Attributes:
      width: channels of the result; the x_s have twice as many.
      attention: 'dual'; 'convolutions' for the two layers without what PAM and CAM do in them;
        'none' for out_s = conv1x1(x_s).
      guide: gate the results.
      chunk: as in `jaxsep.models.blocks.dual_attention.position_attention`.

    Returns the results, codes and reconstructions (without guide none) of all scales, and how
    much each place of the first scale is attended to.

    Source: Sinha 2019, sections 3.2 and 3.3
    """

    width: int
    attention: str = 'dual'
    guide: bool = True
    chunk: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 's b h w c'], train: bool = False
    ) -> tuple[
        Float[Array, 's b h w d'],
        Float[Array, 's b _ _ _'] | None,
        Float[Array, 's b h w c'] | None,
        Float[Array, 'b h w'],
    ]:
        codes = reconstructions = None
        if self.guide:
            guide = SemanticGuide(self.axis_name, name='guide')
            if self.is_initializing():
                guide(x[0], train)  # its statistics are there before the loop carries them
            # Deepest first, as the running statistics of the guide see the scales in the original.
            changes = self.is_mutable_collection('batch_stats')
            through_guide = nn.scan(
                lambda module, carry, x: (carry, module(x, train)),
                variable_broadcast='params' if changes else ('params', 'batch_stats'),
                variable_carry='batch_stats' if changes else False,
                split_rngs={'params': False},
                reverse=True,
            )
            _, (codes, reconstructions) = through_guide(guide, (), x)
        through_scales = nn.scan(
            lambda module, carry, given: (carry, module(*given, train)),
            variable_axes={'params': 0, 'batch_stats': 0},
            split_rngs={'params': True},
        )
        scale = Scale(self.width, self.attention, self.chunk, self.axis_name, name='scales')
        _, (results, attended) = through_scales(scale, (), (x, reconstructions))
        return results, codes, reconstructions, attended[0]


class DAF(nn.Module):
    """Maps of several scales, finest first, -> `Outcome`: fused, attended to, refined.

    d_s = PReLU(norm(conv1x1(c_s))) at the finest scale's size, F = MultiConv of all d_s, deepest first.
    Stage 1 sees x_s = [d_s, F] and gives A_s; stage 2 sees [d_s, A_s * F] and gives R_s. The heads are
    1x1 convolutions, of d_s those that only train, of the last stage's results those that segment.
    For an image, each head is resized to it, and those of the last stage are averaged.

    Attributes:
      num_classes: of the heads.
      width: channels of every map, 64 in the paper.
      num_stages: 2 in the paper.
      attention, guide, chunk: see `Stage`.
    """

    num_classes: int
    width: int = 64
    num_stages: int = 2
    attention: str = 'dual'
    guide: bool = True
    chunk: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, maps: Sequence[Map], train: bool = False) -> Outcome:
        shape, numbers = maps[0].shape[1:3], range(1, len(maps) + 1)
        scales = []
        for s, x in zip(numbers, maps, strict=True):
            x = Conv1x1(self.width, name=f'down_{s}')(x)
            norm = nn.BatchNorm(
                not train,
                momentum=0.9,
                scale_init=near_one,
                axis_name=self.axis_name,
                name=f'down_norm_{s}',
            )
            scales.append(resize_bilinear(PReLU(name=f'down_slope_{s}')(norm(x)), shape))
        fuse = MultiConv(self.width, axis_name=self.axis_name, name='fuse')
        fused = fuse(jnp.concatenate(scales[::-1], axis=-1), train)
        head = partial(Conv1x1, self.num_classes)
        early = [head(name=f'early_{s}')(x) for s, x in zip(numbers, scales, strict=True)]
        inputs, reconstructions, codes = [], [], []
        scales, context = jnp.stack(scales), jnp.broadcast_to(fused, (len(maps), *fused.shape))
        for number in range(1, self.num_stages + 1):
            pairs = jnp.concatenate([scales, context], axis=-1)
            stage = Stage(
                self.width,
                self.attention,
                self.guide,
                self.chunk,
                self.axis_name,
                name=f'stage_{number}',
            )
            results, own_codes, rebuilt, attended = stage(pairs, train)
            if self.guide:
                inputs += list(pairs)
                reconstructions += list(rebuilt)
                codes.append(list(own_codes))
            context = results * fused[None]
        logits = [head(name=f'head_{s}')(x) for s, x in zip(numbers, results, strict=True)]
        shown = attended if self.attention == 'dual' else None
        return Outcome(logits, early, inputs, reconstructions, codes, shown)


class Segmenter(nn.Module):
    """A backbone images -> maps, finest first, and the network on top of it."""

    backbone: nn.Module
    network: nn.Module

    def __call__(self, images: Float[Array, 'b h w c'], train: bool = False) -> Outcome:
        return self.network(self.backbone(images, train), train)


class Baseline(nn.Module):
    """A network images -> logits, with nothing but them in its `Outcome`."""

    network: nn.Module

    def __call__(self, images: Float[Array, 'b h w c'], train: bool = False) -> Outcome:
        return Outcome([self.network(images, train)])
