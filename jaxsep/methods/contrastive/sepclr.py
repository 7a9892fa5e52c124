"""SepCLR: Separating common from salient patterns with Contrastive Learning (Louiset et al., 2024).

Two networks look at the same image. c has to know what all images have in common, s what
only the targets have: InfoMax (alignment and uniformity) on both, the salient codes of
the background held at 0, and the joint entropy of c and s maximised (k-JEM), so that
neither repeats what the other says.

https://arxiv.org/abs/2402.11928. Where the paper and the official code differ (the scale
of the uniformities, doubled in the code), this follows the code. The code normalises each
view by its own batch statistics, this both views together.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.sepclr import sepclr, sepclr_terms
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.models.sepclr import Branch, CommonAndSalient
from jaxsep.ops.devices import example_keys


def make(
    *,
    augment: Mapping,
    target: str = 'target',
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    features: int = 32,
    hidden: int = 128,
    salient_weight: float = 1000.0,
    background_weight: float = 1000.0,
    joint_weight: float = 10.0,
    temperature: float = 0.5,
    axis_name: str | None = None,
) -> Method:
    """SepCLR as a Method.

    Outputs `common_embedding` (c) and `salient_embedding` (s), both before their heads, and
    `embedding`, the two side by side.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      target: label column, 0 for the background and anything else for targets.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`, for two networks
        that share nothing.
      features: width of c and of s, by a linear layer on the encoder; 0 for the encoder's own.
      hidden: width of the hidden layer of the heads.
      salient_weight, background_weight, joint_weight: of the terms, see
        `jaxsep.losses.sepclr.sepclr`; the defaults are the code's for CIFAR-MNIST.
      temperature: tau of the Gaussian kernels.
    """
    if features < 0 or hidden < 1:
        raise ValueError(f'features, hidden: expected widths, got {features} and {hidden}')
    if not temperature > 0:
        raise ValueError(f'temperature: expected a positive number, got {temperature}')
    change = make_augment(augment)
    model = CommonAndSalient(
        *(
            Branch(make_encoder(**encoder, axis_name=axis_name), features, hidden, axis_name)
            for _ in range(2)
        )
    )

    def init(key, batch):
        if target not in batch:
            raise ValueError(f'target: no label column {target!r}; there are {sorted(batch)}')
        return init_model(model, key, to_float(batch['image']))

    def loss(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = both_views(keys, batch['image'], change)
        ((_, c), (_, s)), extra = apply_train(model, params, extra, views)
        terms = sepclr_terms(
            *apart(c),
            *apart(s),
            batch[target] != 0,
            temperature=temperature,
            axis_name=axis_name,
        )
        value = sepclr(
            terms,
            salient_weight=salient_weight,
            background_weight=background_weight,
            joint_weight=joint_weight,
        )
        return value, (extra, terms._asdict())

    def outputs(params, extra, batch):
        images = to_float(batch['image'])
        (c, _), (s, _) = model.apply({'params': params, **extra}, images)
        both = jnp.concatenate([c, s], axis=1)
        return {'embedding': both, 'common_embedding': c, 'salient_embedding': s}

    return Method(init, loss, outputs)
