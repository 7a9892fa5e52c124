"""Batches on the host: which rows, in which order, read ahead in the background.

The order of examples is a function of (seed, epoch), so the batch of a step is a function
of (seed, step): a run that goes on from step 1,000 sees what it would have seen.
"""

import queue
import threading
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int

from jaxsep.data.source import Arrays, Split


def epoch_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, 'n']:
    """A permutation of n rows that depends on (seed, epoch, n) only.

    The rank order of raw PCG64 words: unlike `Generator.permutation`, the raw
    stream is promised to stay the same in later versions of numpy.

    >>> sorted(epoch_order(0, 3, 4).tolist())
    [0, 1, 2, 3]
    """
    if seed < 0 or epoch < 0:
        raise ValueError(f'seed and epoch: expected 0 or more, got {seed} and {epoch}')
    words = np.random.PCG64(np.random.SeedSequence((seed, epoch))).random_raw(n)
    return np.argsort(words, kind='stable')


def check_sizes(n: int, batch_size: int, process_index: int, process_count: int) -> None:
    """Raises ValueError where a batch does not fit the data or does not divide over processes."""
    if batch_size < 1:
        raise ValueError(f'batch_size: expected at least 1, got {batch_size}')
    if batch_size > n:
        raise ValueError(f'batch_size: {batch_size} is larger than the data, which has {n} rows')
    check_processes(batch_size, process_index, process_count)


def check_processes(batch_size: int, process_index: int, process_count: int) -> None:
    """Raises ValueError unless the processes can share batches equally."""
    if not 0 <= process_index < process_count:
        raise ValueError(f'process_index: expected 0 .. {process_count - 1}, got {process_index}')
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f'batch_size: expected a multiple of {process_count} processes, got {batch_size}'
        )


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Full batches in an epoch: n // batch_size. The rows left over sit out one epoch."""
    check_sizes(n, batch_size, 0, 1)
    return n // batch_size


def batch_indices(
    seed: int, step: int, n: int, batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> Int[np.ndarray, 'b']:
    """The rows of one step; those of this process where several share the batch.

    Step t is part t mod s of the order of epoch t // s, with s = n // batch_size. Process p of
    P gets the p-th of P equal parts: together exactly the batch of one process.
    """
    check_sizes(n, batch_size, process_index, process_count)
    epoch, part = divmod(step, n // batch_size)
    local = batch_size // process_count
    start = part * batch_size + process_index * local
    return epoch_order(seed, epoch, n)[start : start + local]


def stream(
    split: Split,
    *,
    seed: int,
    start_step: int = 0,
    batch_size: int,
    num_steps: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
    ahead: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of steps start_step, ..., num_steps - 1, read ahead by one thread.

    A generator: an error while reading is raised where its batch would have come, and `close()`
    (or garbage collection) ends the thread.

    Args:
      batch_size: rows over all processes.
      num_steps: where to stop, counted from step 0; None goes on for ever.
      ahead: batches kept ready.
    """
    n = len(split)
    check_sizes(n, batch_size, process_index, process_count)
    local = batch_size // process_count
    per_epoch = n // batch_size

    def read():
        order, ordered = None, -1
        step = start_step
        while num_steps is None or step < num_steps:
            epoch, part = divmod(step, per_epoch)
            if epoch != ordered:
                order, ordered = epoch_order(seed, epoch, n), epoch
            start = part * batch_size + process_index * local
            yield split.take(order[start : start + local])
            step += 1

    return read_ahead(read(), ahead)


def read_ahead(items: Iterator, ahead: int) -> Iterator:
    """The same items, made in a background thread, at most `ahead` before they are wanted."""
    ready = queue.Queue(maxsize=ahead)
    closed = threading.Event()

    def put(kind, value):
        while not closed.is_set():
            try:
                return ready.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def work():
        try:
            for item in items:
                put('item', item)
                if closed.is_set():
                    return
            put('end', None)
        except BaseException as error:  # noqa: BLE001, raised again in the consumer
            put('error', error)

    thread = threading.Thread(target=work, name='read-ahead', daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == 'end':
                return
            if kind == 'error':
                raise value
            yield value
    finally:
        closed.set()
        while not ready.empty():
            ready.get_nowait()
        thread.join()


def padded_batches(
    split: Split | Mapping[str, np.ndarray],
    batch_size: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """All rows in order, in batches of one size, for evaluation.

    The last batch is filled up by repeating the last row. With several processes each
    gets its part of every batch, so that all take the same number of steps. No rows, no batches.

    Returns:
      pairs of a batch and the number of rows, from the front, that are real in the parts of all
      processes together, one after the other.
    """
    check_processes(batch_size, process_index, process_count)
    rows = Arrays(split) if isinstance(split, Mapping) else split
    n, local = len(rows), batch_size // process_count

    def read():
        for first in range(0, n, batch_size):
            start = first + process_index * local
            indices = np.minimum(np.arange(start, start + local), n - 1)
            yield rows.take(indices), min(n - first, batch_size)

    return read()
