"""Emerging Properties in Self-Supervised Vision Transformers (DINO; Caron et al., 2021).

A student learns to give each view of an image the distribution that its own moving average,
the teacher, gives to another view. Centring and sharpening the teacher keep it from
collapsing; the teacher sees the two global crops only.

https://arxiv.org/abs/2104.14294, algorithm 1. Numbers of the loss and of the center checked
against lightly. The small crops have the size of the global ones here (they show less of the
image, but cost as much); the head has ReLU for GELU; the gain of the last layer's weight norm
is fixed at 1.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import apart, make_augment, multi_crop, to_float
from jaxsep.losses.distillation import dino, update_center
from jaxsep.losses.swav import prototype_scores
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.averages import average, cosine_momentum
from jaxsep.ops.devices import example_keys
from jaxsep.ops.geometry import l2_normalize


def make(
    *,
    augment: Mapping,
    augment_small: Mapping = {},  # noqa: B006
    num_small: int = 0,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (2048, 2048, 256),
    num_prototypes: int = 65_536,
    student_temperature: float = 0.1,
    teacher_temperature: Sequence[float] = (0.04, 0.07),
    warmup_steps: int = 0,
    center_momentum: float = 0.9,
    momentum: float = 0.996,
    momentum_steps: int = 0,
    axis_name: str | None = None,
) -> Method:
    """DINO as a Method.

    Outputs `embedding` and `projection` (unit rows): the features of the teacher's encoder and
    head, which are better than the student's throughout (section 5.2).

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      augment_small, num_small: the recipe and number of the additional small crops.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head before the prototypes, without batch normalisation.
      num_prototypes: outputs of the weight-normalised last layer.
      student_temperature: of the predictions.
      teacher_temperature: of the targets at the start and after warmup_steps, linear between.
      warmup_steps: of the teacher's temperature; 0 uses the last one throughout.
      center_momentum: share of the old center in the new one.
      momentum: share of the old teacher in the new one at the start.
      momentum_steps: steps over which momentum rises to 1 as a cosine, the length of the
        training in the paper; 0 keeps it constant.
    """
    change, change_small = make_augment(augment), make_augment(augment_small)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, normalize=False)
    )

    def init(key, batch):
        model_key, prototype_key = jax.random.split(key)
        params, extra = init_model(model, model_key, to_float(batch['image']))
        prototypes = jax.random.normal(prototype_key, (num_prototypes, projection[-1]))
        params = {'model': params, 'prototypes': l2_normalize(prototypes)}
        return params, {
            'student': extra,
            'teacher': params,
            'teacher_statistics': extra,
            'center': jnp.zeros(num_prototypes),
            'step': jnp.int32(0),
        }

    def scores(params, extra, views, num_views):
        (_, z), extra = apply_train(model, params['model'], extra, views)
        found = prototype_scores(z, params['prototypes'])
        return jnp.stack(apart(found, num_views)), extra

    def loss(params, extra, batch, key):
        b = len(batch['image'])
        keys = example_keys(key, b, axis_name)
        views = multi_crop(keys, batch['image'], change, change_small, num_small)
        student, student_extra = scores(params, extra['student'], views, 2 + num_small)
        large = views.reshape(b, 2 + num_small, *views.shape[1:])[:, :2]
        large = large.reshape(2 * b, *views.shape[1:])
        teacher, statistics = scores(extra['teacher'], extra['teacher_statistics'], large, 2)
        warm = jnp.minimum(extra['step'] / warmup_steps, 1.0) if warmup_steps else 1.0
        first, last = teacher_temperature
        value = dino(
            student,
            teacher,
            extra['center'],
            student_temperature=student_temperature,
            teacher_temperature=first + (last - first) * warm,
            axis_name=axis_name,
        )
        center = update_center(extra['center'], teacher, center_momentum, axis_name=axis_name)
        extra = {
            **extra,
            'student': student_extra,
            'teacher_statistics': statistics,
            'center': center,
        }
        return value, (extra, {'center_spread': jnp.std(center)})

    def outputs(params, extra, batch):
        variables = {'params': extra['teacher']['model'], **extra['teacher_statistics']}
        features, z = model.apply(variables, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    def refresh(params, extra, step):
        share = cosine_momentum(step, momentum, momentum_steps)
        return {**extra, 'teacher': average(extra['teacher'], params, share), 'step': step}

    return Method(init, loss, outputs, refresh)
