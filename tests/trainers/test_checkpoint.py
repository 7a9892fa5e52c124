"""Checkpoints: exact, kept by policy, and never trusted blindly."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.trainers import state as states
from jaxsep.trainers.checkpoint import Checkpoints


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


def test_a_truncated_newest_checkpoint_falls_back_and_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(make(step, step), {'seconds': 0.0})
    checkpoints.close()
    damage(tmp_path / '2')
    told = []
    again = Checkpoints(tmp_path)
    state, _ = again.restore(make(0), warn=told.append)
    assert_equal(state, make(1, 1))
    assert len(told) == 1 and told[0].startswith('checkpoint 2 cannot be read')
    assert (tmp_path / 'unreadable-2').exists(), 'nothing is deleted'
    again.save(make(2, 2), {'seconds': 0.0})
    again.close()


def test_when_no_checkpoint_can_be_read_nothing_is_started_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(1), {'seconds': 0.0})
    checkpoints.close()
    damage(tmp_path / '1')
    again = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match='none of the checkpoints .1. in .* can be read'):
        again.restore(make(0), warn=lambda _: None)
    again.close()


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make(0)) is None
    checkpoints.close()
