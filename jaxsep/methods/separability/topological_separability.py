"""An Unsupervised Method for Estimating Class Separability of Datasets (Ghalyan et al., 2023).

How separable are the classes in an embedding, without labels? The zero-dimensional
persistent homology of the points tells: a few tight, well separated clusters have a handful
of long bars and many short ones. The score S (the mean of normalised persistence) is
followed while an encoder is trained; when it stops falling, training may stop.

https://arxiv.org/abs/2305.15016; no code was released, and the exact statistic is ours.
The measure itself is `jaxsep.algorithms.persistence`, its evaluation
`jaxsep.evals.topology`; this is the classifier whose embedding is watched: of images or
vectors, or of text as in the paper (`input='tokens'` and an encoder). The paper fine-tunes
pretrained sentence encoders; here the encoder starts from random numbers. Stop with
`config.select.metric = 'test/persistence_score'`, `mode = 'min'` and a patience.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsep.data.augment import to_float
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.ops.devices import gather
from jaxsep.ops.geometry import l2_normalize


class Classifier(nn.Module):
    """Linear layers with ReLU, perhaps on an encoder; the last hidden layer is the embedding.

    Attributes:
      widths: of the hidden layers; where there is none, the encoder's rows are the embedding.
      layer_norm: normalises each hidden layer before its ReLU.
      encoder: reads the input; None takes the input itself as a row of numbers.
    """

    widths: Sequence[int]
    num_classes: int
    layer_norm: bool = False
    encoder: nn.Module | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = x.reshape(x.shape[0], -1) if self.encoder is None else self.encoder(x, train)
        for width in self.widths:
            x = nn.Dense(width)(x)
            x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        return x, nn.Dense(self.num_classes)(x)


def make(
    *,
    num_classes: int,
    widths: Sequence[int] = (64, 64, 16),
    layer_norm: bool = False,
    input: str | None = None,
    encoder: Mapping | None = None,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """A classifier trained by cross-entropy, whose embedding's topology is watched.

    Outputs `embedding` (unit rows of the last hidden layer: the paper sees clearer
    components there) and `logits`.

    Args:
      num_classes: a fact of the data.
      widths: of the hidden layers; the last is the embedding. May be empty with an encoder,
        whose rows are the embedding then.
      layer_norm: the toy network of the paper, with and without.
      input: the column to read; None for `image`, or `features` where there is none. Integers
        such as `tokens` go to the encoder as they are, the rest as floats.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`; None for none.
      label: the label column to learn.
    """
    body = None if encoder is None else make_encoder(**encoder, axis_name=axis_name)
    model = Classifier(widths, num_classes, layer_norm, body)

    def inputs(batch):
        name = input or ('image' if 'image' in batch else 'features')
        if name not in batch:
            raise ValueError(f'input: expected a column of the data {sorted(batch)}, got {name!r}')
        x = batch[name]
        return x if body is not None and x.dtype == jnp.int32 else to_float(x)

    def init(key, batch):
        return init_model(model, key, inputs(batch))

    def loss(params, extra, batch, key):
        del key
        (_, logits), extra = apply_train(model, params, extra, inputs(batch))
        logits, labels = gather(logits, axis_name), gather(batch[label], axis_name)
        value = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        return value, (extra, {'accuracy': accuracy})

    def outputs(params, extra, batch):
        embedding, logits = model.apply({'params': params, **extra}, inputs(batch))
        return {'embedding': l2_normalize(embedding), 'logits': logits}

    return Method(init, loss, outputs)
