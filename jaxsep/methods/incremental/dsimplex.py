"""d-Simplex-HOC: Stationary Representations, Optimally Approximating Compatibility (Biondi et al., 2024).

Queries of a new model are to be matched against a gallery that an old model encoded. The classifier
is fixed at the vertices of a regular simplex that has room for all classes to come, so each class is
drawn to a direction that never moves; and while a model is trained on a task, a contrastive
loss ties its features to those of the model it started from.

A run has one stage per task. A stage starts from the parameters of the one before it and keeps a
frozen copy of them, the previous model. Where a model is replaced by a better one that was
trained elsewhere, that is a stage of its own with `take_over=False` before the task's.

https://arxiv.org/abs/2405.02581. As in the released code, features are not normalised for the
classifier (no bias, no scale), class y is the output K - 1 - y, and the contrastive loss has its
pairs of one class masked by zero. `head='learnable'` with `ce_weight=1` is the baseline ER: a
linear classifier without bias that has columns for the classes seen so far.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.compatibility import higher_order_compatibility
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.geometry import l2_normalize
from jaxsep.ops.simplex import simplex_vertices

HEADS = ('simplex', 'learnable')


class Stationary(nn.Module):
    """An encoder, a linear layer without bias to the features, and a classifier on them.

    Attributes:
      num_outputs: K, the vertices of the simplex; features have K - 1 numbers.
      fixed: the classifier is the simplex, not learnt.

    Returns features and logits, both as they are.
    """

    encoder: nn.Module
    num_outputs: int
    fixed: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        features = nn.Dense(self.num_outputs - 1, use_bias=False)(self.encoder(x, train))
        if self.fixed:
            logits = features @ simplex_vertices(self.num_outputs).T
        else:
            logits = nn.Dense(self.num_outputs, use_bias=False, name='classifier')(features)
        return features, logits


def make(
    *,
    num_classes: int,
    num_outputs: int = 1024,
    head: str = 'simplex',
    ce_weight: float = 0.1,
    scale: float = 10.0,
    mask: str = 'zero',
    seen_classes: int = 0,
    encoder: Mapping = {'name': 'resnet18'},  # noqa: B006
    augment: Mapping = {},  # noqa: B006
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """One task of d-Simplex-HOC as a Method; outputs `embedding` (unit features) and `logits`.

    `logits` [b, num_classes] are in the order of the class numbers.

    Args:
      num_classes: a fact of the data.
      num_outputs: K, room for classes to come; 1024 in the paper, so 1023 features.
      head: 'simplex' (fixed) or 'learnable'.
      ce_weight: lambda; 0.1 in the paper. 1 is plain cross-entropy, as for the first task, which
        has no previous model; then none is kept.
      scale: mu of the contrastive loss; 10 in the paper.
      mask: 'zero' as in the code, or 'exclude'; see the loss.
      seen_classes: a learnable head answers only with the classes numbered below; 0 for all.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`; ResNet-18 there.
      augment: recipe of `jaxsep.data.augment.make_augment`; none if empty.
      label: the label column.
    """
    if head not in HEADS:
        raise ValueError(f'head: expected one of {HEADS}, got {head!r}')
    if num_outputs < max(num_classes, 2):
        raise ValueError(
            f'num_outputs: expected at least {max(num_classes, 2)} (the classes), got {num_outputs}'
        )
    if not 0 <= ce_weight <= 1:
        raise ValueError(f'ce_weight: expected a weight between 0 and 1, got {ce_weight}')
    if not 0 <= seen_classes <= num_classes:
        raise ValueError(f'seen_classes: expected 0 to {num_classes}, got {seen_classes}')
    change = make_augment(augment) if augment else None
    model = Stationary(
        make_encoder(**encoder, axis_name=axis_name), num_outputs, fixed=head == 'simplex'
    )
    known = (seen_classes or num_classes) if head == 'learnable' else num_outputs

    def init(key, batch):
        params, extra = init_model(model, key, to_float(batch['image']))
        return begin(params, extra) if ce_weight < 1 else (params, extra)

    def begin(params, extra):
        statistics = {name: value for name, value in extra.items() if name != 'previous'}
        if ce_weight == 1:
            return params, statistics
        return params, {**statistics, 'previous': {'params': params, **statistics}}

    def loss(params, extra, batch, key):
        images = to_float(batch['image'])
        if change is not None:
            images = jax.vmap(change)(example_keys(key, len(images), axis_name), images)
        statistics = {name: value for name, value in extra.items() if name != 'previous'}
        (features, logits), changed = apply_train(model, params, statistics, images)
        labels = jnp.asarray(batch[label])
        all_logits, all_labels = gather(logits, axis_name), gather(labels, axis_name)
        outputs_of = num_outputs - 1 - all_labels if head == 'simplex' else all_labels
        classes = jnp.where(jnp.arange(num_outputs)[None, :] < known, all_logits, -jnp.inf)
        ce = optax.softmax_cross_entropy_with_integer_labels(classes, outputs_of).mean()
        if ce_weight == 1:
            return ce, ({**extra, **changed}, {'cross_entropy': ce})
        old, _ = model.apply(extra['previous'], images)
        hoc = higher_order_compatibility(
            features, old, labels, scale=scale, mask=mask, axis_name=axis_name
        )
        value = ce_weight * ce + (1.0 - ce_weight) * hoc
        return value, ({**extra, **changed}, {'cross_entropy': ce, 'compatibility': hoc})

    def outputs(params, extra, batch):
        statistics = {name: value for name, value in extra.items() if name != 'previous'}
        features, logits = model.apply({'params': params, **statistics}, to_float(batch['image']))
        logits = logits[:, ::-1] if head == 'simplex' else logits
        return {'embedding': l2_normalize(features), 'logits': logits[:, :num_classes]}

    return Method(init, loss, outputs, begin=begin)
