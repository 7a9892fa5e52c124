"""Supervised Contrastive Learning (SupCon; Khosla et al., 2020).

SimCLR with labels: every view of every image of the same class is a positive, and the mean
over positives is taken outside the logarithm. The head is thrown away afterwards.

https://arxiv.org/abs/2004.11362, equation 2 and section 3.2. The released code multiplies the loss
by temperature / 0.07; the paper does not, and neither does this. Numbers of the loss
checked against the released code.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from jaxsep.data.augment import both_views, make_augment, to_float
from jaxsep.losses.contrastive import supcon
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys
from jaxsep.ops.geometry import l2_normalize


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (2048, 128),
    temperature: float = 0.1,
    label: str = 'label',
    chunk_size: int | str | None = None,
    axis_name: str | None = None,
) -> Method:
    """SupCon as a Method; outputs `embedding` (the encoder's features) and `projection`.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head; two layers, 128-d output in the paper (section 3.1).
      temperature: 0.1 in the paper (section 4).
      label: the column that says which rows are positives.
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
        value = supcon(
            z.reshape(-1, 2, z.shape[-1]), jnp.asarray(batch[label]), temperature, temperature,
            axis_name=axis_name, chunk_size=chunk_size,
        )  # fmt: skip
        return value, (extra, {})

    def outputs(params, extra, batch):
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    return Method(init, loss, outputs)
