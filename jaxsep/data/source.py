"""Where examples come from: named splits of rows, found by name.

A data set is one file in the folder sets; nothing else is edited to add one:

* `<name>.py` with `def load(*, ...) -> Source` is the data set `<name>`,
* `<group>_sets.py`: each public function `-> Source` in it is a data set,
* `<scheme>.py` or `<scheme>_source.py` with `def load(address, *, ...) -> Source`
  answers to `<scheme>:<address>`, for example `npz:vectors.npz`.

Images are uint8 in [0, 255], shape [b, h, w, c]: a quarter of the memory of floats,
and exact. `jaxsep.data.augment.to_float` makes them float32 in [0, 1] inside the step.
Vectors are float32 under `features` or `embedding`. Labels are int32.
Nothing here imports jax.
"""

import ast
import dataclasses
import difflib
import importlib
import inspect
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int


@runtime_checkable
class Split(Protocol):
    """Rows of a data set, addressed by their number."""

    def __len__(self) -> int:
        """How many rows there are."""

    def take(self, indices: Int[np.ndarray, 'b']) -> dict[str, np.ndarray]:
        """The rows at `indices`, in that order, one array per column.

        Adds `index` [b] int32: the row's number in this split. Empty indices give
        arrays with no rows. Raises IndexError beyond the last row.
        """


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A split held in memory: columns of equal length.

    >>> Arrays({'label': np.array([3, 1, 2])}).take(np.array([2, 0]))['label'].tolist()
    [2, 3]
    """

    columns: Mapping[str, np.ndarray]

    def __post_init__(self):
        if not self.columns:
            raise ValueError('columns: expected at least one array, got none')
        if 'index' in self.columns:
            raise ValueError("columns: 'index' is the name of the row number, use another one")
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f'columns: expected equal lengths, got {lengths}')

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, indices: Int[np.ndarray, 'b']) -> dict[str, np.ndarray]:
        """The rows at `indices` and their numbers under `index`."""
        rows = {name: values[indices] for name, values in self.columns.items()}
        return rows | {'index': indices.astype(np.int32)}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of another split, read only when they are taken; columns may be replaced.

    Attributes:
      base: the other split.
      rows: the number in `base` of each row here.
      columns: arrays that replace or join the columns of `base`, one entry per row here.
    """

    base: Split
    rows: Int[np.ndarray, 'n']
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Int[np.ndarray, 'b']) -> dict[str, np.ndarray]:
        """The rows at `indices` and their numbers in this split under `index`."""
        taken = self.base.take(self.rows[indices])
        taken |= {name: values[indices] for name, values in self.columns.items()}
        return taken | {'index': indices.astype(np.int32)}


class Source(NamedTuple):
    """A data set.

    Attributes:
      splits: 'train' and 'test' (others may exist), each a `Split`.
      labels: label column -> names of its classes; the column holds their numbers,
        int32, and exists in every split.
      content: one sentence on what the rows are.
      field_sizes: of a table, how many values each column of `categories` can take.
      targets: columns that evaluations compare outputs with and that are no labels: boxes, masks,
        waveforms. Column -> names of the classes where it holds their numbers, else (). They are
        called `true_<output>`: `true_boxes` [b, m, 4] float32, xyxy in pixels, padded with zeros,
        and `true_classes` [b, m] int32, -1 at padding; `true_mask` [b, h, w]; `true_waveform`.
      sample_rate: of audio, samples a second.
    """

    splits: dict[str, Split]
    labels: dict[str, tuple[str, ...]]
    content: str = ''
    field_sizes: tuple[int, ...] = ()
    targets: Mapping[str, tuple[str, ...]] = types.MappingProxyType({})
    sample_rate: int = 0


def take_all(split: Split) -> dict[str, np.ndarray]:
    """The whole split as one batch."""
    return split.take(np.arange(len(split)))


def column(split: Split, name: str) -> np.ndarray:
    """One column of all rows; reads the others too unless the split is in memory."""
    if isinstance(split, Rows) and name in split.columns:
        return np.asarray(split.columns[name])
    found = split.columns if isinstance(split, Arrays) else take_all(split)
    if name not in found:
        raise ValueError(f'no column {name!r}; there are {", ".join(sorted(found))}')
    return np.asarray(found[name])


