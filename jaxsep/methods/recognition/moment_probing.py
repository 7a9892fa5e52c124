"""Moment Probing: Tuning Pre-trained Model via Moment Probing (Gao et al., ICCV 2023).

Linear probing classifies the mean of a frozen network's tokens, a first moment. Moment probing (MP)
classifies their distribution by two moments: beside the linear layer on the mean there is one on
what convolutions make of the cross-covariances of groups of channels. MP+ also recalibrates the
frozen blocks by a tiny module that scales and shifts, and is trained with the probe.

Stage `network` trains the network on other classes; its tokens, or those of a pretrained encoder, are
the column `tokens` of stage `probe`. For MP+ and for full fine-tuning the probe's stage takes the
network over and runs it itself (`inside=True`), and `optimizer.freeze` says what stays.

https://github.com/mingzeG/Moment-Probing, which decides where paper and code differ: the covariances
are centred by one number for each head, not by the mean token (`centering`), and only pairs of
neighbouring heads are used. The original hard-codes 512 channels in four heads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from jaxsep.data.augment import to_float
from jaxsep.method import Method
from jaxsep.models.moment_probing import TokenNetwork, make_probe
from jaxsep.ops import devices

STAGES = ('network', 'probe')


def make(
    *,
    num_classes: int,
    stage: str = 'probe',
    label: str = 'label',
    probe: Mapping[str, Any] = {'name': 'moment'},  # noqa: B006
    inside: bool = False,
    widths: Sequence[int] = (32, 64, 64),
    strides: Sequence[int] = (1, 2, 1),
    reduction: int = 0,
    input: str = 'tokens',
    first: str = '',
    axis_name: str | None = None,
) -> Method:
    """One stage of moment probing: a network, or a probe of what it says.

    Stage 'network' outputs `tokens` [b, n, d], `embedding` [b, d], their mean, and `logits`. Stage
    'probe' outputs `logits` and `embedding`, the first moment that the probe sees.

    Args:
      num_classes: fact of the label column.
      stage: network or probe.
      label: the column of the classes.
      probe: name and options for `jaxsep.models.moment_probing.make_probe`: moment, linear or mlp.
      inside: the probe's stage runs the network itself, on `image`, in place of reading tokens. It
        runs as in evaluation, so that nothing changes in it that `optimizer.freeze` holds.
      widths, strides: of the network, see `jaxsep.models.moment_probing.TokenNetwork`.
      reduction: of the recalibration in each block, 16 in the original; 0 for none. Needs `inside`.
      input: the column of tokens [b, n, d].
      first: the column of the first moment [b, d], such as a class token; '' for the mean token.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if reduction < 0 or (reduction and not inside):
        raise ValueError(f'reduction: expected 0, or more with inside=True, got {reduction}')
    if not widths or len(widths) != len(strides) or min((*widths, *strides)) < 1:
        raise ValueError(
            f'widths, strides: expected as many, all positive, got {widths} and {strides}'
        )
    own = stage == 'network'
    head = 'classifier' if own else 'probe'
    chosen = make_probe(**({'name': 'linear'} if own else probe), num_classes=num_classes)
    model = TokenNetwork(tuple(widths), tuple(strides), reduction, axis_name)

    def read(batch):
        """Tokens, and the first moment if it is a column of its own."""
        for option, name in (('input', input), ('first', first)):
            if name and name not in batch:
                raise ValueError(f'{option}: no column {name!r}; there are {sorted(batch)}')
        tokens = jnp.asarray(batch[input])
        if tokens.ndim != 3:
            raise ValueError(f'input: expected tokens [b, n, d], got shape {tokens.shape}')
        return tokens, jnp.asarray(batch[first]) if first else jnp.mean(tokens, axis=1)

    def look(params, extra, batch, train):
        """Tokens, first moment, and the network's new statistics."""
        if not (own or inside):
            return *read(batch), extra
        variables, x = {'params': params['network'], **extra}, to_float(jnp.asarray(batch['image']))
        if train:
            tokens, extra = model.apply(variables, x, train=True, mutable=['batch_stats'])
        else:
            tokens = model.apply(variables, x)
        return tokens, jnp.mean(tokens, axis=1), extra

    def init(key, batch):
        params, extra = {}, {}
        if own or inside:
            extra = dict(model.init(key, to_float(jnp.asarray(batch['image']))))
            params['network'] = extra.pop('params')
        tokens, moment, _ = look(params, extra, batch, False)
        return {**params, head: chosen.init(key, moment, tokens)['params']}, extra

    def loss(params, extra, batch, key):
        del key
        labels = jnp.asarray(batch[label])
        tokens, moment, extra = look(params, extra, batch, own)
        logits = chosen.apply({'params': params[head]}, moment, tokens)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        right = devices.mean(jnp.argmax(logits, axis=-1) == labels, axis_name)
        return devices.mean(each, axis_name), (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        tokens, moment, _ = look(params, extra, batch, False)
        logits = chosen.apply({'params': params[head]}, moment, tokens)
        found = {'logits': logits, 'embedding': moment}
        return found | ({'tokens': tokens} if own else {})

    return Method(init, loss, outputs)
