"""Bridging the Gap Between Vision Transformers and CNNs on Small Datasets (DHVT; Lu et al., 2022).

A vision transformer learns from few images if it gets what convolutions bring along. Patches come from
a stack of convolutions and overlap (SOPE); the feed-forward layer is an inverted residual on the map
of patches whose mean weights the class token (DAFF); and each head of the attention sends a token of its
own channels, so that heads take notice of one another (HI-MHSA). There are no position embeddings.

https://arxiv.org/abs/2210.05958; vision_transformer.py of https://github.com/ArieSeirack/DHVT, which
decides where the paper leaves something open: no sigmoid in the weight of the class token, head tokens
are made anew in every block. Its plain transformer does not run; the baseline here is ours.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.method import Method
from jaxsep.models.blocks.vit import Dense, VisionTransformer, class_attention
from jaxsep.models.dhvt import PARTS, make_dhvt
from jaxsep.models.encoders import init_model, make_encoder
from jaxsep.ops import devices


class Classifier(nn.Module):
    """A transformer or another encoder, and a linear layer on its class token or features."""

    encoder: nn.Module
    num_classes: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b h w c'],
        keys: Key[Array, 'b'] | None = None,
        train: bool = False,
    ) -> dict[str, jax.Array]:
        if isinstance(self.encoder, VisionTransformer):
            seen = self.encoder(x, keys, train)
            found = {'embedding': seen.tokens[:, 0], 'attention': class_attention(seen)}
        else:
            found = {'embedding': self.encoder(x, train)}
        return {**found, 'logits': Dense(self.num_classes, name='head')(found['embedding'])}


def make(
    *,
    width: int = 192,
    depth: int = 12,
    num_heads: int = 4,
    expansion: float | int = 4,
    patch_size: int = 4,
    drop_path: float = 0.1,
    parts: Sequence[str] = PARTS,
    positions: bool | None = None,
    encoder: Mapping = {},  # noqa: B006
    image_size: int = 0,
    pixel_mean: Sequence[float] = (0.0,),
    pixel_std: Sequence[float] = (1.0,),
    augment: Mapping = {},  # noqa: B006
    label_smoothing: float = 0.0,
    label: str = 'label',
    num_classes: int,
    axis_name: str | None = None,
) -> Method:
    """DHVT as a Method for images with labels.

    Outputs `logits` [b, k]; `embedding`, the class token after the last norm; and `attention` [b, h, w],
    what the class token takes from each patch in the last block, the mean of the heads.

    Args:
      width, depth, num_heads, expansion, patch_size: of the transformer. The defaults are DHVT-T
        on CIFAR; DHVT-S has width 384 and 8 heads, and on ImageNet 3 and 6 heads.
      drop_path: rate of stochastic depth in the last block, 0.1 in the paper.
      parts: 'overlap' (SOPE), 'aggregate' (DAFF) and 'heads' (HI-MHSA); () for the plain transformer.
      positions: add learned position embeddings; None for: unless all parts are there.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`, in place of the
        transformer: a baseline. There is no `attention` then.
      image_size: images are resized to so many pixels a side, bilinearly; 0 leaves them.
      pixel_mean, pixel_std: of each channel, images in [0, 1].
      augment: recipe of `jaxsep.data.augment.make_augment`, drawn once per image.
      label_smoothing: see `cross_entropy`; 0.1 in the paper.
      label: the column of the classes.
      num_classes: fact of it.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f'label_smoothing: expected a number from 0 to below 1, got {label_smoothing}'
        )
    if image_size < 0:
        raise ValueError(f'image_size: expected 0 or more pixels, got {image_size}')
    change = make_augment(augment)
    if encoder:
        inner = make_encoder(**encoder, axis_name=axis_name)
    else:
        inner = make_dhvt(
            width=width,
            depth=depth,
            num_heads=num_heads,
            expansion=expansion,
            patch_size=patch_size,
            rate=drop_path,
            parts=parts,
            positions=positions,
            axis_name=axis_name,
        )
    model = Classifier(inner, num_classes)

    def normalized(images):
        """What the network sees."""
        if image_size:
            shape = (len(images), image_size, image_size, images.shape[-1])
            images = jax.image.resize(images, shape, 'bilinear')
        mean, std = (jnp.array(x)[None, None, None] for x in (pixel_mean, pixel_std))
        return (images - mean) / std

    def init(key, batch):
        if label not in batch:
            raise ValueError(f'label: no column {label!r}; there are {sorted(batch)}')
        return init_model(model, key, normalized(to_float(batch['image'])))

    def loss(params, extra, batch, key):
        keys = devices.example_keys(key, len(batch['image']), axis_name)
        halves = jax.vmap(jax.random.split)(keys)
        images = normalized(jax.vmap(change)(halves[:, 0], batch['image']))
        found, extra = model.apply(
            {'params': params, **extra}, images, halves[:, 1], train=True, mutable=['batch_stats']
        )
        labels, logits = jnp.asarray(batch[label]), found['logits']
        value = cross_entropy(logits, labels, smoothing=label_smoothing, axis_name=axis_name)
        right = devices.mean(jnp.argmax(logits, axis=-1) == labels, axis_name)
        return value, (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        return model.apply({'params': params, **extra}, normalized(to_float(batch['image'])))

    return Method(init, loss, outputs)
