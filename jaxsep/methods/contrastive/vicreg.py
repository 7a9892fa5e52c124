"""VICReg: Variance-Invariance-Covariance Regularization (Bardes et al., 2022).

Two views should agree; a hinge on every feature's standard deviation forbids collapse, and
a penalty on covariances makes the features say different things. Neither negatives nor
a second network.

https://arxiv.org/abs/2105.04906, algorithm 1. Where the paper and the official code differ
(the half of the variance term), this follows the code. Numbers of the loss checked against it.
"""

from collections.abc import Mapping, Sequence

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.redundancy import invariance_term, variance_term, vicreg
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (8192, 8192, 8192),
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    axis_name: str | None = None,
) -> Method:
    """VICReg as a Method; outputs `embedding` (the encoder's features) and `projection`.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head, the paper's expander (section 4.2).
      invariance_weight, variance_weight, covariance_weight: lambda, mu and nu (section 4.2).
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
        value = vicreg(
            z1,
            z2,
            invariance_weight=invariance_weight,
            variance_weight=variance_weight,
            covariance_weight=covariance_weight,
            axis_name=axis_name,
        )
        metrics = {
            'invariance': invariance_term(z1, z2, axis_name=axis_name),
            'variance': variance_term(z1, axis_name=axis_name),
        }
        return value, (extra, metrics)

    def outputs(params, extra, batch):
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'projection': z}

    return Method(init, loss, outputs)
