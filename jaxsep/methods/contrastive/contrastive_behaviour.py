"""Understanding the Behaviour of Contrastive Loss (Wang and Liu, 2021).

The temperature of the softmax contrastive loss decides how its repulsion is spread over
the negatives. Small temperatures push the nearest negatives only: uniform, separable
embeddings. Large ones push all alike: tolerant, clustered embeddings. Keeping only the
hardest negatives removes most of that trade-off, and then even a linear loss works.

The similarities are those of two views within the batch, or, as in the paper's experiments,
those of one view with a memory bank (Wu et al., 2018) that holds a vector per training image:
the image's own one is the positive, uniformly drawn others are the negatives. The paper's
loss is then the softmax itself, not the noise-contrastive estimate of Wu et al.

https://arxiv.org/abs/2012.09740, sections 3 to 5; https://arxiv.org/abs/1805.01978. There is
no official code. https://github.com/WangFeng18/UnsupervisedLearningCodes seems to be the
first author's (its table has the paper's accuracies on CIFAR-100): there every image is
contrasted with all rows of the bank, num_negatives=0, and the hardest 4096 are kept; the
paper's alpha = 0.0819 is 4095 of 50,000, so we read its 4095 hard negatives that way too.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses import contrastive_behaviour as behaviour
from jaxsep.losses.contrastive import cosine_similarities
from jaxsep.method import Method
from jaxsep.models.encoders import Mlp, Projected, apply_train, init_model, make_encoder
from jaxsep.ops import memory_bank
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.geometry import l2_normalize

LOSSES = ('softmax', 'simple', 'hard', 'hard_simple')
NEGATIVES = ('batch', 'bank')


def make(
    *,
    augment: Mapping,
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    projection: Sequence[int] = (128,),
    loss: str = 'softmax',
    temperature: float = 0.3,
    num_hard: int = 16,
    negatives: str = 'batch',
    num_negatives: int = 0,
    bank_momentum: float = 0.5,
    num_samples: int | None = None,
    axis_name: str | None = None,
) -> Method:
    """A contrastive Method whose loss is one of the paper's four.

    Outputs `embedding` (the encoder's features) and `projection` (unit rows, the space in
    which the paper measures uniformity and tolerance).

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn twice per image for
        negatives of the batch, once for those of the bank.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      projection: widths of the head.
      loss: softmax (the usual one), simple (its limit at high temperature), hard (the
        softmax over the hardest negatives) or hard_simple. The weight of the linear ones,
        which the paper does not give, is one over the number of negatives.
      temperature: of softmax and hard; the paper's best is 0.2 to 0.3.
      num_hard: negatives kept by hard and hard_simple.
      negatives: batch (the other view of the other images) or bank (the paper's).
      num_negatives: rows drawn from the bank at each step, shared by its anchors; 0 takes
        all. Used with negatives='bank' only, as are the next two.
      bank_momentum: weight of the old vector when one of the bank is updated.
      num_samples: fact of the training split; the bank has a row per sample.
    """
    if loss not in LOSSES:
        raise ValueError(f'loss: expected one of {LOSSES}, got {loss!r}')
    if negatives not in NEGATIVES:
        raise ValueError(f'negatives: expected one of {NEGATIVES}, got {negatives!r}')
    if negatives == 'bank':
        _check_bank(num_samples, num_negatives, bank_momentum)
    change = make_augment(augment)
    model = Projected(
        make_encoder(**encoder, axis_name=axis_name), Mlp(projection, axis_name=axis_name)
    )

    def evaluate(similarities, num_negatives, negative_mask=None):
        function = {
            'softmax': partial(behaviour.info_nce_per_anchor, temperature=temperature),
            'simple': partial(behaviour.simple_contrastive, weight=1 / num_negatives),
            'hard': partial(behaviour.hard_contrastive, temperature=temperature, num_hard=num_hard),
            'hard_simple': partial(behaviour.hard_simple, weight=1 / num_hard, num_hard=num_hard),
        }[loss]
        local = behaviour.local_separation(similarities, negative_mask=negative_mask)
        metrics = {
            'positive_similarity': jnp.mean(local.positive),
            'hardest_similarity': jnp.mean(local.negative),
        }
        return jnp.mean(function(similarities, negative_mask=negative_mask)), metrics

    def init(key, batch):
        if negatives == 'batch':
            return init_model(model, key, to_float(batch['image']))
        model_key, bank_key = jax.random.split(key)
        params, extra = init_model(model, model_key, to_float(batch['image']))
        bank = memory_bank.init_bank(bank_key, num_samples, projection[-1])
        return params, {**extra, 'bank': bank}

    def contrast_batch(params, extra, batch, key):
        keys = example_keys(key, len(batch['image']), axis_name)
        views = both_views(keys, batch['image'], change)
        (_, z), extra = apply_train(model, params, extra, views)
        z1, z2 = (gather(z, axis_name) for z in apart(z))
        similarities = cosine_similarities(z1, z2)
        value, metrics = evaluate(similarities, max(similarities.shape[1] - 1, 1))
        return value, (extra, metrics)

    def contrast_bank(params, extra, batch, key):
        view_key, draw_key = jax.random.split(key)
        extra = dict(extra)
        bank = extra.pop('bank')
        keys = example_keys(view_key, len(batch['image']), axis_name)
        (_, z), extra = apply_train(model, params, extra, jax.vmap(change)(keys, batch['image']))
        z, index = gather(z, axis_name), gather(batch['index'], axis_name)
        drawn = memory_bank.sample_negatives(draw_key, num_samples, num_negatives)
        similarities, negative_mask = memory_bank.bank_similarities(z, bank, index, drawn)
        value, metrics = evaluate(similarities, num_negatives or num_samples - 1, negative_mask)
        bank = memory_bank.update_bank(bank, index, z, bank_momentum)
        return value, ({**extra, 'bank': bank}, metrics)

    def outputs(params, extra, batch):
        variables = {'params': params, **{k: v for k, v in extra.items() if k != 'bank'}}
        features, z = model.apply(variables, to_float(batch['image']))
        return {'embedding': features, 'projection': l2_normalize(z)}

    return Method(init, contrast_bank if negatives == 'bank' else contrast_batch, outputs)


def _check_bank(num_samples, num_negatives, momentum):
    if num_samples is None:
        raise ValueError("num_samples: needed for negatives='bank', got None")
    if not 0 <= num_negatives < num_samples:
        raise ValueError(
            f'num_negatives: expected 0 (all) to {num_samples - 1}, the other rows of the bank, '
            f'got {num_negatives}'
        )
    if not 0 <= momentum < 1:
        raise ValueError(f'bank_momentum: expected at least 0 and below 1, got {momentum}')
