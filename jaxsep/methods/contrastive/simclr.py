"""A Simple Framework for Contrastive Learning of Visual Representations (SimCLR; Chen et al., 2020).

Two augmentations of each image are positives of one another, everything else in the
batch is negative; the loss is taken on a projection that is thrown away afterwards.

https://arxiv.org/abs/2002.05709, algorithm 1. Numbers of the loss checked against
lightly and solo-learn.
"""

from collections.abc import Mapping, Sequence

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.contrastive import nt_xent
from jaxsep.losses.sphere import alignment
from jaxsep.method import Method
from jaxsep.models.encoders import (
    Mlp,
    Projected,
    apply_train,
    init_model,
    make_encoder,
)  # fmt: skip
from jaxsep.ops.devices import example_keys
from jaxsep.ops.geometry import l2_normalize


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (2048, 128),
    temperature: float = 0.1,
    chunk_size: int | str | None = None,
    axis_name: str | None = None,
) -> Method:
    """SimCLR as a Method; outputs `embedding` (the encoder's features) and `projection`.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head; two layers, 128-d output in the paper (section 4.2).
      temperature: of NT-Xent; 0.1 on ImageNet, 0.5 on CIFAR-10 (section 5.1, B.9).
    """
    change = make_augment(augment)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )

    def init(key, batch):
        return init_model(model, key, to_float(batch['image']))

    def loss(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = both_views(keys, batch['image'], change)
        (_, z), extra = apply_train(model, params, extra, views)
        z1, z2 = apart(z)
        value = nt_xent(z1, z2, temperature, axis_name=axis_name, chunk_size=chunk_size)
        distance = alignment(l2_normalize(z1), l2_normalize(z2), axis_name=axis_name)
        return value, (extra, {'alignment': distance})

    def outputs(params, extra, batch):
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    return Method(init, loss, outputs)
