"""CNN Features off-the-shelf: an Astounding Baseline for Recognition (Sharif Razavian et al., 2014).

Take a network that was trained for something else, read out a layer before the last, divide each
row by its norm, and fit a linear SVM; for retrieval, compare L2 distances. The representation is
never fine-tuned: what a linear rule does on it is how separable the classes already are. Several
looks at an image enlarge the training set, and at test time their scores are summed.

Stage `network` trains the network that is taken off the shelf, a classifier of other classes; or the
config's encoder is a pretrained one, and there is no such stage. Stage `svm` recognises; stage
`retrieval` makes descriptors that are compared, of one patch or of many (spatial search).

https://arxiv.org/abs/1403.6382. No code was released. The SVM is that of scikit-learn's LinearSVC;
where the bias belongs is not in the paper, it is regularised here. The paper's power of 2 is the
default of the descriptors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from jaxsep.algorithms.linear_svm import linear_svm_ovr, svm_scores
from jaxsep.algorithms.pca_descriptors import fit_pca, post_process
from jaxsep.data.augment import to_float
from jaxsep.method import Estimator, Method
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.models.off_the_shelf import PooledConv
from jaxsep.ops import devices
from jaxsep.ops.geometry import l2_normalize
from jaxsep.ops.image_views import make_views
from jaxsep.ops.rows import feature_rows

STAGES = ('network', 'svm', 'retrieval')


def make(
    *,
    stage: str = 'svm',
    label: str = 'label',
    num_classes: int | None = None,
    widths: Sequence[int] = (16, 32, 64, 96),
    views: Mapping[str, Any] = {},  # noqa: B006
    input: str | None = None,
    several: bool = False,
    c: float | int = 1.0,
    num_components: int = 500,
    power: float | int = 2.0,
    axis_name: str | None = None,
) -> Method | Estimator:
    """One stage of the recipe: a network, linear SVMs on what it says, or descriptors.

    Stage 'network' outputs `layer1`, ..., `embedding` (the last of them) and `logits`, of the image or,
    with `views`, of each view [b, v, ...]. Stage 'svm' outputs `logits` [b, k], the scores of
    the classes, summed over the views, and `embedding`, the unit features (of several views, the
    direction of their sum). Stage 'retrieval' outputs `vectors` [b, p, d], the descriptors of all
    patches, and `embedding`, that of the first, which is the whole image.

    Args:
      stage: network, svm or retrieval.
      label: the column of the classes.
      num_classes: fact of the label column; needed but for 'retrieval'.
      widths: of the network's convolutions, see `jaxsep.models.off_the_shelf.PooledConv`.
      views: name and options for `jaxsep.ops.image_views.make_views`: what the network's outputs
        show in place of the image.
      input: the column of features; None for `embedding`, else `features`, else `image`.
      several: the rows of that column are [v, d], v views or patches of an image.
      c: weight of the SVM's errors; the paper chooses it for each task.
      num_components: that descriptors are reduced to, 500 in the paper; fewer where features or
        training rows are fewer.
      power: of the entries of the descriptors; 2 in the paper, 0.5 elsewhere, 1 for none.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if stage != 'retrieval' and num_classes is None:
        raise ValueError(f'num_classes: needed for stage={stage!r}, got None')
    if not c > 0:
        raise ValueError(f'c: expected a positive number, got {c}')
    if num_components < 1:
        raise ValueError(f'num_components: expected at least 1, got {num_components}')
    if not power > 0:
        raise ValueError(f'power: expected a positive number, got {power}')
    if stage == 'network':
        if not widths or min(widths) < 1:
            raise ValueError(f'widths: expected at least one positive width, got {widths}')
        model = PooledConv(num_classes, tuple(widths), axis_name)
        return network(model, label, make_views(**views) if views else None, axis_name)

    def vectors(data):
        """Unit features [b, v, d]; one view where rows are not several."""
        if not several:
            return l2_normalize(feature_rows(data, input))[:, None]
        name = input or 'embedding'
        if name not in data or jnp.ndim(data[name]) != 3:
            got = f'shape {jnp.shape(data[name])}' if name in data else f'columns {sorted(data)}'
            raise ValueError(f'input: expected {name!r} of several vectors a row, got {got}')
        return l2_normalize(jnp.asarray(data[name]))

    def fit_svm(key, data):
        del key
        if label not in data:
            raise ValueError(f'label: no column {label!r}; there are {sorted(data)}')
        x = vectors(data)
        labels = jnp.repeat(jnp.asarray(data[label]), x.shape[1])
        return linear_svm_ovr(x.reshape(-1, x.shape[-1]), labels, num_classes, c)

    def recognise(fitted, batch):
        x = vectors(batch)
        scores = jnp.sum(svm_scores(fitted, x), axis=1)
        return {'logits': scores, 'embedding': l2_normalize(jnp.sum(x, axis=1))}

    def fit_components(key, data):
        del key
        x = vectors(data)
        x = x.reshape(-1, x.shape[-1])
        return fit_pca(x, min(num_components, *x.shape))

    def describe(fitted, batch):
        found = post_process(vectors(batch), fitted, power)
        return {'vectors': found, 'embedding': found[:, 0]}

    return Estimator(fit_svm, recognise) if stage == 'svm' else Estimator(fit_components, describe)


def network(model, label, views, axis_name) -> Method:
    """The classifier that is taken off the shelf, trained with cross-entropy."""

    def init(key, batch):
        return init_model(model, key, to_float(jnp.asarray(batch['image'])))

    def loss(params, extra, batch, key):
        del key
        labels = jnp.asarray(batch[label])
        found, extra = apply_train(model, params, extra, to_float(jnp.asarray(batch['image'])))
        each = optax.softmax_cross_entropy_with_integer_labels(found['logits'], labels)
        right = devices.mean(jnp.argmax(found['logits'], axis=-1) == labels, axis_name)
        return devices.mean(each, axis_name), (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        x = to_float(jnp.asarray(batch['image']))
        x = views(x) if views else x
        leading, x = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        found = model.apply({'params': params, **extra}, x)
        return {name: y.reshape(*leading, *y.shape[1:]) for name, y in found.items()}

    return Method(init, loss, outputs)
