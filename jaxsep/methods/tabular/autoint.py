"""AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks (Song et al., 2019).

Every field of a row is a token: a category's vector, a number times its field's vector. Layers of
self-attention with several heads let each field take from the others what goes well with it,
explicit cross features of growing order, and the attention says which fields went
together. A logit is linear in the flattened tokens; AutoInt+ adds that of an MLP on the embeddings.

https://arxiv.org/abs/1810.11921; featureRec/autoint of
https://github.com/DeepGraphLearning/RecommenderSystems. Paper and code differ: the code has biases,
ReLU on queries, keys, values and residual, divides the scores, and normalises the channels after
the last ReLU. `form='official'` is the code, `form='paper'` the equations. Biases start at 0,
those of the code's logits at random.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from jaxsep.losses.log_loss import half_squared_norm, log_loss
from jaxsep.method import Method
from jaxsep.models.autoint import FORMS, AutoInt, FieldTokens, Keep
from jaxsep.ops import devices


def make(
    *,
    field_sizes: Sequence[int] = (),
    sets: Mapping[str, int] = {},  # noqa: B006
    embedding_size: int = 16,
    widths: Sequence[int] = (64, 64, 64),
    num_heads: int = 2,
    form: str = 'official',
    residual: bool = True,
    scaling: bool | None = None,
    deep_widths: Sequence[int] = (),
    pairs: bool = False,
    batch_norm: bool = False,
    keep: Sequence[float] = (1.0, 1.0, 1.0),
    l2: float = 0.0,
    epsilon: float = 1e-7,
    explain: bool = False,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """AutoInt as a Method for rows of `categories` [b, f], `numbers` [b, m] or both.

    Outputs `logits` [b], `embedding` (tokens after the last interacting layer, side by side) and, if
    asked, `attention` [b, layers, heads, fields, fields], fields in the order categories, numbers, sets.

    Args:
      field_sizes: values of each category, 0 among them; a fact of the data.
      sets: further fields that have several values: column [b, s] of int32, 0 for none -> how
        many values there are, 0 among them (MovieLens: the genres of a film).
      embedding_size: d, 16 in the paper.
      widths: of the interacting layers, 64 each in the README's run on Criteo, which has three; ()
        for none, which leaves logistic regression on values and numbers.
      num_heads: 2 in the paper; divides each width.
      form: 'official' or 'paper', see above.
      residual: layers add a projection of their input; without, the paper's ablation.
      scaling: of the scores by the root of a head's width; None for what the form says.
      deep_widths: of AutoInt+'s MLP, (400, 400) in the README; () for AutoInt.
      pairs: add the inner products of all pairs of embeddings, which the paper's FM has and AutoInt
        has not; without widths, a factorisation machine.
      batch_norm: in that MLP; off in the code's runs.
      keep: probabilities of keeping an attention weight, an embedding's entry (the same for both
        branches), an entry of the MLP. (0.6, 0.9, 1) for MovieLens.
      l2: of 0.5 times the squared entries of the MLP's hidden weights, and of nothing else.
      epsilon: in the loss, see `jaxsep.losses.log_loss`.
      explain: give out the attention too.
      label: column of labels 0 and 1.
    """
    if form not in FORMS:
        raise ValueError(f'form: expected one of {FORMS}, got {form!r}')
    if num_heads < 1:
        raise ValueError(f'num_heads: expected at least 1, got {num_heads}')
    if any(width < 1 or width % num_heads for width in widths):
        raise ValueError(f'widths: expected multiples of num_heads={num_heads}, got {widths}')
    if len(keep) != 3 or not all(0 < p <= 1 for p in keep):
        raise ValueError(f'keep: expected three numbers above 0 and up to 1, got {keep}')
    if embedding_size < 1 or any(width < 1 for width in deep_widths):
        raise ValueError(
            f'embedding_size, deep_widths: expected widths, got {embedding_size} and {deep_widths}'
        )
    if l2 < 0:
        raise ValueError(f'l2: expected 0 or more, got {l2}')
    if not 0 <= epsilon < 1:
        raise ValueError(f'epsilon: expected a number from 0 to below 1, got {epsilon}')
    sizes = (*field_sizes, *sets.values())
    if any(size < 1 for size in sizes):
        raise ValueError(f'field_sizes, sets: expected sizes of at least 1, got {sizes}')
    if explain and not widths:
        raise ValueError('explain: expected interacting layers, got widths=()')
    model = AutoInt(
        FieldTokens(tuple(field_sizes), tuple(sets.values()), embedding_size),
        tuple(widths),
        num_heads,
        form,
        residual,
        scaling,
        tuple(deep_widths),
        pairs,
        batch_norm,
        Keep(*keep),
        axis_name,
    )

    def columns(batch):
        """What the model takes of a batch."""
        for name in sets:
            if name not in batch:
                raise ValueError(f'sets: no column {name!r}; there are {sorted(batch)}')
        values = [batch[name] for name in sets]
        found = [batch.get('categories') if field_sizes else None, batch.get('numbers')]
        if not values and all(x is None for x in found):
            raise ValueError(
                'data: expected categories with their field_sizes, numbers or sets, '
                f'got {sorted(batch)}'
            )
        if field_sizes and (found[0] is None or found[0].shape[1] != len(field_sizes)):
            got = 'none' if found[0] is None else found[0].shape[1]
            raise ValueError(f'field_sizes: expected {len(field_sizes)} categories, got {got}')
        return *found, values

    def init(key, batch):
        if label not in batch:
            raise ValueError(f'label: no column {label!r}; there are {sorted(batch)}')
        variables = dict(model.init(key, *columns(batch), train=True))
        return variables.pop('params'), variables

    def loss(params, extra, batch, key):
        labels = jnp.asarray(batch[label])
        keys = devices.example_keys(key, len(labels), axis_name)
        outcome, extra = model.apply(
            {'params': params, **extra}, *columns(batch), keys, train=True, mutable=['batch_stats']
        )
        error = log_loss(outcome.logit, labels, epsilon=epsilon, axis_name=axis_name)
        hidden = [
            layer['kernel'] for name, layer in params.get('deep', {}).items() if 'hidden' in name
        ]
        return error + l2 * half_squared_norm(hidden), (extra, {'log_loss': error})

    def outputs(params, extra, batch):
        outcome = model.apply({'params': params, **extra}, *columns(batch))
        found = {'logits': outcome.logit, 'embedding': outcome.features}
        return found | ({'attention': jnp.stack(outcome.attention, axis=1)} if explain else {})

    return Method(init, loss, outputs)
