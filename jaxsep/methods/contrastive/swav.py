"""Unsupervised Learning by Contrasting Cluster Assignments (SwAV; Caron et al., 2020).

Views of an image are compared through prototypes: from one view, predict to which
prototypes the other was assigned, when the whole batch had to use all prototypes alike.

https://arxiv.org/abs/2006.09882, algorithm 1 and section 3.3. Numbers of the loss and of the
assignment checked against lightly. Left out: the queue for batches with fewer images than
prototypes, and the first epoch with frozen prototypes. The additional small crops have the
size of the large ones here (they show less of the image, but cost as much).
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import apart, make_augment, multi_crop, to_float
from jaxsep.losses.swav import prototype_scores, swav
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys, mean
from jaxsep.ops.geometry import l2_normalize


def make(
    *,
    augment: Mapping,
    augment_small: Mapping = {},  # noqa: B006
    num_small: int = 0,
    encoder: Mapping = {'name': 'resnet50'},  # noqa: B006
    projection: Sequence[int] = (2048, 128),
    num_prototypes: int = 3000,
    temperature: float = 0.1,
    eps: float = 0.05,
    num_iterations: int = 3,
    axis_name: str | None = None,
) -> Method:
    """SwAV as a Method.

    Outputs `embedding` (the encoder's features), `projection` (unit rows) and
    `assignment`: the cosines with the prototypes over the temperature.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      augment_small, num_small: the recipe and number of the additional small crops.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head (appendix A).
      num_prototypes: their number; normalised wherever they are used.
      temperature: of the predictions.
      eps, num_iterations: of the assignment; see `jaxsep.ops.sinkhorn`.
    """
    change, change_small = make_augment(augment), make_augment(augment_small)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )

    def init(key, batch):
        model_key, prototype_key = jax.random.split(key)
        params, extra = init_model(model, model_key, to_float(batch['image']))
        prototypes = jax.random.normal(prototype_key, (num_prototypes, projection[-1]))
        return {'model': params, 'prototypes': l2_normalize(prototypes)}, extra

    def loss(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = multi_crop(keys, batch['image'], change, change_small, num_small)
        (_, z), extra = apply_train(model, params['model'], extra, views)
        scores = jnp.stack(apart(prototype_scores(z, params['prototypes']), 2 + num_small))
        value = swav(
            scores[:2],
            scores[2:],
            temperature=temperature,
            eps=eps,
            num_iterations=num_iterations,
            axis_name=axis_name,
        )
        same = jnp.argmax(scores[0], axis=-1) == jnp.argmax(scores[1], axis=-1)
        return value, (extra, {'same_prototype': mean(same.astype(jnp.float32), axis_name)})

    def outputs(params, extra, batch):
        variables = {'params': params['model'], **extra}
        features, z = model.apply(variables, to_float(batch['image']))
        return {
            'embedding': features,
            'projection': l2_normalize(z),
            'assignment': prototype_scores(z, params['prototypes']) / temperature,
        }

    return Method(init, loss, outputs)
