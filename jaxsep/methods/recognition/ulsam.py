"""ULSAM: Ultra-Lightweight Subspace Attention Module for Compact CNNs (Saini et al., 2020).

Attention for networks that have to be small: the channels are divided into subspaces, each gets one map of
where to look, made with two numbers a channel, and is added to itself, weighted by it. It goes behind
layers of a mobile network, or in the place of expensive ones, which makes it smaller still.

https://arxiv.org/abs/2006.15102; ulsam.py of https://github.com/Nandan91/ULSAM is the module; training
is not published, so the recipe here is ours. Compare with `change='drop'`, the same layers taken
away and nothing put there: part of what a smaller network gains it gains without attention.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.models.ulsam import NETWORKS, MobileNet, changed, check_splits
from jaxsep.ops import devices


def make(
    *,
    network: str = 'mobilenet_v2',
    places: Sequence[int] = (14, 17),
    change: str = 'replace',
    num_splits: int = 4,
    by_size: bool = False,
    momentum: float = 0.1,
    augment: Mapping = {},  # noqa: B006
    label_smoothing: float = 0.0,
    label: str = 'label',
    num_classes: int,
    axis_name: str | None = None,
) -> Method:
    """A mobile network with ULSAM as a Method for images with labels.

    Outputs `logits` [b, k]; `embedding`, the mean over the last map; and, where there is attention,
    `attention` [b, h, w] of the last module, the mean of its subspaces, whose sum is 1.

    Args:
      network: 'mobilenet_v1' or 'mobilenet_v2', the paper's, or 'small' or 'tiny' for small images,
        see `jaxsep.models.ulsam.NETWORKS`.
      places: numbers of layers, the stem is 1; () for the network as it is. The paper's best with
        MobileNetV2 replaces 14 and 17, or 13, 14, 16 and 17.
      change: 'replace' these layers by attention, 'insert' it behind them, or 'drop' them.
      num_splits: subspaces; 4 or more in the paper's best; divides the channels at all places.
      by_size: see `jaxsep.models.ulsam.ULSAM`; not in the paper.
      momentum: share of the old running statistics that the module keeps, 0.1 in the code.
      augment: recipe of `jaxsep.data.augment.make_augment`, drawn once per image.
      label_smoothing: see `cross_entropy`.
      label: the column of the classes.
      num_classes: fact of it.
    """
    if network not in NETWORKS:
        raise ValueError(f'network: expected one of {sorted(NETWORKS)}, got {network!r}')
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f'label_smoothing: expected a number from 0 to below 1, got {label_smoothing}'
        )
    if not 0 <= momentum < 1:
        raise ValueError(f'momentum: expected a share from 0 to below 1, got {momentum}')
    layers = changed(NETWORKS[network], places, change)
    for layer in layers.layers:
        if layer.kind == 'ulsam':
            check_splits(layer.width, num_splits)
    change_image = make_augment(augment)
    model = MobileNet(layers, num_classes, num_splits, by_size, momentum, axis_name)

    def init(key, batch):
        if label not in batch:
            raise ValueError(f'label: no column {label!r}; there are {sorted(batch)}')
        return init_model(model, key, to_float(batch['image']))

    def loss(params, extra, batch, key):
        keys = devices.example_keys(key, len(batch['image']), axis_name)
        images = jax.vmap(change_image)(keys, batch['image'])
        found, extra = apply_train(model, params, extra, images)
        labels = jnp.asarray(batch[label])
        value = cross_entropy(found.logits, labels, smoothing=label_smoothing, axis_name=axis_name)
        right = devices.mean(jnp.argmax(found.logits, axis=-1) == labels, axis_name)
        return value, (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        found = model.apply({'params': params, **extra}, to_float(batch['image']))
        named = {'logits': found.logits, 'embedding': found.features}
        return named if found.attention is None else {**named, 'attention': found.attention}

    return Method(init, loss, outputs)
