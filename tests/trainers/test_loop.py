"""The loop: logging, stopping, saving, resuming, on a method small enough to see through."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.errors import Interrupted, NonFiniteLoss
from jaxsep.method import Method
from jaxsep.trainers import loop
from jaxsep.trainers.checkpoint import Checkpoints


def regression(axis_name=None, poison_at=None):
    """Least squares with noise from the key, and a running mean in extra."""

    def init(key, batch):
        w = jax.random.normal(key, (batch['x'].shape[1],))
        return {'w': w}, {'mean': jnp.zeros(()), 'step': jnp.int32(0)}

    def loss(params, extra, batch, key):
        noise = 0.01 * jax.random.normal(key, ())
        error = jnp.mean((batch['x'] @ params['w'] - batch['y']) ** 2)
        if poison_at is not None:
            error = jnp.where(extra['step'] + 1 == poison_at, jnp.nan, error)
        mean = 0.9 * extra['mean'] + 0.1 * jnp.mean(batch['y'])
        if axis_name is not None:
            mean = jax.lax.pmean(mean, axis_name)
        return error + noise, ({**extra, 'mean': mean}, {'error': error})

    def outputs(params, extra, batch):
        return {'prediction': batch['x'] @ params['w']}

    return Method(init, loss, outputs, lambda params, extra, step: {**extra, 'step': step})


def batches(start):
    for step in range(start, 1000):
        rng = np.random.default_rng(step)
        x = rng.normal(size=(8, 3)).astype(np.float32)
        yield {'x': x, 'y': x @ np.float32([1, -2, 3]), 'index': np.arange(8, dtype=np.int32)}


def train(workdir, num_steps=12, method=None, **options):
    given = {'log_every': 2, 'checkpoint_every': 4, **options}
    return loop.train(
        method or regression(),
        optax.adam(0.1),
        batches,
        workdir=workdir,
        num_steps=num_steps,
        **given,
    )


def lines(workdir):
    return [json.loads(x) for x in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_metrics_are_means_over_the_steps_since_the_last_line(tmp_path):
    train(tmp_path / 'every', log_every=1)
    train(tmp_path / 'second', log_every=2)
    each = [x['loss'] for x in lines(tmp_path / 'every')]
    pairs = [x['loss'] for x in lines(tmp_path / 'second')]
    np.testing.assert_allclose(pairs, np.reshape(each, (-1, 2)).mean(1), rtol=1e-6)
    assert [x['step'] for x in lines(tmp_path / 'second')] == [2, 4, 6, 8, 10, 12]


def test_a_nan_stops_the_run_and_names_step_metric_and_checkpoint(tmp_path):
    with pytest.raises(NonFiniteLoss, match='loss is nan at step 6; last good checkpoint: step 4'):
        train(tmp_path, method=regression(poison_at=6))
    assert Checkpoints(tmp_path / 'checkpoints').steps() == [4]


def test_a_nan_is_found_before_a_checkpoint_is_written(tmp_path):
    with pytest.raises(NonFiniteLoss, match='at step 3; last good checkpoint: none'):
        train(tmp_path, method=regression(poison_at=3), log_every=100)
    assert Checkpoints(tmp_path / 'checkpoints').steps() == []


def test_sigterm_saves_and_the_resumed_run_is_bit_equal(tmp_path):
    expected = train(tmp_path / 'whole').state

    def interrupted(start):
        for step, batch in enumerate(batches(start), start):
            if step == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with pytest.raises(Interrupted, match='step 7 is saved'):
        loop.train(
            regression(), optax.adam(0.1), interrupted, workdir=tmp_path / 'cut', num_steps=12,
            log_every=100, checkpoint_every=100,
        )  # fmt: skip
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    resumed = train(tmp_path / 'cut').state
    for a, b in zip(jax.tree.leaves(expected[:-1]), jax.tree.leaves(resumed[:-1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_signal_in_the_middle_of_a_step_is_answered_after_the_next_one(tmp_path):
    def evaluate(state):
        os.kill(os.getpid(), signal.SIGTERM)
        return {'test/score': 0.0}

    with pytest.raises(Interrupted, match='step 3 is saved'):
        train(tmp_path, evaluate=evaluate, eval_every=2, log_every=100, checkpoint_every=100)
    assert Checkpoints(tmp_path / 'checkpoints').steps() == [3]


def test_lines_of_steps_that_were_not_saved_are_written_once(tmp_path):
    train(tmp_path)
    with (tmp_path / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 13, "loss": 1.0}\n{"step": 14, "lo')
    train(tmp_path)
    assert [x['step'] for x in lines(tmp_path)] == [2, 4, 6, 8, 10, 12]


def test_a_finished_run_trains_no_further(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path)
    np.testing.assert_array_equal(first.state.params['w'], again.state.params['w'])


def test_the_constraint_holds_after_every_step_and_refresh_sees_it(tmp_path):
    def constrain(params):
        return jax.tree.map(lambda x: x / jnp.linalg.norm(x), params)

    seen = regression()._replace(
        constrain=constrain,
        refresh=lambda params, extra, step: {'mean': jnp.linalg.norm(params['w']), 'step': step},
    )
    state = train(tmp_path, method=seen, num_steps=3).state
    np.testing.assert_allclose(np.linalg.norm(state.params['w']), 1, rtol=1e-6)
    np.testing.assert_allclose(state.extra['mean'], 1, rtol=1e-6)


def test_pmap_and_jit_train_alike(tmp_path):
    jitted = train(tmp_path / 'jit', num_devices=4).state
    mapped = train(
        tmp_path / 'pmap', num_devices=4, parallel='pmap', method=regression('devices')
    ).state
    np.testing.assert_allclose(mapped.params['w'], jitted.params['w'], rtol=1e-5)
    np.testing.assert_allclose(mapped.extra['mean'], jitted.extra['mean'], rtol=1e-5)


def test_a_run_of_one_back_end_is_resumed_by_the_other(tmp_path):
    train(tmp_path, num_steps=12, checkpoint_every=4, parallel='pmap', method=regression('devices'))
    import shutil

    shutil.rmtree(tmp_path / 'checkpoints' / '12')
    resumed = train(tmp_path).state
    whole = train(tmp_path / 'whole').state
    np.testing.assert_allclose(resumed.params['w'], whole.params['w'], rtol=1e-5)


def scores(values):
    left = iter(values)
    return lambda state: {'test/score': next(left)}


@pytest.mark.parametrize(
    ('mode', 'values', 'stops_at', 'best'),
    [
        ('max', [1, 3, 2, 2, 9, 9], 8, 4),
        ('min', [3, 1, 2, 2, 0, 0], 8, 4),
        ('max', [1, 2, 3, 4, 5, 6], 12, 12),
    ],
)
def test_patience_stops_and_the_best_checkpoint_is_kept(tmp_path, mode, values, stops_at, best):
    selection = loop.Selection('test/score', mode, patience=2)
    result = train(
        tmp_path, evaluate=scores(values), eval_every=2, selection=selection, checkpoint_every=100
    )
    assert int(result.state.step) == stops_at
    assert result.best_step == best
    kept = Checkpoints(tmp_path / 'checkpoints', 'test/score', mode).steps()
    assert best in kept and stops_at in kept and len(kept) <= 3


def test_batches_that_do_not_divide_over_devices_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match='batch_size: 8 rows cannot be split evenly over 3 devices'
    ):
        train(tmp_path, num_devices=3)


def test_more_devices_than_there_are_is_refused(tmp_path):
    with pytest.raises(ValueError, match='num_devices: expected 0 .all. to 8, got 9'):
        train(tmp_path, num_devices=9)
