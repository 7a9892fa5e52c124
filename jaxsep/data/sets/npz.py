"""The user's own arrays: `npz:<path>`."""

import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction, stratified
from jaxsep.data.tables import UNKNOWN

DATA = ('image', 'features', 'embedding', 'categories', 'numbers')
TABLE = ('categories', 'numbers')  # with one axis they are label columns
FIELD_SIZES = 'field_sizes'
TEST = '_test'


def load(path: str, *, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """Named arrays from one .npz file, as np.savez writes it.

    Needs at least one of `image` [n, h, w(, c)], `features` [n, d], `embedding` [n, d], or of
    the two parts of a table, `categories` [n, f] and `numbers` [n, m]. Every other array with n
    entries along its only axis is a label column: whole numbers or text; its classes are its
    distinct values, sorted. Other arrays are left aside.

    Categories are whole numbers, each field's own from 1, and 0 where the value is missing or
    unknown. An array `field_sizes` [f] beside them says how many values each field can take, 0 among
    them; without it that is one more than the largest in training, and larger ones in test
    are 0. Numbers come as they are: standardise them before.

    Training and test are told apart, in this order of preference, by arrays named
    `<name>_test` besides every `<name>`; by an array `split` [n] that says 'train' or 'test';
    by chance, each class of the first label column divided alike.

    Args:
      path: the file.
      test_fraction: share of the rows that is kept for test, if the file does not say.
      seed: of that division.
    """
    check_fraction(test_fraction)
    arrays = read_npz(path)
    given = arrays.pop(FIELD_SIZES, None) if is_table(arrays, 'categories') else None
    train = {name: a for name, a in arrays.items() if not name.endswith(TEST)}
    test = {name.removesuffix(TEST): a for name, a in arrays.items() if name.endswith(TEST)}
    test = {name: a for name, a in test.items() if name in train}
    columns = usable(path, train)
    names = {}
    if any(name in test for name in columns if columns[name].ndim > 1):
        missing = [name for name in columns if name not in test]
        if missing:
            raise ValueError(f'{path}: there is {missing[0]!r} but no {missing[0] + TEST!r}')
        parts = {
            'train': columns,
            'test': usable(path, {name: test[name] for name in columns}, TEST),
        }
        for name, values in columns.items():
            rows, test_rows = (parts[split][name].shape[1:] for split in ('train', 'test'))
            if rows != test_rows:
                raise ValueError(
                    f'{path}: a row of {name} has shape {list(rows)}, but one of {name + TEST} '
                    f'{list(test_rows)}'
                )
            if values.ndim == 1:
                both = np.concatenate([parts['train'][name], parts['test'][name]])
                values, numbers = np.unique(both, return_inverse=True)
                names[name] = tuple(str(v) for v in values)
                cut = len(parts['train'][name])
                parts['train'][name] = numbers[:cut].astype(np.int32)
                parts['test'][name] = numbers[cut:].astype(np.int32)
    else:
        chosen = columns.pop('split', None)
        for name in columns:
            if columns[name].ndim == 1:
                values, numbers = np.unique(columns[name], return_inverse=True)
                names[name] = tuple(str(v) for v in values)
                columns[name] = numbers.astype(np.int32)
        n = len(next(iter(columns.values())))
        rows = said(path, chosen) if chosen is not None else stratified(
            columns[next(iter(names))] if names else np.zeros(n, np.int32), test_fraction, seed
        )  # fmt: skip
        if chosen is None and n < 2:
            raise ValueError(f'{path}: expected at least 2 rows to divide, got {n}')
        parts = {
            split: {name: a[i] for name, a in columns.items()}
            for split, i in zip(('train', 'test'), rows, strict=True)
        }
    sizes = ()
    if is_table(columns, 'categories'):
        sizes = sizes_of(path, *(part['categories'] for part in parts.values()), given)
        known = np.asarray(sizes, np.int32)[None, :]
        for part in parts.values():
            categories = part['categories']
            part['categories'] = np.where(categories < known, categories, UNKNOWN)
    return Source({s: Arrays(c) for s, c in parts.items()}, names, f'arrays of {path}', sizes)


def read_npz(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a file, none of them a pickle; every trouble is one clear line.

    Raises:
      ValueError: naming the file and what is wrong: it is missing, no npz, damaged, or
        holds an array of Python objects (which only a pickle could store).
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f'{path}: no such file')
    if not zipfile.is_zipfile(path):
        raise ValueError(f'{path}: not an npz file (write one with np.savez)')
    arrays = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except ValueError as error:
                if 'pickle' not in str(error) and 'Object arrays' not in str(error):
                    raise ValueError(f'{path}: array {name!r} is damaged ({error})') from None
                raise ValueError(
                    f'{path}: array {name!r} holds Python objects; pickles are refused, '
                    'save it as numbers or text'
                ) from None
            except (zipfile.BadZipFile, EOFError, OSError) as error:
                raise ValueError(f'{path}: array {name!r} is damaged ({error})') from None
            if not isinstance(arrays[name], np.ndarray):
                raise ValueError(f'{path}: {name!r} is not an array in npy format')
    return arrays


def check_finite(what: str, values: np.ndarray) -> None:
    """Raises ValueError with the number of NaN or infinite entries and the first such row."""
    if not np.issubdtype(values.dtype, np.inexact):
        return
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad.reshape(len(values), -1).any(axis=1)))
        raise ValueError(
            f'{what}: {int(bad.sum())} NaN or infinite entries, the first in row {row}'
        )