def select(
    split: Split, rows: Int[np.ndarray, 'n'], columns: Mapping[str, np.ndarray] | None = None
) -> Split:
    """The split that holds only `rows` of another one, with some columns replaced."""
    columns = columns or {}
    if isinstance(split, Arrays):
        kept = {name: values[rows] for name, values in split.columns.items()}
        return Arrays(kept | dict(columns))
    return Rows(split, rows, columns)


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error message: what was perhaps meant, and what there is.

    >>> nearest('glyhps', ['digits', 'glyphs'])
    'did you mean glyphs? There are digits, glyphs'
    """
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    meant = f'did you mean {" or ".join(close)}? ' if close else ''
    return f'{meant}There are {", ".join(known)}'


def check_options(
    what: str, function: Callable[..., Any], options: Mapping[str, Any], given: int = 0
) -> None:
    """Raises ValueError naming the option that `function` does not have, or lacks.

    Args:
      what: whose options they are, for the message.
      given: number of positional arguments that are passed besides.
    """
    parameters = list(inspect.signature(function).parameters.values())[given:]
    known = {p.name: p for p in parameters}
    for name in options:
        if name not in known:
            allowed = nearest(name, sorted(known)) if known else 'it has no options'
            raise ValueError(f'{what} has no option {name!r}: {allowed}')
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            raise ValueError(f'{what} needs the option {name!r}')


def available() -> dict[str, tuple[str, str]]:
    """Data set name, or 'scheme:', -> module and function; read without importing any."""
    found = {}
    for path in sorted((pathlib.Path(__file__).parent / 'sets').glob('*.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith('_'):
                continue
            if not isinstance(node.returns, ast.Name) or node.returns.id != 'Source':
                continue
            where = f'{__package__}.sets.{path.stem}', node.name
            if path.stem.endswith('_sets'):
                found[node.name] = where
            elif node.name == 'load':
                name = path.stem.removesuffix('_source')
                found[f'{name}:' if node.args.args else name] = where
    return found


def load(name: str, *, modifiers: Sequence[Mapping[str, Any]] = (), **options: Any) -> Source:
    """The data set of that name; every name and option is checked before data are read.

    Args:
      name: 'glyphs', 'digits', ..., 'npz:<path>', 'tfds:<name>'.
      modifiers: applied in order, each a dict with the `name` of a function in
        `jaxsep.data.modifiers` and its options.
      **options: those of the data set.

    Raises:
      ValueError: naming the unknown data set, option or modifier and the nearest ones.
    """
    scheme, colon, address = name.partition(':')
    known = available()
    if scheme + colon not in known:
        names = [n + '<address>' * n.endswith(':') for n in known]
        wanted = f'{scheme}:<address>' if colon else name
        raise ValueError(f'unknown data set {name!r}: {nearest(wanted, names)}')
    if colon and not address:
        raise ValueError(f'data set {name!r}: expected {scheme}:<address>, got no address')
    module, function = known[scheme + colon]
    loader = getattr(importlib.import_module(module), function)
    check_options(f'data set {scheme}', loader, options, given=len(colon))
    steps = prepare_modifiers(modifiers)
    source = loader(address, **options) if colon else loader(**options)
    for step in steps:
        source = step(source)
    return source


def shared_load() -> Callable[..., Source]:
    """A `load` that reads equal data once: the stages of a run share it."""
    known = {}

    def once(**options):
        wanted = repr(options)
        if wanted not in known:
            known[wanted] = load(**options)
        return known[wanted]

    return once


def prepare_modifiers(
    modifiers: Sequence[Mapping[str, Any]],
) -> list[Callable[[Source], Source]]:
    """The functions that `modifiers` name, checked and with their options filled in."""
    module = importlib.import_module(f'{__package__}.modifiers')
    known = {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith('_')
        and next(iter(inspect.signature(function).parameters), '') == 'source'
    }  # fmt: skip
    steps = []
    for modifier in modifiers:
        options = dict(modifier)
        name = options.pop('name', None)
        if name not in known:
            raise ValueError(f'unknown modifier {name!r}: {nearest(str(name), sorted(known))}')
        check_options(f'modifier {name}', known[name], options, given=1)
        steps.append(
            lambda source, function=known[name], options=options: function(source, **options)
        )
    return steps
