"""An Unsupervised Method for Estimating Class Separability of Datasets (Ghalyan et al., 2023).

How separable are the classes in an embedding, without labels? The zero-dimensional
persistent homology of the points tells: a few tight, well separated clusters have a handful
of long bars and many short ones. The score S (the mean of normalised persistence) is
followed while an encoder is trained; when it stops falling, training may stop.

https://arxiv.org/abs/2305.15016; no code was released, and the exact statistic is ours.
The measure itself is `jaxsep.algorithms.persistence`, its evaluation
`jaxsep.evals.topology`; this is the classifier whose embedding is watched. Stop with
`config.select.metric = 'test/persistence_score'`, `mode = 'min'` and a patience.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsep.data.augment import to_float
from jaxsep.method import Method
from jaxsep.ops.devices import gather
from jaxsep.ops.geometry import l2_normalize


class Classifier(nn.Module):
    """Linear layers with ReLU; the last hidden layer is the embedding.

    Attributes:
      widths: of the hidden layers.
      layer_norm: normalises each hidden layer before its ReLU.
    """

    widths: Sequence[int]
    num_classes: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = nn.Dense(width)(x)
            x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        return x, nn.Dense(self.num_classes)(x)


def make(
    *,
    num_classes: int,
    widths: Sequence[int] = (64, 64, 16),
    layer_norm: bool = False,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """A classifier trained by cross-entropy, whose embedding's topology is watched.

    Outputs `embedding` (unit rows of the last hidden layer: the paper sees clearer
    components there) and `logits`. Inputs are `image`, or `features` where there is none.

    Args:
      num_classes: a fact of the data.
      widths: of the hidden layers; the last is the embedding.
      layer_norm: the toy network of the paper, with and without.
      label: the label column to learn.
    """
    model = Classifier(widths, num_classes, layer_norm)

    def inputs(batch):
        return to_float(batch['image'] if 'image' in batch else batch['features'])

    def init(key, batch):
        return model.init(key, inputs(batch))['params'], {}

    def loss(params, extra, batch, key):
        del key
        _, logits = model.apply({'params': params}, inputs(batch))
        logits, labels = gather(logits, axis_name), gather(batch[label], axis_name)
        value = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        return value, (extra, {'accuracy': accuracy})

    def outputs(params, extra, batch):
        del extra
        embedding, logits = model.apply({'params': params}, inputs(batch))
        return {'embedding': l2_normalize(embedding), 'logits': logits}

    return Method(init, loss, outputs)
