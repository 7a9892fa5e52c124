import itertools
import threading

import numpy as np
import pytest

from jaxsep.data.batches import (
    batch_indices,
    epoch_order,
    padded_batches,
    steps_per_epoch,
    stream,
)
from jaxsep.data.source import Arrays


def rows(n=10):
    return Arrays({'features': np.arange(n, dtype=np.float32)[:, None]})


def readers():
    return [t for t in threading.enumerate() if t.name == 'read-ahead']


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    orders = {(s, e): epoch_order(s, e, 50).tolist() for s in (0, 1) for e in (0, 1)}
    for key, order in orders.items():
        assert sorted(order) == list(range(50))
        assert epoch_order(*key, 50).tolist() == order
    assert len({tuple(order) for order in orders.values()}) == 4


def test_an_epoch_holds_every_row_once_apart_from_the_rest():
    seen = np.concatenate([batch_indices(0, step, 10, 3) for step in range(3)])
    assert steps_per_epoch(10, 3) == 3
    assert len(np.unique(seen)) == 9
    assert not np.array_equal(batch_indices(0, 3, 10, 3), batch_indices(0, 0, 10, 3))


@pytest.mark.parametrize('start', [0, 2, 3, 7])
def test_a_resumed_stream_gives_the_same_batches(start):
    resumed = list(stream(rows(), seed=1, start_step=start, batch_size=3, num_steps=8))
    assert len(resumed) == 8 - start
    for step, batch in enumerate(resumed, start):
        np.testing.assert_array_equal(batch['index'], batch_indices(1, step, 10, 3))
        np.testing.assert_array_equal(batch['features'][:, 0], batch['index'])


def test_processes_share_each_batch_without_overlap_and_without_rest():
    parts = [
        list(stream(rows(), seed=0, batch_size=4, num_steps=5, process_index=p, process_count=2))
        for p in range(2)
    ]
    for step, batches in enumerate(zip(*parts, strict=True)):
        together = np.concatenate([batch['index'] for batch in batches])
        np.testing.assert_array_equal(together, batch_indices(0, step, 10, 4))


def test_an_endless_stream_ends_its_thread_when_closed():
    batches = stream(rows(), seed=0, batch_size=5)
    assert len(list(itertools.islice(batches, 7))) == 7
    assert len(readers()) == 1
    batches.close()
    assert not readers()


def test_a_stream_never_started_starts_no_thread():
    stream(rows(), seed=0, batch_size=5).close()
    assert not readers()


def test_an_error_while_reading_comes_out_where_its_batch_would_have():
    class Broken(Arrays):
        def take(self, indices):
            if 3 in indices:
                raise OSError('row 3 is unreadable')
            return super().take(indices)

    broken = Broken(rows().columns)
    position = next(s for s in range(10) if batch_indices(0, s, 10, 1)[0] == 3)
    batches = stream(broken, seed=0, batch_size=1)
    assert len(list(itertools.islice(batches, position))) == position
    with pytest.raises(OSError, match='row 3'):
        next(batches)
    assert not readers()


@pytest.mark.parametrize('n', [1, 4, 10, 12])
@pytest.mark.parametrize('process_count', [1, 2])
def test_padded_batches_have_one_size_and_hold_every_row_once_in_order(n, process_count):
    parts = [
        list(padded_batches(rows(n), 4, process_index=p, process_count=process_count))
        for p in range(process_count)
    ]
    assert {len(part) for part in parts} == {-(-n // 4)}
    real = []
    for batches in zip(*parts, strict=True):
        assert all(len(batch['index']) == 4 // process_count for batch, _ in batches)
        (count,) = {count for _, count in batches}
        real += np.concatenate([batch['index'] for batch, _ in batches])[:count].tolist()
    assert real == list(range(n))


def test_padded_batches_take_plain_arrays_and_no_rows_give_no_batches():
    ((batch, count),) = padded_batches({'label': np.array([5, 6, 7])}, 4)
    assert (batch['label'].tolist(), count) == ([5, 6, 7, 7], 3)
    assert list(padded_batches({'label': np.zeros(0)}, 4)) == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'batch_size': 11}, '11 is larger than the data, which has 10 rows'),
        ({'batch_size': 0}, 'batch_size: expected at least 1'),
        ({'batch_size': 3, 'process_count': 2}, 'multiple of 2 processes, got 3'),
        ({'batch_size': 4, 'process_count': 2, 'process_index': 2}, 'process_index'),
    ],
)
def test_impossible_sizes_are_refused_before_the_first_batch(options, message):
    with pytest.raises(ValueError, match=message):
        stream(rows(), seed=0, **options)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match='seed'):
        epoch_order(-1, 0, 4)
