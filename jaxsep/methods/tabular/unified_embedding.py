"""Unified Embedding: Battle-Tested Feature Representations for Web-Scale ML Systems (Coleman et al., 2023).

All fields of a table look their values up in one hashed table, and what two fields put into the
same row is told apart afterwards: every field has weights of its own in the first layer, which
training can turn away from one another. Only collisions within a field lose something. A field
may take several lookups, hashed differently, to have a wider embedding.

https://arxiv.org/abs/2305.12102, and the authors' module in TensorFlow Recommenders. The module hashes
the decimal digits of a value by SipHash (`jaxsep.ops.hashing.decimal_bucket`); this hashes int32 by
MurmurHash3, which runs in the step. The module puts the lookups of a field side by side in the
order of their names as text, so that the 11th comes before the 3rd; here they keep their order,
which is the same up to ten. Start and recipe are those of an independent reproduction.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxsep.method import Method
from jaxsep.metrics.binary import accuracy, logloss_from_logits
from jaxsep.models.unified_embedding import (
    FieldClassifier,
    Layout,
    collisionless,
    multiplexed,
    separate,
)
from jaxsep.ops.devices import mean


def make(
    *,
    field_sizes: Sequence[int],
    sharing: str = 'multiplexed',
    row_fraction: float = 0.2,
    width: int = 16,
    num_chunks: int | Sequence[int] = 1,
    num_tables: int = 1,
    hash_seed: int = 0,
    table_scale: float = 0.05,
    backbone: str = 'dcn',
    cross_layers: int = 2,
    hidden: Sequence[int] = (64,),
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """Unified Embedding, and what it is compared with, as a Method for two classes.

    Reads `categories`, and `numbers` where there are any. Outputs `embedding`, those of all fields side
    by side, and `logits` [b], the log-odds of label 1.

    Args:
      field_sizes: how many values each field has; a fact of the data.
      sharing: 'multiplexed', one table for all fields; 'separate', a hashed table for each, the
        rows divided in proportion to the values; 'collisionless', a row for every value.
      row_fraction: rows of the hashed tables together, in those of collisionless ones.
      width: of a row; the class of 16 in the paper.
      num_chunks: lookups of each field, one number for all or one for each.
      num_tables: tables that the lookups are dealt to in turn; for 'multiplexed' only.
      hash_seed: chooses other hash functions.
      table_scale: rows start uniform in [-table_scale, table_scale] (reproduction).
      backbone: 'dcn', cross layers before the MLP (the paper's), or 'mlp' alone.
      cross_layers: of the dcn.
      hidden: widths of the hidden layers; () with 'mlp' is the linear model of the paper's theory.
      label: a column of 0 and 1.
    """
    if backbone not in ('dcn', 'mlp'):
        raise ValueError(f"backbone: expected 'dcn' or 'mlp', got {backbone!r}")
    if width < 1 or cross_layers < 1:
        raise ValueError(f'width, cross_layers: expected 1 or more, got {width}, {cross_layers}')
    if num_tables < 1:
        raise ValueError(f'num_tables: expected at least 1, got {num_tables}')
    layout = make_layout(
        field_sizes,
        sharing=sharing,
        row_fraction=row_fraction,
        num_chunks=num_chunks,
        num_tables=num_tables,
        hash_seed=hash_seed,
    )
    depth = cross_layers if backbone == 'dcn' else 0
    model = FieldClassifier(layout, width, table_scale, depth, tuple(hidden))

    def init(key, batch):
        categories = batch['categories']
        if categories.shape[1] != len(field_sizes):
            raise ValueError(
                f'field_sizes: expected the sizes of {categories.shape[1]} fields, '
                f'got {len(field_sizes)}'
            )
        params = model.init(key, categories, batch.get('numbers'))['params']
        return params, {}

    def apply(params, batch):
        return model.apply({'params': params}, batch['categories'], batch.get('numbers'))

    def loss(params, extra, batch, key):
        _, logits = apply(params, batch)
        labels = jnp.asarray(batch[label])
        value = mean(logloss_from_logits(logits, labels)[None], axis_name)
        right = mean(accuracy(logits, labels)[None], axis_name)
        return value, (extra, {'accuracy': right})

    def outputs(params, extra, batch):
        embedding, logits = apply(params, batch)
        return {'embedding': embedding, 'logits': logits}

    return Method(init, loss, outputs)


def make_layout(
    field_sizes: Sequence[int],
    *,
    sharing: str,
    row_fraction: float,
    num_chunks: int | Sequence[int],
    num_tables: int,
    hash_seed: int,
) -> Layout:
    """Where the values are in the table; see `make` for the arguments."""
    chunks = (num_chunks,) * len(field_sizes) if isinstance(num_chunks, int) else num_chunks
    whole = collisionless(field_sizes, chunks)
    if sharing == 'collisionless':
        return whole
    if not row_fraction > 0:
        raise ValueError(f'row_fraction: expected a number above 0, got {row_fraction}')
    num_rows = max(round(row_fraction * whole.num_rows), 1)
    if sharing == 'separate':
        return separate(field_sizes, chunks, num_rows, hash_seed=hash_seed)
    if sharing != 'multiplexed':
        raise ValueError(
            f"sharing: expected 'multiplexed', 'separate' or 'collisionless', got {sharing!r}"
        )
    each = max(num_rows // num_tables, 1)
    return multiplexed(chunks, each, num_tables=num_tables, hash_seed=hash_seed)
