"""Checkpoints: exact, kept by policy, and never trusted blindly."""

import contextlib
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.errors import NotRead, NotWritten
from jaxsep.method import Estimator
from jaxsep.trainers import state as states
from jaxsep.trainers.checkpoint import Checkpoints, fit_once, read_fitted


def make(step, scale=1.0):
    return states.TrainState(
        step=jnp.int32(step),
        params={'w': scale * jnp.arange(6.0).reshape(2, 3), 'half': jnp.ones(3, jnp.bfloat16)},
        extra={'count': jnp.int32(step)},
        opt_state=(jnp.zeros(2), {'nu': jnp.ones(3)}),
        key=jax.random.key(7),
    )


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x, np.float32), np.asarray(y, np.float32))


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(3, 1 / 3), {'seconds': 1.5})
    checkpoints.wait()
    state, meta = checkpoints.restore(make(0))
    checkpoints.close()
    assert_equal(state, make(3, 1 / 3))
    assert meta == {'seconds': 1.5}


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, 'score', 'max')
    for step, score in [(1, 0.1), (2, 0.9), (3, 0.2), (4, 0.3), (5, 0.4)]:
        checkpoints.save(make(step), {}, {'score': score})
    checkpoints.wait()
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best_step() == 2
    checkpoints.close()


def damage(directory: pathlib.Path):
    for path in directory.rglob('*'):
        if path.is_file() and path.stat().st_size:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def first(directory, pattern):
    return max(directory.glob(pattern), key=lambda path: path.stat().st_size)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


DAMAGES = {
    'flipped bit in the numbers': lambda d: flip(first(d, 'state/ocdbt.process_0/d/*')),
    'flipped bit in meta': lambda d: flip(d / 'meta' / 'metadata'),
    'metrics': lambda d: (d / 'metrics' / 'metrics').write_text('{'),
    'no arrays': lambda d: shutil.rmtree(d / 'state'),
    'no metadata of the state': lambda d: (d / 'state' / '_METADATA').unlink(),
    'sums': lambda d: (d / 'checksums.json').write_text('{"item'),
    'all files cut off': damage,
    'empty directory': lambda d: (shutil.rmtree(d), d.mkdir()),
}


@pytest.mark.parametrize('what', DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_and_says_so(tmp_path, what):
    checkpoints = Checkpoints(tmp_path, 'score')
    for step in (1, 2):
        checkpoints.save(make(step, step / 3), {'seconds': 0.0}, {'score': step})
    checkpoints.close()
    DAMAGES[what](tmp_path / '2')
    told = []
    again = Checkpoints(tmp_path, 'score')
    state, _ = again.restore(make(0), warn=told.append)
    assert_equal(state, make(1, 1 / 3))
    assert len(told) == 1 and told[0].startswith('checkpoint 2 cannot be read')
    assert (tmp_path / 'unreadable-2').exists(), 'nothing is deleted'
    again.save(make(2, 2 / 3), {'seconds': 0.0}, {'score': 2})
    again.close()
    restored, _ = Checkpoints(tmp_path, 'score').restore(make(0), warn=told.append)
    assert_equal(restored, make(2, 2 / 3))
    assert len(told) == 1


@pytest.mark.parametrize('content', [None, '{"item'])
def test_what_orbax_notes_about_a_checkpoint_is_not_needed_to_read_it(tmp_path, content):
    """Written after the checksums, with the time at which the checkpoint was whole."""
    checkpoints = Checkpoints(tmp_path, 'score')
    checkpoints.save(make(2, 1 / 3), {'seconds': 0.0}, {'score': 2})
    checkpoints.close()
    (tmp_path / '2' / '_CHECKPOINT_METADATA').unlink()
    if content:
        (tmp_path / '2' / '_CHECKPOINT_METADATA').write_text(content)
    again = Checkpoints(tmp_path, 'score')
    assert_equal(again.restore(make(0))[0], make(2, 1 / 3))
    again.close()


def test_when_no_checkpoint_can_be_read_nothing_is_started_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(make(step), {'seconds': 0.0})
    checkpoints.close()
    damage(tmp_path / '1')
    damage(tmp_path / '2')
    for _ in range(2):  # nor the second time
        again = Checkpoints(tmp_path)
        with pytest.raises(NotRead, match='none of the checkpoints .2, 1. in .* can be read'):
            again.restore(make(0), warn=lambda _: None)
        again.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['1', '2'], 'they stay for a repair'


def test_a_step_that_is_damaged_twice_is_moved_aside_twice(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(1), {'seconds': 0.0})
    for _ in range(2):
        checkpoints.save(make(2), {'seconds': 0.0})
        checkpoints.close()
        damage(tmp_path / '2')
        checkpoints = Checkpoints(tmp_path)
        checkpoints.restore(make(0), warn=lambda _: None)
    checkpoints.close()
    aside = sorted(p.name for p in tmp_path.iterdir())
    assert aside == ['1', 'unreadable-2', 'unreadable-2-1']


def test_a_reader_falls_back_too_but_renames_and_removes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(make(step), {'seconds': 0.0})
    checkpoints.close()
    damage(tmp_path / '2')
    (tmp_path / '3.orbax-checkpoint-tmp').mkdir()  # somebody is saving
    before = sorted(p.name for p in tmp_path.iterdir())
    reader, told = Checkpoints(tmp_path, read_only=True), []
    assert_equal(reader.restore(make(0), warn=told.append)[0], make(1))
    with pytest.raises(NotRead, match='checkpoint 2 in .* cannot be read .* is not as it was'):
        reader.restore(make(0), step=2)
    reader.close()
    assert len(told) == 1 and sorted(p.name for p in tmp_path.iterdir()) == before


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / '7.orbax-checkpoint-tmp' / 'state').mkdir(parents=True)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make(0)) is None
    checkpoints.save(make(1), {'seconds': 0.0})
    checkpoints.close()
    assert [p.name for p in tmp_path.iterdir()] == ['1']


