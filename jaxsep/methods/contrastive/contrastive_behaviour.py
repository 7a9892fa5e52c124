"""Understanding the Behaviour of Contrastive Loss (Wang and Liu, 2021).

The temperature of the softmax contrastive loss decides how its repulsion is spread over
the negatives. Small temperatures push the nearest negatives only: uniform, separable
embeddings. Large ones push all alike: tolerant, clustered embeddings. Keeping only the
hardest negatives removes most of that trade-off, and then even a linear loss works.

https://arxiv.org/abs/2012.09740, sections 3 to 5; there is no official code.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax.numpy as jnp

from jaxsep.data.augment import make_augment, to_float, two_views
from jaxsep.losses import contrastive_behaviour as behaviour
from jaxsep.losses.contrastive import cosine_similarities
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.geometry import l2_normalize

LOSSES = ('softmax', 'simple', 'hard', 'hard_simple')


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    projection: Sequence[int] = (128,),
    loss: str = 'softmax',
    temperature: float = 0.3,
    num_hard: int = 16,
    axis_name: str | None = None,
) -> Method:
    """A two-view contrastive Method whose loss is one of the paper's four.

    Outputs `embedding` (the encoder's features) and `projection` (unit rows, the space in
    which the paper measures uniformity and tolerance).

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head.
      loss: softmax (the usual one), simple (its limit at high temperature), hard (the
        softmax over the hardest negatives) or hard_simple. The weight of the linear ones,
        which the paper does not give, is one over the number of negatives.
      temperature: of softmax and hard; the paper's best is 0.2 to 0.3.
      num_hard: negatives kept by hard and hard_simple.
    """
    if loss not in LOSSES:
        raise ValueError(f'loss: expected one of {LOSSES}, got {loss!r}')
    change = make_augment(augment)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )

    def per_anchor(similarities):
        num_negatives = max(similarities.shape[1] - 1, 1)
        return {
            'softmax': partial(behaviour.info_nce_per_anchor, temperature=temperature),
            'simple': partial(behaviour.simple_contrastive, weight=1 / num_negatives),
            'hard': partial(behaviour.hard_contrastive, temperature=temperature, num_hard=num_hard),
            'hard_simple': partial(behaviour.hard_simple, weight=1 / num_hard, num_hard=num_hard),
        }[loss](similarities)

    def init(key, batch):
        return init_model(model, key, to_float(batch['image']))

    def contrast(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = jnp.concatenate(two_views(keys, batch['image'], change))
        (_, z), extra = apply_train(model, params, extra, views)
        z1, z2 = (gather(z, axis_name) for z in jnp.split(z, 2))
        similarities = cosine_similarities(z1, z2)
        local = behaviour.local_separation(similarities)
        metrics = {
            'positive_similarity': jnp.mean(local.positive),
            'hardest_similarity': jnp.mean(local.negative),
        }
        return jnp.mean(per_anchor(similarities)), (extra, metrics)

    def outputs(params, extra, batch):
        features, z = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    return Method(init, contrast, outputs)