def usable(path: str, arrays: Mapping[str, np.ndarray], suffix: str = '') -> dict[str, np.ndarray]:
    """The data columns, converted and checked, and the label columns as they are.

    Args:
      path: for messages.
      arrays: from `read_npz`.
      suffix: of the names in the file, for messages.
    """
    present = [name for name in DATA if name in arrays]
    present = [name for name in present if name not in TABLE or is_table(arrays, name)]
    if not present:
        there = ', '.join(f'{name} {list(a.shape)}' for name, a in arrays.items()) or 'nothing'
        raise ValueError(f'{path}: expected an array named {" or ".join(DATA)}; there is {there}')
    convert = {'image': as_images, 'categories': as_categories}
    columns = {
        name: convert.get(name, as_vectors)(f'{path}: {name}{suffix}', arrays[name])
        for name in present
    }
    n = len(columns[present[0]])
    for name in present:
        check_length(path, name + suffix, columns[name], n, present[0] + suffix)
    for name, values in arrays.items():
        if name in present or values.ndim != 1 or name == 'index':
            continue
        check_length(path, name + suffix, values, n, present[0] + suffix)
        if values.dtype.kind in 'fc':
            check_finite(f'{path}: {name}{suffix}', values)
            if (values != np.round(values)).any():
                raise ValueError(f'{path}: label {name + suffix!r} should be whole numbers or text')
            values = values.astype(np.int64)
        columns[name] = values
    return columns


def check_length(path: str, name: str, values: np.ndarray, n: int, other: str) -> None:
    """Raises ValueError unless there are n rows."""
    if len(values) != n:
        raise ValueError(f'{path}: {name} has {len(values)} rows, but {other} has {n}')


def as_images(what: str, values: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, c]: from uint8, or from floats in [0, 1]; a missing channel is added."""
    if values.ndim not in (3, 4):
        raise ValueError(f'{what}: expected [n, h, w] or [n, h, w, c], got {list(values.shape)}')
    values = values[..., None] if values.ndim == 3 else values
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != 'f':
        raise ValueError(f'{what}: expected uint8 or floats in [0, 1], got {values.dtype}')
    check_finite(what, values)
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f'{what}: floats should lie in [0, 1], got {values.min():.4g} to {values.max():.4g}'
        )
    return np.rint(values * 255).astype(np.uint8)


def as_vectors(what: str, values: np.ndarray) -> np.ndarray:
    """float32 [n, d] from any numbers."""
    if values.ndim != 2 or values.dtype.kind not in 'fiub':
        raise ValueError(
            f'{what}: expected numbers [n, d], got {values.dtype} {list(values.shape)}'
        )
    check_finite(what, values)
    return values.astype(np.float32)


def is_table(arrays: Mapping[str, np.ndarray], name: str) -> bool:
    """Whether there is an array of that name with rows and fields."""
    return name in arrays and arrays[name].ndim == 2


def as_categories(what: str, values: np.ndarray) -> np.ndarray:
    """int32 [n, f] from whole numbers that are not negative."""
    if values.dtype.kind not in 'iub':
        raise ValueError(
            f'{what}: expected whole numbers [n, f], got {values.dtype} {list(values.shape)}'
        )
    wrong = (values < 0) | (values >= np.iinfo(np.int32).max)
    if wrong.any():
        row, field = np.argwhere(wrong)[0]
        raise ValueError(
            f'{what}: expected int32 from 0, got {values[row, field]} in row {row}, field {field}'
        )
    return values.astype(np.int32)


def sizes_of(
    path: str, train: np.ndarray, test: np.ndarray, given: np.ndarray | None
) -> tuple[int, ...]:
    """How many values each field of `categories` can take: as given and then checked, or as seen.

    Args:
      path: for messages.
      train: categories [n, f] of the training rows.
      test: those of the test rows.
      given: the array `field_sizes`, if there is one.
    """
    if given is None:
        return tuple((train.max(axis=0, initial=0) + 1).tolist())
    fields = train.shape[1]
    if given.shape != (fields,) or given.dtype.kind not in 'iu' or (given < 1).any():
        raise ValueError(
            f'{path}: {FIELD_SIZES}: expected whole numbers from 1, one for each of the {fields} '
            f'fields of categories, got {given.dtype} {np.array2string(given, threshold=10)}'
        )
    largest = np.concatenate([train, test]).max(axis=0, initial=0)
    for field in np.flatnonzero(largest >= given)[:1]:
        raise ValueError(
            f'{path}: categories: field {field} has the value {largest[field]}, but '
            f'{FIELD_SIZES} says {given[field]} (values 0 to {given[field] - 1})'
        )
    return tuple(given.tolist())


def said(path: str, split: np.ndarray) -> Sequence[np.ndarray]:
    """The rows of training and of test, from a column that says 'train' or 'test'."""
    unknown = sorted(set(split.tolist()) - {'train', 'test'}, key=str)
    if unknown:
        raise ValueError(f"{path}: split should say 'train' or 'test', got {unknown[0]!r}")
    rows = np.flatnonzero(split == 'train'), np.flatnonzero(split == 'test')
    for name, i in zip(('train', 'test'), rows, strict=True):
        if len(i) == 0:
            raise ValueError(f'{path}: split names no row {name!r}')
    return rows