def test_a_save_that_fails_is_told_by_the_next_call_and_the_one_before_is_intact(tmp_path):
    """The file system refuses in orbax's thread, after `save` has returned."""
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(make(1), {'seconds': 0.0})
    checkpoints.wait()
    with too_large_from(1000):
        with pytest.raises(NotWritten) as caught:
            checkpoints.save(make(2), {'seconds': 0.0, 'scores': [0.5] * 1000})
            checkpoints.wait()
    assert str(caught.value) == (
        f'step 2 cannot be written in {tmp_path} (File too large); last good checkpoint: step 1'
    )
    checkpoints.close()
    reader = Checkpoints(tmp_path / 'checkpoints', read_only=True)
    assert_equal(reader.restore(make(0))[0], make(1))
    reader.close()


@contextlib.contextmanager
def too_large_from(size):
    """Files of this process cannot grow beyond `size` bytes."""
    resource = pytest.importorskip('resource', reason='limits of processes are known to Unix only')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make(0)) is None
    checkpoints.close()


def mean():
    """An estimator that learns the mean of its data."""
    return Estimator(
        lambda key, data: {'mean': data['x'].mean(0)},
        lambda fitted, batch: {'embedding': batch['x'] - fitted['mean']},
    )


def test_what_was_fitted_is_read_back_or_where_it_is_damaged_fitted_again(tmp_path):
    data, told = {'x': np.random.default_rng(0).normal(size=(50, 400)).astype(np.float32)}, []
    fitted, seconds = fit_once(mean(), data, 0, tmp_path, told.append)
    again, same = fit_once(mean(), data, 0, tmp_path, told.append)
    assert seconds == same and not told
    np.testing.assert_array_equal(again['mean'], fitted['mean'])
    flip(first(tmp_path / 'fitted', '**/d/*'))
    with pytest.raises(NotRead, match='fitted cannot be read .* is not as it was written'):
        read_fitted(mean(), data, 0, tmp_path)
    again, _ = fit_once(mean(), data, 0, tmp_path, told.append)
    np.testing.assert_array_equal(again['mean'], fitted['mean'])
    assert len(told) == 1 and 'fitting again' in told[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['fitted', 'unreadable-fitted']
