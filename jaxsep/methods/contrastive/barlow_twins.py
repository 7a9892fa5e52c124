"""Barlow Twins: Self-Supervised Learning via Redundancy Reduction (Zbontar et al., 2021).

Each feature should agree with itself in the other view and with no other feature: the
cross-correlation of two views is driven to the identity. Neither negatives nor a second
network.

https://arxiv.org/abs/2103.03230, algorithm 1. Numbers of the loss checked against solo-learn.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.redundancy import barlow_twins, cross_correlation
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (8192, 8192, 8192),
    off_diagonal_weight: float = 5e-3,
    scale: float = 1.0,
    axis_name: str | None = None,
) -> Method:
    """Barlow Twins as a Method; outputs `embedding` (the encoder's features) and `projection`.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head; wider than the encoder in the paper (figure 4).
      off_diagonal_weight: lambda, 5e-3 in the paper (section 3.1).
      scale: of the whole loss.
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
        value = barlow_twins(
            z1, z2, off_diagonal_weight=off_diagonal_weight, scale=scale, axis_name=axis_name
        )
        correlation = jnp.diagonal(cross_correlation(z1, z2, axis_name=axis_name))
        return value, (extra, {'correlation': jnp.mean(correlation)})

    def outputs(params, extra, batch):
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'projection': z}

    return Method(init, loss, outputs)
