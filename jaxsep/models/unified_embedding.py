"""Embeddings of many categorical fields: one table for all, a hashed one for each, a row per value.

All three are one flat table of rows; they differ in where a `Layout` puts the value of a field.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32

from jaxsep.models.encoders import Mlp
from jaxsep.models.interactions import CrossNetwork
from jaxsep.ops.hashing import hash_bucket

CHUNKS = 31
"""The largest number of lookups of a field: more would share hash seeds with the next field."""


class Layout(NamedTuple):
    """Where the rows of each lookup are; lookups of a field follow one another.

    Attributes:
      fields: the field of each lookup, ascending.
      seeds: of each lookup's hash.
      offsets: first row that each lookup may use.
      sizes: how many rows each lookup may use.
      num_rows: of the whole table.
      hashed: a value takes the row offset + hash(value) mod size, or else offset + value.
    """

    fields: tuple[int, ...]
    seeds: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    num_rows: int
    hashed: bool = True


def multiplexed(
    num_chunks: Sequence[int], num_rows: int, *, num_tables: int = 1, hash_seed: int = 0
) -> Layout:
    """Unified Embedding: all fields share `num_tables` tables of `num_rows` rows each.

    Lookups are dealt to the tables in turn, by one counter that runs on over all fields.

    Args:
      num_chunks: lookups of each field; its embedding is so many times as wide.
      num_rows: of each table.
      hash_seed: chooses other hash functions.

    >>> multiplexed((2, 3, 1, 2), 17, num_tables=3).offsets
    (0, 17, 34, 0, 17, 34, 0, 17)
    """
    if num_rows < 1 or num_tables < 1:
        raise ValueError(
            f'num_rows, num_tables: expected at least 1, got {num_rows} and {num_tables}'
        )
    fields, seeds = _lookups(num_chunks, hash_seed)
    offsets = tuple(i % num_tables * num_rows for i in range(len(fields)))
    return Layout(fields, seeds, offsets, (num_rows,) * len(fields), num_tables * num_rows)


def separate(
    field_sizes: Sequence[int], num_chunks: Sequence[int], num_rows: int, *, hash_seed: int = 0
) -> Layout:
    """A hashed table for each lookup, the rows divided in proportion to the sizes of the fields.

    Every lookup has at least one row. What rounding leaves over goes to the largest remainders, so
    that all rows are used.

    Args:
      field_sizes: how many values each field has.
      num_chunks: lookups of each field.
      num_rows: of all tables together.
      hash_seed: chooses other hash functions.

    >>> separate((6, 3, 1), (1, 1, 1), 20).sizes
    (12, 6, 2)
    """
    fields, seeds = _lookups(num_chunks, hash_seed)
    if num_rows < len(fields):
        raise ValueError(f'num_rows: expected at least one a lookup, {len(fields)}, got {num_rows}')
    values = _values(field_sizes, num_chunks)
    shares = values / values.sum() * num_rows
    sizes = np.maximum(np.floor(shares), 1).astype(int)
    while sizes.sum() < num_rows:
        sizes[np.argmax(shares - sizes)] += 1
    while sizes.sum() > num_rows:  # because of those that got one row for less than one
        sizes[np.argmax(np.where(sizes > 1, sizes - shares, -np.inf))] -= 1
    sizes = tuple(sizes.tolist())
    return Layout(fields, seeds, _starts(sizes), sizes, num_rows)


def collisionless(field_sizes: Sequence[int], num_chunks: Sequence[int]) -> Layout:
    """A row for every value of every lookup: nothing is hashed, nothing is shared.

    >>> collisionless((6, 3, 1), (1, 1, 1)).offsets
    (0, 6, 9)
    """
    fields, seeds = _lookups(num_chunks, 0)
    sizes = tuple(_values(field_sizes, num_chunks).tolist())
    return Layout(fields, seeds, _starts(sizes), sizes, sum(sizes), hashed=False)


def rows_of(ids: Int[Array | np.ndarray, 'b f'], layout: Layout) -> Int32[Array, 'b c']:
    """The row of the table that each lookup of each example takes.

    Args:
      ids: value of each field; any integers where they are hashed, else 0 .. field size - 1, and
        what is outside takes the nearest.
    """
    if ids.shape[1] != layout.fields[-1] + 1:
        raise ValueError(f'ids: expected {layout.fields[-1] + 1} fields, got {ids.shape[1]}')
    keys = jnp.asarray(ids)[:, jnp.asarray(layout.fields)]
    sizes, offsets = (jnp.asarray(x, jnp.int32)[None, :] for x in (layout.sizes, layout.offsets))
    if layout.hashed:
        places = hash_bucket(keys, jnp.asarray(layout.seeds, jnp.uint32)[None, :], sizes)
    else:
        places = jnp.clip(keys.astype(jnp.int32), 0, sizes - 1)
    return places + offsets


def lookup(
    table: Float[Array, 'm d'], rows: Int[Array | np.ndarray, 'b c'], fields: Sequence[int]
) -> list[Float[Array, 'b _']]:
    """The embedding of each field: the rows of its lookups side by side.

    The gradient in the table adds up what arrives at a row from all lookups of all examples.

    Args:
      rows: one per lookup, see `rows_of`.
      fields: the field of each lookup, ascending, see `Layout`.

    Returns:
      one array per field, in their order, c_f d wide where it has c_f lookups.

    >>> import jax.numpy as jnp
    >>> table = jnp.array([[1.0], [2.0], [3.0]])
    >>> [e.tolist() for e in lookup(table, jnp.array([[2, 0, 2]]), (0, 0, 1))]
    [[[3.0, 1.0]], [[3.0]]]

    Source: Coleman et al., Unified Embedding (2023)
    """
    found = table[jnp.asarray(rows)]
    starts = [0, *itertools.accumulate(len(list(group)) for _, group in itertools.groupby(fields))]
    return [
        found[:, start:end].reshape(found.shape[0], (end - start) * table.shape[1])
        for start, end in itertools.pairwise(starts)
    ]


def unified_lookup(
    tables: Float[Array, 't m d'], ids: Int[Array | np.ndarray, 'b f'], num_chunks: Sequence[int]
) -> list[Float[Array, 'b _']]:
    """Feature multiplexing: every field looks up rows of the same hashed tables.

    `lookup` with the layout `multiplexed`. Lookup c of field f is hashed by MurmurHash3 with seed
    31 f + c.

    Args:
      num_chunks: lookups of each field.
    """
    t, m, d = tables.shape
    layout = multiplexed(num_chunks, m, num_tables=t)
    return lookup(tables.reshape(t * m, d), rows_of(ids, layout), layout.fields)


class FieldEmbeddings(nn.Module):
    """A table and the embeddings of all fields in it, side by side.

    Attributes:
      layout: where the values are.
      width: of a row.
      scale: rows start uniform in [-scale, scale].
    """

    layout: Layout
    width: int
    scale: float = 0.05

    @nn.compact
    def __call__(self, ids: Int[Array | np.ndarray, 'b f']) -> Float[Array, 'b d']:
        table = self.param('table', self._uniform, (self.layout.num_rows, self.width))
        return jnp.concatenate(lookup(table, rows_of(ids, self.layout), self.layout.fields), axis=1)

    def _uniform(self, key, shape):
        return jax.random.uniform(key, shape, minval=-self.scale, maxval=self.scale)


class FieldClassifier(nn.Module):
    """Embeddings of the fields, with numbers beside them, cross layers if any, and an MLP to a logit.

    Attributes:
      layout, width, scale: of the embeddings, see `FieldEmbeddings`.
      cross_layers: of DCN-V2, between the embeddings and the MLP; 0 for none.
      hidden: widths of the MLP's hidden layers; with none, and no cross layers, it is linear.
    """

    layout: Layout
    width: int
    scale: float = 0.05
    cross_layers: int = 0
    hidden: Sequence[int] = (64,)

    @nn.compact
    def __call__(
        self,
        ids: Int[Array | np.ndarray, 'b f'],
        numbers: Float[Array | np.ndarray, 'b m'] | None = None,
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b']]:
        embedding = FieldEmbeddings(self.layout, self.width, self.scale)(ids)
        x = embedding
        if numbers is not None:
            x = jnp.concatenate([x, jnp.asarray(numbers, x.dtype)], axis=1)
        if self.cross_layers:
            x = CrossNetwork(self.cross_layers, full_rank=True)(x)
        return embedding, Mlp((*self.hidden, 1), normalize=False)(x)[:, 0]


def _lookups(num_chunks, hash_seed):
    """The field and the hash seed of each lookup."""
    if not num_chunks or any(not 1 <= number <= CHUNKS for number in num_chunks):
        raise ValueError(f'num_chunks: expected 1 to {CHUNKS} for each field, got {num_chunks}')
    if hash_seed < 0:
        raise ValueError(f'hash_seed: expected 0 or more, got {hash_seed}')
    lookups = [(f, chunk) for f, number in enumerate(num_chunks) for chunk in range(number)]
    # Far from the seeds of another hash_seed; those of one model stay distinct.
    shift = hash_seed * 0x9E3779B9
    seeds = tuple((CHUNKS * f + chunk + shift) % 2**32 for f, chunk in lookups)
    return tuple(f for f, _ in lookups), seeds


def _values(field_sizes, num_chunks):
    """How many values each lookup has."""
    if len(field_sizes) != len(num_chunks) or min(field_sizes) < 1:
        raise ValueError(
            f'field_sizes: expected {len(num_chunks)} sizes of at least 1, got {tuple(field_sizes)}'
        )
    return np.repeat(np.array(field_sizes), num_chunks)


def _starts(sizes):
    return tuple(itertools.accumulate(sizes[:-1], initial=0))
