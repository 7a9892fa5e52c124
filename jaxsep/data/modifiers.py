"""Data sets made harder on purpose: pure functions Source -> Source.

Only the training split changes, except where a function says otherwise. Rows that
stay keep their order; `index` counts the rows that are left.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxsep.data.edges import edges
from jaxsep.data.source import Source, column, nearest, select


def check_label(source: Source, label: str) -> int:
    """The number of classes of a label column; ValueError if the source does not have it."""
    if label not in source.labels:
        raise ValueError(f'label {label!r} is not a column: {nearest(label, list(source.labels))}')
    return len(source.labels[label])


def subsample(
    values: Int[np.ndarray, 'n'], counts: Sequence[int], seed: int
) -> Int[np.ndarray, 'm']:
    """Rows such that class c appears counts[c] times, chosen at random, in ascending order."""
    shuffled = np.random.default_rng(seed).permutation(len(values))
    rows = [shuffled[values[shuffled] == c][:count] for c, count in enumerate(counts)]
    return np.sort(np.concatenate(rows)) if rows else shuffled[:0]


def with_train(source: Source, rows: Int[np.ndarray, 'n']) -> Source:
    """The source with only these rows of its training split."""
    return source._replace(splits=source.splits | {'train': select(source.splits['train'], rows)})


def long_tail(
    source: Source, imbalance: float | int, label: str = 'label', seed: int = 0
) -> Source:
    """Thins the training split so that class sizes fall exponentially.

    Class c of C keeps n_c = n_max imbalance^(-c / (C - 1)) rows, rounded, at least 1 and at
    most what it has; n_max is the size of the largest class, so the first class is
    `imbalance` times the last where all were equally large. Classes without rows stay
    empty; one class alone stays as it is. Cui et al. 2019, "Class-balanced loss".
    """
    num_classes = check_label(source, label)
    if not imbalance >= 1:
        raise ValueError(f'imbalance: expected a ratio of at least 1, got {imbalance}')
    values = column(source.splits['train'], label)
    available = np.bincount(values, minlength=num_classes)
    present = np.flatnonzero(available)
    rank = np.arange(len(present)) / max(len(present) - 1, 1)
    wanted = np.maximum(np.rint(available.max() * float(imbalance) ** -rank), 1).astype(int)
    counts = np.zeros(num_classes, int)
    counts[present] = np.minimum(wanted, available[present])
    return with_train(source, subsample(values, counts.tolist(), seed))


def with_counts(
    source: Source, counts: Sequence[int], label: str = 'label', seed: int = 0
) -> Source:
    """Thins the training split to exactly counts[c] rows of class c; 0 leaves a class out."""
    num_classes = check_label(source, label)
    if len(counts) != num_classes:
        raise ValueError(
            f'counts: expected one for each of {num_classes} classes, got {len(counts)}'
        )
    values = column(source.splits['train'], label)
    available = np.bincount(values, minlength=num_classes)
    for c, count in enumerate(counts):
        if not 0 <= count <= available[c]:
            raise ValueError(
                f'counts: class {source.labels[label][c]!r} has {available[c]} rows, got {count}'
            )
    return with_train(source, subsample(values, list(counts), seed))


def label_noise(
    source: Source, rate: float | int, label: str = 'label', seed: int = 0, kind: str = 'symmetric'
) -> Source:
    """Gives round(rate n) rows of the training split a wrong label.

    The true labels stay in the new column '<label>_clean', which every split gets (in
    the others it equals the label).

    Args:
      kind: 'symmetric': uniform among the other classes; 'pair': always the next class.
    """
    num_classes = check_label(source, label)
    if not 0 <= rate <= 1:
        raise ValueError(f'rate: expected a share between 0 and 1, got {rate}')
    if kind not in ('symmetric', 'pair'):
        raise ValueError(f"kind: expected 'symmetric' or 'pair', got {kind!r}")
    if num_classes < 2:
        raise ValueError(f'label {label!r}: expected at least 2 classes, got {num_classes}')
    splits = {}
    for name, split in source.splits.items():
        clean = column(split, label)
        noisy = clean.copy()
        if name == 'train':
            rng = np.random.default_rng(seed)
            wrong = rng.permutation(len(clean))[: round(rate * len(clean))]
            shift = rng.integers(1, num_classes, len(wrong)) if kind == 'symmetric' else 1
            noisy[wrong] = (clean[wrong] + shift) % num_classes
        columns = {label: noisy, f'{label}_clean': clean}
        splits[name] = select(split, np.arange(len(split)), columns)
    labels = source.labels | {f'{label}_clean': source.labels[label]}
    return source._replace(splits=splits, labels=labels)


def select_classes(source: Source, classes: Sequence[int | str], label: str = 'label') -> Source:
    """Keeps only some classes, in ALL splits, and numbers them 0, 1, ... in the order given.

    Args:
      classes: numbers, or names out of source.labels[label].
    """
    num_classes = check_label(source, label)
    names = source.labels[label]
    numbers = []
    for c in classes:
        if isinstance(c, str) and c in names:
            numbers.append(names.index(c))
        elif not isinstance(c, str) and 0 <= c < num_classes:
            numbers.append(int(c))
        else:
            raise ValueError(f'classes: {c!r} is none of {list(names[:20])} nor of their numbers')
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f'classes: expected different classes, at least one, got {list(classes)}')
    renumbered = np.full(num_classes, -1, np.int32)
    renumbered[numbers] = np.arange(len(numbers))
    splits = {}
    for name, split in source.splits.items():
        values = renumbered[column(split, label)]
        rows = np.flatnonzero(values >= 0)
        splits[name] = select(split, rows, {label: values[rows]})
    labels = source.labels | {label: tuple(names[n] for n in numbers)}
    return source._replace(splits=splits, labels=labels)


def class_groups(
    source: Source, sizes: Sequence[int], label: str, seed: int | None
) -> list[Int[np.ndarray, 'k']]:
    """The classes of each session: sizes[s] of them, in the order of numbers or of a seed."""
    num_classes = check_label(source, label)
    if min(sizes, default=0) < 1 or sum(sizes) > num_classes:
        raise ValueError(
            f'sizes: expected positive numbers, at most {num_classes} together, got {list(sizes)}'
        )
    order = np.arange(num_classes)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(num_classes)
    return np.split(order, np.cumsum(sizes))[: len(sizes)]


def class_sessions(
    source: Source, sizes: Sequence[int], label: str = 'label', seed: int | None = None
) -> Source:
    """Adds splits for learning classes one group after the other.

    Session s has the next sizes[s] classes: the splits 'train/<s>' and 'test/<s>' hold
    their rows, labels keep their numbers. The whole splits stay as they are.

    Args:
      seed: of the order of the classes; None for the order of their numbers.
    """
    groups = class_groups(source, sizes, label, seed)
    sessions = {}
    for name in ('train', 'test'):
        values = column(source.splits[name], label)
        for s, group in enumerate(groups):
            sessions[f'{name}/{s}'] = select(
                source.splits[name], np.flatnonzero(np.isin(values, group))
            )
    return source._replace(splits=source.splits | sessions)


def few_shots(
    source: Source, first: int, shots: int, label: str = 'label', seed: int = 0
) -> Source:
    """Thins the classes numbered `first` and above to `shots` training rows each.

    What few-shot class-incremental learning starts from: base classes with all their rows, new
    ones with a handful. A class that has fewer keeps what it has.
    """
    num_classes = check_label(source, label)
    if not 0 <= first <= num_classes:
        raise ValueError(f'first: expected a class number up to {num_classes}, got {first}')
    if shots < 1:
        raise ValueError(f'shots: expected at least 1 row a class, got {shots}')
    values = column(source.splits['train'], label)
    counts = np.bincount(values, minlength=num_classes)
    counts[first:] = np.minimum(counts[first:], shots)
    return with_train(source, subsample(values, counts.tolist(), seed))


def rehearsal(
    source: Source,
    sizes: Sequence[int],
    session: int,
    exemplars: int = 0,
    balance: bool = False,
    label: str = 'label',
    order_seed: int | None = None,
    seed: int = 0,
) -> Source:
    """The training split of one session of class-incremental learning, with a memory of the past.

    Training keeps the rows of the session's own sizes[session] classes, and of every class of the
    sessions before it `exemplars` rows, always the same ones. Labels keep their numbers; the
    other splits stay whole.

    Args:
      sizes: classes of each session, in the order of their numbers or of `order_seed`.
      session: which of them, from 0.
      exemplars: rows of memory for each earlier class; 0 for no memory.
      balance: repeat the rows of the memory until they are as many as the new ones (within one
        round of the memory), so that half of a batch is memory on average.
      order_seed: of the order of the classes; None for the order of their numbers.
      seed: of the choice of exemplars.
    """
    groups = class_groups(source, sizes, label, order_seed)
    if not 0 <= session < len(groups):
        raise ValueError(f'session: expected 0 to {len(groups) - 1}, got {session}')
    if exemplars < 0:
        raise ValueError(f'exemplars: expected 0 or more rows a class, got {exemplars}')
    values = column(source.splits['train'], label)
    new = np.flatnonzero(np.isin(values, groups[session]))
    counts = np.zeros(len(source.labels[label]), int)
    for group in groups[:session]:
        counts[group] = exemplars
    memory = subsample(values, counts.tolist(), seed)
    if balance and len(memory):
        memory = np.tile(memory, max(round(len(new) / len(memory)), 1))
    return with_train(source, np.concatenate([new, memory]))


def edge_views(source: Source, kind: str = 'gradient') -> Source:
    """Gives each image a second view, its edges: the new column `views` [2, h, w, c], all splits.

    View 0 is the image, view 1 is `jaxsep.data.edges.edges` of it. Reads all images at once.

    Args:
      kind: 'gradient' or 'dilation'.
    """
    splits = {}
    for name, split in source.splits.items():
        images = column(split, 'image')
        views = np.stack([images, edges(images, kind)], axis=1)
        splits[name] = select(split, np.arange(len(split)), {'views': views})
    return source._replace(splits=splits)
