"""TEEN: Few-Shot Class-Incremental Learning via Training-Free Prototype Calibration (Wang et al., 2023).

Two stages. 'base' trains an encoder with a cosine classifier on the base classes, which have many
rows. 'calibrate' trains nothing: every class gets the mean of its features as prototype, and the
prototypes of new classes, from a handful of rows each, are moved towards the base prototypes
they resemble. `shift=0` is the baseline without calibration.

https://arxiv.org/abs/2312.05229. As in the released code, the classifier has a column for every
class that will come, and the base stage looks only at those of the base classes; prototypes are
means of features that are not normalised. The code keeps the epoch that is best on the test
split; here the last one is kept unless `config.select` says otherwise.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsep.algorithms.class_means import empty, means, seen, update
from jaxsep.algorithms.prototype_calibration import calibrate
from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.contrastive import cosine_similarities
from jaxsep.method import Estimator, Method
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.ops.devices import example_keys, gather
from jaxsep.ops.geometry import l2_normalize
from jaxsep.ops.rows import feature_rows

STAGES = ('base', 'calibrate')


class CosineClassifier(nn.Module):
    """An encoder, and the cosines of its features with one direction per class.

    Returns the features, which are not normalised, and temperature times the cosines.
    """

    encoder: nn.Module
    num_classes: int
    temperature: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        features = self.encoder(x, train)
        shape = (self.num_classes, features.shape[1])
        directions = self.param('directions', nn.initializers.lecun_normal(), shape)
        return features, self.temperature * cosine_similarities(features, directions)


def make(
    *,
    num_classes: int,
    base_classes: int,
    stage: str = 'calibrate',
    shift: float = 0.5,
    softmax_scale: float = 16.0,
    temperature: float = 16.0,
    encoder: Mapping = {'name': 'resnet18', 'small_images': True},  # noqa: B006
    augment: Mapping = {},  # noqa: B006
    label: str = 'label',
    axis_name: str | None = None,
) -> Method | Estimator:
    """One stage of TEEN: a Method ('base') or an Estimator ('calibrate').

    Both give `embedding` and `logits` [b, num_classes]; those of 'calibrate' are -inf for classes
    without rows. 'calibrate' reads `embedding`, the features of the stage before by
    `config.encoder = dict(stages=('base',))`, or `features` or `image` as they are.

    Args:
      num_classes: base and new ones; a fact of the data.
      base_classes: the classes numbered below are base classes.
      shift: alpha, how far new prototypes move; 0.5 for CUB and miniImageNet, 0.1 for CIFAR-100.
      softmax_scale: tau, of the resemblance to base classes; 16 in the paper.
      temperature: of the cosine logits; 16 for CIFAR-100, 32 for the others.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`; ResNet-18 in the paper
        (a ResNet-20 for CIFAR).
      augment: recipe of `jaxsep.data.augment.make_augment` for the base stage; none if empty.
      label: the label column.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if not 1 <= base_classes <= num_classes:
        raise ValueError(f'base_classes: expected 1 to {num_classes}, got {base_classes}')
    if not 0 <= shift <= 1:
        raise ValueError(f'shift: expected a number between 0 and 1, got {shift}')
    if not temperature > 0:
        raise ValueError(f'temperature: expected a positive number, got {temperature}')
    if stage == 'base':
        model = CosineClassifier(
            make_encoder(**encoder, axis_name=axis_name), num_classes, temperature
        )
        change = make_augment(augment) if augment else None
        return base(model, base_classes, change, label, axis_name)

    def fit(key, data):
        del key
        x = feature_rows(data)
        state = update(empty(num_classes, x.shape[1]), x, jnp.asarray(data[label]), normalize=False)
        old, new = jnp.split(means(state), [base_classes])
        moved = calibrate(new, old, softmax_scale=softmax_scale, shift=shift)
        return {'prototypes': jnp.concatenate([old, moved]), 'known': seen(state)}

    def outputs(fitted, batch):
        x = feature_rows(batch)
        logits = temperature * cosine_similarities(x, fitted['prototypes'])
        logits = jnp.where(fitted['known'][None, :], logits, -jnp.inf)
        return {'logits': logits, 'embedding': l2_normalize(x)}

    return Estimator(fit, outputs)


def base(model: nn.Module, base_classes: int, change, label: str, axis_name: str | None) -> Method:
    """Cross-entropy of the cosine logits among the base classes only.

    Rows of other classes count for nothing; a batch of them alone gives 0.

    Args:
      change: augmentation (key, image) -> image, or None.
    """

    def init(key, batch):
        return init_model(model, key, to_float(batch['image']))

    def loss(params, extra, batch, key):
        images = to_float(batch['image'])
        if change is not None:
            images = jax.vmap(change)(example_keys(key, len(images), axis_name), images)
        (_, logits), extra = apply_train(model, params, extra, images)
        logits, labels = (
            gather(logits[:, :base_classes], axis_name),
            gather(batch[label], axis_name),
        )
        counted = labels < base_classes
        each = optax.softmax_cross_entropy_with_integer_labels(
            logits, jnp.where(counted, labels, 0)
        )
        value = jnp.sum(jnp.where(counted, each, 0.0)) / jnp.maximum(jnp.sum(counted), 1)
        right = jnp.sum(counted & (jnp.argmax(logits, axis=-1) == labels))
        return value, (extra, {'accuracy': right / jnp.maximum(jnp.sum(counted), 1)})

    def outputs(params, extra, batch):
        features, logits = model.apply({'params': params, **extra}, to_float(batch['image']))
        return {'embedding': features, 'logits': logits}

    return Method(init, loss, outputs)
