"""Multi-scale self-guided attention for medical image segmentation (Sinha and Dolz, 2019).

Feature maps of several scales are brought to one size and fused. Each scale, beside the fusion, passes
attention among places and among channels; a small encoder and decoder, the semantic guide, gates the
result. All of it is done twice, the second time on the fusion times what the first time found. Heads
on the scales before attention and after both stages learn by cross-entropy; the guides have to
reconstruct what they see, and to give one code in both stages.

https://arxiv.org/abs/1906.02849; src/ of https://github.com/sinAshish/Multi-Scale-Attention, which
decides: losses are summed over heads, weighted 0.25 (codes) and 0.1 (reconstructions), and no gradient
is stopped. Differences: its backbone is a ResNeXt-101, which starts at random as all of its weights; ours
is any of `jaxsep.models.fpn.make_maps`. Biases start at 0, those of its convolutions at random; queries,
keys and values start as flax's linear layers do. Images are not augmented.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from jaxsep.data.augment import to_float
from jaxsep.losses.ms_attention import summed_squared_errors
from jaxsep.losses.segmentation import pixel_cross_entropy
from jaxsep.method import Method
from jaxsep.models.blocks.unet import UNet
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.models.fpn import make_maps
from jaxsep.models.ms_attention import ATTENTION, DAF, Baseline, Segmenter
from jaxsep.ops.resize import resize_bilinear

NETWORKS = ('daf', 'unet')


def make(
    *,
    num_classes: int,
    network: str = 'daf',
    backbone: Mapping[str, Any] = {'name': 'conv', 'widths': (16, 32, 64, 64), 'levels': 4},  # noqa: B006
    width: int = 64,
    attention: str = 'dual',
    num_stages: int = 2,
    guide: bool = True,
    semantic_weight: float = 0.25,
    reconstruction_weight: float = 0.1,
    chunk: int = 0,
    unet_widths: Sequence[int] = (16, 32, 64),
    ignore: int = 255,
    label: str = 'true_mask',
    axis_name: str | None = None,
) -> Method:
    """Multi-scale self-guided attention as a Method for `image` [b, h, w, c] and `true_mask` [b, h, w].

    Outputs `mask` [b, h, w], int32, the class of the largest logit, and, with attention, `attention`
    [b, h, w]: how much each place is attended to by the others, on the finest scale in the last stage.

    Args:
      num_classes: of a pixel, the background among them; a fact of the data.
      network: 'daf', the paper's, or 'unet', a baseline that looks at none of the options up to chunk.
      backbone: name and options of the maps, finest first, see `jaxsep.models.fpn.make_maps`. Of the
        finest, at a quarter of the image in the paper, each place attends to all.
      width: channels of every map, w; 64 in the paper.
      attention: 'dual'; without PAM and CAM in its layers 'convolutions', without the layers 'none'.
      num_stages: 2 in the paper.
      guide: gate the attention; the finest map then has even sides.
      semantic_weight: of the difference between the guide's codes in the two stages.
      reconstruction_weight: of the guides' errors.
      chunk: queries that attend at a time, 0 for all; the less memory the fewer, with equal results.
      unet_widths: channels of the U-Net at each resolution.
      ignore: label of pixels that do not count.
      label: column of the masks.
    """
    if network not in NETWORKS:
        raise ValueError(f'network: expected one of {NETWORKS}, got {network!r}')
    if attention not in ATTENTION:
        raise ValueError(f'attention: expected one of {ATTENTION}, got {attention!r}')
    if num_classes < 2:
        raise ValueError(f'num_classes: expected at least 2, got {num_classes}')
    if width < 1 or not unet_widths or min(unet_widths) < 1:
        raise ValueError(
            f'width, unet_widths: expected at least 1, got {width} and {tuple(unet_widths)}'
        )
    if num_stages < 1:
        raise ValueError(f'num_stages: expected at least 1, got {num_stages}')
    if min(semantic_weight, reconstruction_weight) < 0:
        raise ValueError(
            'semantic_weight, reconstruction_weight: expected 0 or more, '
            f'got {semantic_weight} and {reconstruction_weight}'
        )
    if chunk < 0:
        raise ValueError(f'chunk: expected 0 or more, got {chunk}')
    maps = make_maps(axis_name=axis_name, **backbone)
    if network == 'unet':
        model = Baseline(UNet(tuple(unet_widths), num_classes, axis_name))
    else:
        daf = DAF(num_classes, width, num_stages, attention, guide, chunk, axis_name)
        model = Segmenter(maps, daf)

    def init(key, batch):
        if label not in batch:
            raise ValueError(f'label: no column {label!r}; there are {sorted(batch)}')
        return init_model(model, key, to_float(batch['image']))

    def loss(params, extra, batch, key):
        del key
        labels, shape = batch[label], batch['image'].shape[1:3]
        outcome, extra = apply_train(model, params, extra, to_float(batch['image']))
        entropy = sum(
            pixel_cross_entropy(
                resize_bilinear(logits, shape), labels, ignore=ignore, axis_name=axis_name
            )
            for logits in (*outcome.early, *outcome.logits)
        )
        # Of every stage with the next: the original has two.
        semantic = sum(
            summed_squared_errors(first, second, axis_name=axis_name)
            for first, second in zip(outcome.codes, outcome.codes[1:], strict=False)
        )
        rebuilt = summed_squared_errors(
            outcome.inputs, outcome.reconstructions, axis_name=axis_name
        )
        total = entropy + semantic_weight * semantic + reconstruction_weight * rebuilt
        metrics = {'cross_entropy': entropy, 'semantic': semantic, 'reconstruction': rebuilt}
        # Small features would be easy to reconstruct: what the guides see is watched.
        if outcome.inputs:
            squares = summed_squared_errors(
                outcome.inputs, [jnp.zeros_like(x) for x in outcome.inputs], axis_name=axis_name
            )
            metrics['feature_square'] = squares / len(outcome.inputs)
        return total, (
            extra,
            {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()},
        )

    def outputs(params, extra, batch):
        shape = batch['image'].shape[1:3]
        outcome = model.apply({'params': params, **extra}, to_float(batch['image']))
        logits = resize_bilinear(sum(outcome.logits) / len(outcome.logits), shape)
        found = {'mask': jnp.argmax(logits, axis=-1).astype(jnp.int32)}
        if outcome.attended is not None:
            found['attention'] = resize_bilinear(outcome.attended[..., None], shape)[..., 0]
        return found

    return Method(init, loss, outputs)
