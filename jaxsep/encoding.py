"""Rows of a source seen through frozen encoders: earlier stages of a run, or pretrained ones.

A stage whose config names an `encoder` gets the encoder's named outputs as columns, in place of
what the source gave; label columns stay. A split is encoded when it is first read, once per run;
what a pretrained encoder made of it is kept in the cache across runs.
"""

import contextlib
import functools
import hashlib
import importlib
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from jaxsep.data import batches
from jaxsep.data.source import Arrays, Source, Split, take_all
from jaxsep.trainers import hosts

Table = Mapping[str, np.ndarray]
LARGEST_KEPT = 2**30
"""Bytes of an encoded split above which it is not written to the cache."""


class Encoded:
    """A split whose columns are made of another split's rows when they are first taken."""

    def __init__(self, base: Split, encode: Callable[[Split], Table]):
        self._base, self._encode = base, encode

    def __len__(self) -> int:
        return len(self._base)

    @functools.cached_property
    def _rows(self) -> Arrays:
        return Arrays({name: x for name, x in self._encode(self._base).items() if name != 'index'})

    def take(self, indices: Int[np.ndarray, 'b']) -> dict[str, np.ndarray]:
        """The encoded rows at `indices` and their numbers under `index`."""
        return self._rows.take(indices)


def encode(source: Source, encoders: Sequence[Callable[[Split], Table]]) -> Source:
    """The source with every split passed through the encoders; their columns stand side by side.

    Args:
      encoders: each a function from a split to columns of as many rows; a column that two of
        them give (a label) is taken from the last.
    """

    def together(split):
        columns = {}
        for each in encoders:
            columns |= each(split)
        return columns

    splits = {name: Encoded(split, together) for name, split in source.splits.items()}
    return source._replace(splits=splits)


def of_stage(
    name: str, predict: Callable[[Split], Table], labels: Sequence[str], outputs: Sequence[str]
) -> Callable[[Split], Table]:
    """The outputs of a stage as columns, called '<stage>/<output>' where `name` is given.

    Raises ValueError for an output that the stage does not have.
    """

    def columns(split):
        table = predict(split)
        if missing := [o for o in outputs if o not in table]:
            known = sorted(table.keys() - set(labels))
            raise ValueError(f'config.encoder.outputs: no output {missing[0]!r}; there are {known}')
        kept = {o: x for o, x in table.items() if o not in labels and (not outputs or o in outputs)}
        prefixed = {f'{name}/{o}' if name else o: x for o, x in kept.items()}
        return {**{label: table[label] for label in labels}, **prefixed}

    return columns


def pretrained(
    prefix: str, options: Mapping, labels: Sequence[str], make_predict: Callable, batch_size: int
) -> Callable[[Split], Table]:
    """The outputs of a pretrained encoder as columns, read from the cache where they are there.

    Args:
      prefix: columns are called '<prefix>/<output>' where it is given.
      options: `name` of a module in jaxsep/models/pretrained, and the keywords of its `load`.
      make_predict: outputs function -> function (variables, batches) -> table.
    """
    options = dict(options)
    load = importlib.import_module(f'jaxsep.models.pretrained.{options.pop("name")}').load

    @functools.cache
    def encoder():
        found = load(**options)
        return found, make_predict(found.outputs)

    def columns(split):
        found, predict = encoder()
        rows = take_all(split)
        path = cached(found.fingerprint, rows)

        def named(table):
            given = {f'{prefix}/{output}' if prefix else output: x for output, x in table.items()}
            return {**{label: rows[label] for label in labels}, **given}

        kept = None
        with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
            with path.open('rb') as opened, np.load(opened, allow_pickle=False) as file:
                kept = {output: file[output] for output in file.files}
        if hosts.everywhere(kept is not None):
            return named(kept)
        if hosts.first():
            print(f'encoding {len(split)} rows', flush=True)
        parts = batches.padded_batches(split, batch_size, **hosts.share())
        table = predict(found.variables, parts)
        if sum(x.nbytes for x in table.values()) <= LARGEST_KEPT:
            keep(path, table)
        return named(table)

    return columns


def cached(fingerprint: str, rows: Table) -> pathlib.Path:
    """Where what an encoder makes of these rows is kept; not made here."""
    digest = hashlib.sha256(fingerprint.encode())
    for name, values in sorted(rows.items()):
        digest.update(f'{name} {values.dtype} {values.shape}'.encode())
        digest.update(np.ascontiguousarray(values).data)
    root = pathlib.Path(os.environ.get('JAXSEP_CACHE') or '~/.cache/jaxsep').expanduser()
    return root / 'encoded' / f'{digest.hexdigest()[:32]}.npz'


def keep(path: pathlib.Path, table: Table) -> None:
    """Writes the table whole or not at all; a cache that cannot be written only costs time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix='.incoming-') as where:
            incoming = pathlib.Path(where) / path.name
            np.savez(incoming, **table)
            incoming.replace(path)
