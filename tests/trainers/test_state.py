"""The training state and what passes between stages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsep.method import Method
from jaxsep.trainers import state as states


def teacher_student():
    def init(key, batch):
        params = {'w': jax.random.normal(key, (3,))}
        return params, {'teacher': params, 'momentum': 0.9}

    return Method(init, lambda *a: None, lambda *a: {})


def test_a_teacher_that_starts_as_a_copy_shares_no_buffer():
    batch = {'index': np.zeros(8, np.int32)}
    state = states.create(teacher_student(), optax.sgd(0.1), 0, batch, states.make_mesh(8))
    np.testing.assert_array_equal(state.params['w'], state.extra['teacher']['w'])
    donate = jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)
    again = donate(state)
    np.testing.assert_array_equal(again.params['w'], again.extra['teacher']['w'])
    assert not again.extra['momentum'].weak_type


def test_the_same_seed_gives_the_same_state_on_any_number_of_devices():
    batch = {'index': np.zeros(8, np.int32)}
    one, eight = (
        states.create(teacher_student(), optax.sgd(0.1), 3, batch, states.make_mesh(n))
        for n in (1, 8)
    )
    np.testing.assert_array_equal(one.params['w'], eight.params['w'])


def test_only_arrays_of_the_same_path_shape_and_dtype_are_taken_over():
    new = {'a': jnp.zeros(2), 'b': jnp.zeros(3), 'c': jnp.zeros(2, jnp.int32), 'd': jnp.zeros(1)}
    old = {'a': jnp.ones(2), 'b': jnp.ones(4), 'c': jnp.ones(2)}
    merged, taken = states.take_over(new, old)
    assert taken == ["['a']"]
    assert [float(merged[k].sum()) for k in 'abcd'] == [2, 0, 0, 0]


def test_what_begin_copies_shares_no_buffer():
    method = teacher_student()._replace(
        begin=lambda params, extra: (params, {**extra, 'teacher': params})
    )
    batch, mesh = {'index': np.zeros(8, np.int32)}, states.make_mesh(8)
    fresh = states.create(method, optax.sgd(0.1), 0, batch, mesh)
    fresh = fresh._replace(params={'w': fresh.params['w'] + 1})  # as if taken over
    begun = states.begin(method, fresh, mesh)
    np.testing.assert_array_equal(begun.extra['teacher']['w'], begun.params['w'])
    donate = jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)
    np.testing.assert_array_equal(donate(begun).extra['teacher']['w'], fresh.params['w'])
