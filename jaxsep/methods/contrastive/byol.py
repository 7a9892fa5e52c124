"""Bootstrap Your Own Latent (BYOL; Grill et al., 2020).

An online network predicts, from one view, what a slowly moving average of itself (the
target) says of the other view. No negatives; the predictor and the moving target keep it
from collapsing.

https://arxiv.org/abs/2006.07733, section 3. Numbers of the loss checked against lightly.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import both_views, make_augment, to_float
from jaxsep.losses.distillation import byol
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.averages import average, cosine_momentum
from jaxsep.ops.devices import example_keys
from jaxsep.ops.geometry import l2_normalize


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (4096, 256),
    prediction: Sequence[int] = (4096, 256),
    momentum: float = 0.996,
    momentum_steps: int = 0,
    axis_name: str | None = None,
) -> Method:
    """BYOL as a Method; outputs `embedding` (the encoder's features) and `projection`.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection, prediction: widths of the two heads (section 3.3); both end in as many.
      momentum: share of the old target in the new one at the start, tau_base.
      momentum_steps: steps over which momentum rises to 1 as a cosine, the length of the
        training in the paper; 0 keeps it constant.
    """
    if projection[-1] != prediction[-1]:
        raise ValueError(
            f'prediction: expected to end in {projection[-1]} as projection, got {prediction}'
        )
    change = make_augment(augment)
    online = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )
    predictor = Mlp(prediction, axis_name=axis_name)

    def init(key, batch):
        online_key, predictor_key = jax.random.split(key)
        params, extra = init_model(online, online_key, to_float(batch['image']))
        z = jnp.zeros((len(batch['image']), projection[-1]))
        head, head_extra = init_model(predictor, predictor_key, z)
        return {'online': params, 'predictor': head}, {
            'online': extra,
            'predictor': head_extra,
            'target': params,
        }

    def loss(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = both_views(keys, batch['image'], change)
        (_, z), online_extra = apply_train(online, params['online'], extra['online'], views)
        p, head_extra = apply_train(predictor, params['predictor'], extra['predictor'], z)
        # The target normalises by its own batch, so that it needs no running statistics.
        (_, targets), _ = apply_train(online, extra['target'], extra['online'], views)
        of_other_view = targets.reshape(-1, 2, targets.shape[-1])[:, ::-1].reshape(targets.shape)
        value = 2.0 * byol(p, of_other_view, axis_name=axis_name)
        agreement = 1.0 - 0.5 * byol(z, targets, axis_name=axis_name)
        extra = {**extra, 'online': online_extra, 'predictor': head_extra}
        return value, (extra, {'target_cosine': agreement})

    def outputs(params, extra, batch):
        variables = {'params': params['online'], **extra['online']}
        features, z = online.apply(variables, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    def refresh(params, extra, step):
        share = cosine_momentum(step, momentum, momentum_steps)
        return {**extra, 'target': average(extra['target'], params['online'], share)}

    return Method(init, loss, outputs, refresh)
