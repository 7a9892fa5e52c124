"""The optimizer that a config describes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.trainers.optimizer import SCHEDULES, make_optimizer, make_schedule

PARAMS = {'dense': {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}}
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def run(optimizer, grads, steps=1):
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize('name', ['sgd', 'adam', 'adamw', 'lars', 'lamb', 'lion'])
def test_weight_decay_shrinks_kernels_and_leaves_biases(name):
    options = {'b2': 0.99} if name == 'lion' else {}
    optimizer = make_optimizer(
        name=name, learning_rate=0.1, num_steps=10, weight_decay=0.5, options=options
    )
    params = run(optimizer, ZEROS)
    assert np.all(np.asarray(params['dense']['kernel']) < 1)
    np.testing.assert_array_equal(params['dense']['bias'], 1)


def test_sgd_with_decay_is_the_update_of_the_papers():
    optimizer = make_optimizer(name='sgd', learning_rate=0.1, num_steps=10, weight_decay=0.5)
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    np.testing.assert_allclose(run(optimizer, grads)['dense']['kernel'], 1 - 0.1 * 1.5, rtol=1e-6)


def test_clipping_bounds_the_global_norm():
    optimizer = make_optimizer(name='sgd', learning_rate=1.0, num_steps=10, clip_norm=0.3)
    params = run(optimizer, jax.tree.map(lambda x: 100 * jnp.ones_like(x), PARAMS))
    moved = jax.tree.map(lambda a, b: a - b, PARAMS, params)
    np.testing.assert_allclose(optax.tree.norm(moved), 0.3, rtol=1e-5)


def test_frozen_parameters_do_not_move():
    optimizer = make_optimizer(name='adam', learning_rate=0.1, num_steps=10, freeze=('kernel$',))
    params = run(optimizer, jax.tree.map(jnp.ones_like, PARAMS))
    np.testing.assert_array_equal(params['dense']['kernel'], 1)
    assert np.all(np.asarray(params['dense']['bias']) < 1)


def test_a_freeze_pattern_that_matches_nothing_is_named():
    optimizer = make_optimizer(name='adam', learning_rate=0.1, num_steps=10, freeze=('nothere',))
    with pytest.raises(ValueError, match="optimizer.freeze: 'nothere' matches no parameter"):
        optimizer.init(PARAMS)


def test_accumulation_equals_the_mean_gradient():
    plain = make_optimizer(name='sgd', learning_rate=0.1, num_steps=10)
    twice = make_optimizer(name='sgd', learning_rate=0.1, num_steps=20, accumulate=2)
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    for a, b in zip(
        jax.tree.leaves(run(plain, grads, 3)), jax.tree.leaves(run(twice, grads, 6)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_schedules_warm_up_from_zero_to_the_rate(schedule):
    rate = make_schedule(schedule, 0.4, 100, warmup_steps=10, boundaries=(0.5, 0.8))
    assert rate(0) == 0
    np.testing.assert_allclose(rate(10), 0.4, rtol=1e-6)


def test_schedules_end_where_they_say():
    ends = {s: make_schedule(s, 0.4, 100, 0, (0.5, 0.8), 0.1)(100) for s in SCHEDULES}
    np.testing.assert_allclose(
        [ends[s] for s in ('constant', 'cosine', 'linear', 'steps')], [0.4, 0, 0, 0.004], atol=1e-7
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'name': 'adamm'}, "no optimizer 'adamm'; did you mean 'adam'"),
        ({'schedule': 'cosin'}, 'optimizer.schedule: expected one of'),
        ({'warmup_steps': 11}, 'optimizer.warmup_steps: expected 0 to num_steps=10, got 11'),
        ({'accumulate': 0}, 'optimizer.accumulate: expected at least 1, got 0'),
        ({'options': {'momentums': 1}}, "optax.sgd has no argument 'momentums'"),
        ({'schedule': 'steps', 'boundaries': (2.0,)}, 'optimizer.boundaries: expected fractions'),
    ],
)
def test_wrong_settings_are_named(change, message):
    given = {'name': 'sgd', 'learning_rate': 0.1, 'num_steps': 10, **change}
    with pytest.raises(ValueError, match=message):
        make_optimizer(**given)
