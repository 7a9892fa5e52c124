"""Hydra: Rethinking Positive Pairs in Contrastive Learning (Wu et al., 2024).

Samples of ANY two classes may be positives: a gate made from the two class labels opens the
dimensions that the pair shall share, and only there are they pulled together and all other
classes pushed away. Without the gate arbitrary positives pull the classes into one another. The
paper's second version, SimLAP, keeps the method and weights the cosine by the gate instead of
normalising anew inside the subspace (`similarity='gated'`).

https://arxiv.org/abs/2410.18200; vitookit/evaluation/simlap.py and supcon.py of the authors'
vitookit, and their FastSSL. The momentum variant (Hydra-MoCo) and the stochastic gates are not here.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsep.data.augment import apart, both_views, make_augment, to_float
from jaxsep.losses.hydra import (
    PAIRS,
    REDUCTIONS,
    SIMILARITIES,
    gate_statistics,
    hydra,
    partner_classes,
)
from jaxsep.method import Method
from jaxsep.models.encoders import Projected, apply_train, init_model, make_encoder
from jaxsep.models.hydra import LayerNormHead, PairGate, open_gate
from jaxsep.ops import devices

GATES = ('pair', 'product', 'open')


def make(
    *,
    augment: Mapping,
    num_classes: int,
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    hidden: int = 2048,
    features: int = 256,
    gate: str = 'pair',
    gate_embedding: int = 512,
    gate_hidden: int = 1024,
    pairs: str = 'arbitrary',
    similarity: str = 'subspace',
    reduction: str = 'pooled',
    num_views: int = 1,
    temperature: float = 0.1,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """Hydra as a Method.

    Outputs `embedding` (the encoder's features), `projection` (the head's) and `logits`, of a
    linear classifier on the features that is trained alongside and sends no gradient back.

    Args:
      augment: recipe of `jaxsep.data.augment.make_augment`; drawn once per image and view.
      num_classes: a fact of the data.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      hidden, features: widths of the head, which ends in a LayerNorm.
      gate: 'pair' (one gate from the mean of two label embeddings), 'product' (of two single
        gates) or 'open' (all ones, the ablation).
      gate_embedding, gate_hidden: widths of `jaxsep.models.hydra.PairGate`.
      pairs: 'arbitrary', 'distinct' or 'identical'; see `jaxsep.losses.hydra.partner_classes`.
      similarity: 'subspace' (Hydra) or 'gated' (SimLAP).
      reduction: 'pooled' (vitookit) or 'row'; see `multi_positive_cross_entropy`.
      num_views: 1, anchors are their own keys (vitookit), or 2, the keys are a second view
        (FastSSL).
      temperature: 0.1 in all of the code.
      label: the column that classes are read from.
    """
    for name, value, known in (
        ('gate', gate, GATES),
        ('pairs', pairs, PAIRS),
        ('similarity', similarity, SIMILARITIES),
        ('reduction', reduction, REDUCTIONS),
        ('num_views', num_views, (1, 2)),
    ):
        if value not in known:
            raise ValueError(f'{name}: expected one of {known}, got {value!r}')
    change = make_augment(augment)
    head = LayerNormHead(hidden, features, axis_name=axis_name)
    model = Projected(make_encoder(**encoder, axis_name=axis_name), head)
    gater = PairGate(
        num_classes, features, gate_embedding, gate_hidden, gate == 'product', axis_name=axis_name
    )
    probe = nn.Dense(num_classes)

    def init(key, batch):
        model_key, gate_key, probe_key = jax.random.split(key, 3)
        params, extra = {}, {}
        image, labels = to_float(batch['image']), jnp.asarray(batch[label])
        params['model'], extra['model'] = init_model(model, model_key, image)
        if gate != 'open':
            variables = dict(gater.init(gate_key, labels, labels, train=True))
            params['gate'], extra['gate'] = variables.pop('params'), variables
        shape = jax.eval_shape(model.init_with_output, model_key, image)[0][0]
        params['probe'] = probe.init(probe_key, jnp.zeros(shape.shape))['params']
        return params, extra

    def gates(params, extra, y1, y2):
        """The gates of the pairs, and what they leave in the extra state."""
        if gate == 'open':
            return open_gate(y1, features), {}
        variables = {'params': params['gate'], **extra['gate']}
        g, changed = gater.apply(variables, y1, y2, train=True, mutable=['batch_stats'])
        return g, {'gate': changed}

    def loss(params, extra, batch, key):
        labels = jnp.asarray(batch[label])
        view_key, partner_key = jax.random.split(key)
        keys = devices.example_keys(view_key, len(labels), axis_name)
        if num_views == 2:
            views = both_views(keys, batch['image'], change)
            labels_of_views = jnp.repeat(labels, 2)
        else:
            views, labels_of_views = jax.vmap(change)(keys, batch['image']), labels
        (h, z), changed = apply_train(model, params['model'], extra['model'], views)
        anchors, others = apart(z) if num_views == 2 else (z, z)
        partners = partner_classes(
            partner_key, labels, num_classes, pairs=pairs, axis_name=axis_name
        )
        g, gate_state = gates(params, extra, labels, partners)
        contrast = hydra(
            anchors, others, labels, partners, g, temperature,
            similarity=similarity, reduction=reduction, axis_name=axis_name,
        )  # fmt: skip
        logits = probe.apply({'params': params['probe']}, jax.lax.stop_gradient(h))
        costs = optax.softmax_cross_entropy_with_integer_labels(logits, labels_of_views)
        online = devices.mean(costs, axis_name)
        metrics = {'contrast': contrast, 'probe': online}
        metrics |= gate_statistics(g, axis_name=axis_name)._asdict()
        return contrast + online, ({'model': changed, **gate_state}, metrics)

    def outputs(params, extra, batch):
        variables = {'params': params['model'], **extra['model']}
        h, z = model.apply(variables, to_float(batch['image']))
        logits = probe.apply({'params': params['probe']}, h)
        return {'embedding': h, 'projection': z, 'logits': logits}

    return Method(init, loss, outputs)
