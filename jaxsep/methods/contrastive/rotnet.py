"""Unsupervised Representation Learning by Predicting Image Rotations (RotNet; Gidaris et al. 2018).

A network sees every image turned by 0, 90, 180 and 270 degrees and tells which it is. To know
what is upright it has to know what is shown. Its first and middle blocks are the features; the
last ones specialise on the rotation, so they are probed block by block.

https://arxiv.org/abs/1803.07728, section 2.2. Rotations, network and loss checked against
the released code, github.com/gidariss/FeatureLearningRotNet.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsep.data.augment import make_augment, to_float
from jaxsep.data.rotations import NUM_ROTATIONS, rotation_batch
from jaxsep.losses.rotnet import rotation_loss
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.models.rotnet import (
    ConvClassifier,
    MultiLayerClassifier,
    adaptive_average_pool,
    make_network,
)  # fmt: skip
from jaxsep.ops import devices

CLASSIFIERS = {'conv': ConvClassifier, 'multilayer': MultiLayerClassifier}
TASKS = ('rotations', 'labels', *CLASSIFIERS)


class RotNet(nn.Module):
    """A network, or with a classifier: the network frozen and a classifier of one of its maps.

    Frozen: in evaluation mode, and gradients end at the map.
    """

    network: nn.Module
    classifier: nn.Module | None = None
    feature: str = ''

    def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        if self.classifier is None:
            return self.network(x, train)
        features = jax.lax.stop_gradient(self.network(x))
        return {**features, 'classifier': self.classifier(features[self.feature], train)}


def make(
    *,
    network: Mapping = {'name': 'nin'},  # noqa: B006
    augment: Mapping = {},  # noqa: B006
    task: str = 'rotations',
    feature: str = 'conv2',
    pool: int = 4,
    pixel_mean: Sequence[float] = (0.0,),
    pixel_std: Sequence[float] = (1.0,),
    label: str = 'label',
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> Method:
    """RotNet as a Method, and the paper's classifiers of what it has learnt.

    Outputs `conv1`, `conv2`, ...: every block's map, pooled and in a row; `embedding`, the
    one named by `feature`; with task='rotations' also `rotation_accuracy`, the share of the
    four rotations of an image that are told right, else `logits` of the classes.

    Args:
      network: name and options for `jaxsep.models.rotnet.make_network`.
      augment: recipe of `jaxsep.data.augment.make_augment`, drawn once per image, before it
        is turned.
      task: rotations (the paper), labels (the same network, supervised), or a classifier that is
        trained on the frozen map `feature`: conv (its section 3.1) or multilayer. As a second
        stage of a config these take over the network of the first.
      feature: the block that is the embedding; the paper's best is the second.
      pool: the maps are averaged to pool x pool cells before they are probed.
      pixel_mean, pixel_std: of each channel, images in [0, 1]; taken away after turning.
      label: the column of the classes. Used with the tasks other than rotations, as is the next.
      num_classes: fact of the label column.
    """
    if task not in TASKS:
        raise ValueError(f'task: expected one of {TASKS}, got {task!r}')
    if task != 'rotations' and num_classes is None:
        raise ValueError(f'num_classes: needed for task={task!r}, got None')
    change = make_augment(augment)
    outs = num_classes if task == 'labels' else NUM_ROTATIONS
    net = make_network(**network, num_classes=outs, axis_name=axis_name)
    if feature not in net.feature_names:
        raise ValueError(f'feature: expected one of {net.feature_names}, got {feature!r}')
    classifier = None
    if task in CLASSIFIERS:
        classifier = CLASSIFIERS[task](num_classes, axis_name=axis_name)
    model = RotNet(net, classifier, feature)

    def examples(images, batch):
        """What the network sees, normalised, and what it has to tell."""
        if task == 'rotations':
            images, targets = rotation_batch(images)
        else:
            targets = jnp.asarray(batch[label])
        mean, std = (jnp.array(x)[None, None, None] for x in (pixel_mean, pixel_std))
        return (images - mean) / std, targets

    def init(key, batch):
        return init_model(model, key, examples(to_float(batch['image']), batch)[0])

    def loss(params, extra, batch, key):
        keys = devices.example_keys(key, len(batch['image']), axis_name)
        x, targets = examples(jax.vmap(change)(keys, batch['image']), batch)
        features, extra = apply_train(model, params, extra, x)
        logits = features['classifier']
        value = rotation_loss(logits, targets, axis_name=axis_name)
        right = devices.mean(jnp.argmax(logits, axis=-1) == targets, axis_name)
        return value, (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        x, targets = examples(to_float(batch['image']), batch)
        features = dict(model.apply({'params': params, **extra}, x))
        logits = features.pop('classifier')
        if task == 'rotations':
            right = (jnp.argmax(logits, axis=-1) == targets).reshape(-1, NUM_ROTATIONS)
            features = {name: values[::NUM_ROTATIONS] for name, values in features.items()}
            told = {'rotation_accuracy': jnp.mean(right, axis=1)}
        else:
            told = {'logits': logits}
        pooled = {
            name: adaptive_average_pool(x, pool).reshape(len(x), -1) for name, x in features.items()
        }
        return {**pooled, 'embedding': pooled[feature], **told}

    return Method(init, loss, outputs)
