"""iSogCLR: Automatic Temperature Individualization in Contrastive Learning (Qiu et al., 2023).

Every training sample learns its own temperature, as the multiplier of a robust objective
over its negatives, with running means per sample so that small batches suffice. Frequent
semantics end with large temperatures, rare ones with small ones. SogCLR (Yuan et al., 2022)
is the same with one fixed temperature.

https://arxiv.org/abs/2305.11965, algorithm 1; https://arxiv.org/abs/2202.12387. Where the
paper's code and LibAUC differ (mask, clipping, scale), they are variants with names of
their own; the default is the paper's code.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses import isogclr
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.geometry import l2_normalize

VARIANTS = ('rgcl', 'rgcl_squared_hinge', 'gcl', 'sogclr')


def make(
    *,
    augment: Mapping,
    num_samples: int,
    steps_per_epoch: int,
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    projection: Sequence[int] = (512, 128),
    variant: str = 'rgcl',
    temperature: float = 0.1,
    temperature_range: Sequence[float] = (0.05, 1.0),
    gamma: float = 0.8,
    rho: float = 0.3,
    eta: float = 0.03,
    beta: float = 0.5,
    axis_name: str | None = None,
) -> Method:
    """ISogCLR or SogCLR as a Method.

    Outputs `embedding` (the encoder's features), `projection` (unit rows) and
    `temperature`: the learnt one of the training sample at `index`, so it means something
    for rows of the training split only.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      num_samples, steps_per_epoch: facts of the training split; the state has a row per
        sample, and the first epoch has a rule of its own.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head.
      variant: rgcl (the paper's code), rgcl_squared_hinge, gcl (LibAUC's iSogCLR) or
        sogclr (LibAUC, fixed temperature).
      temperature: where every sample starts (tau_init), or stays with sogclr.
      temperature_range: tau_min, tau_max.
      gamma: weight of the newest batch in the running means.
      rho: robustness radius; larger values lower all temperatures.
      eta, beta: step size and momentum of the temperatures.
    """
    if variant not in VARIANTS:
        raise ValueError(f'variant: expected one of {VARIANTS}, got {variant!r}')
    low, high = temperature_range
    if not 0 < low <= temperature <= high:
        raise ValueError(
            f'temperature: expected within temperature_range {(low, high)}, got {temperature}'
        )
    change = make_augment(augment)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )
    learning = dict(rho=rho, tau_min=low, tau_max=high, eta=eta, beta=beta)

    def surrogate(samples, index, z1, z2, first_epoch):
        if variant == 'sogclr':
            return isogclr.sogclr(samples, index, z1, z2, first_epoch=first_epoch, gamma=gamma)
        if variant == 'rgcl_squared_hinge':
            return isogclr.rgcl_squared_hinge(samples, index, z1, z2, gamma=gamma, **learning)
        function = {'rgcl': isogclr.rgcl, 'gcl': isogclr.gcl}[variant]
        return function(samples, index, z1, z2, first_epoch=first_epoch, gamma=gamma, **learning)

    def init(key, batch):
        params, extra = init_model(model, key, to_float(batch['image']))
        samples = isogclr.TemperatureState.init(num_samples, temperature)
        return params, {**extra, 'samples': samples, 'step': jnp.int32(0)}

    def loss(params, extra, batch, key):
        extra = dict(extra)
        samples, step = extra.pop('samples'), extra.pop('step')
        keys = example_keys(key, len(batch['image']), axis_name)
        views = both_views(keys, batch['image'], change)
        (_, z), extra = apply_train(model, params, extra, views)
        z1, z2 = (gather(z, axis_name) for z in apart(z))
        index = gather(batch['index'], axis_name)
        value, samples = surrogate(samples, index, z1, z2, step < steps_per_epoch)
        metrics = {'temperature': jnp.mean(samples.temperature)}
        return value, ({**extra, 'samples': samples, 'step': step}, metrics)

    def outputs(params, extra, batch):
        extra = dict(extra)
        samples, _ = extra.pop('samples'), extra.pop('step')
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        own = jnp.take(samples.temperature, batch['index'], mode='clip')
        return {'embedding': features, 'projection': l2_normalize(z), 'temperature': own}

    def refresh(params, extra, step):
        return {**extra, 'step': step}

    return Method(init, loss, outputs, refresh)
