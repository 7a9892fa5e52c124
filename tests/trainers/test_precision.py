"""Layers in half precision, everything around them in float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.method import Method
from jaxsep.trainers.precision import compute_in


class Network(nn.Module):
    """A layer, a norm with running statistics, a layer that insists on float32."""

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(8)(x))
        return nn.Dense(4)(x), nn.Dense(1, dtype=jnp.float32, name='exact')(x)


@pytest.fixture(scope='module')
def learnt():
    """The method, params, statistics and batch; its loss shows what it was given."""
    network, seen = Network(), {}
    x = jax.random.normal(jax.random.key(1), (16, 6))
    variables = jax.jit(network.init)(jax.random.key(0), x)

    def loss(params, extra, batch, key):
        found, extra = network.apply(
            {'params': params, **extra}, batch['x'], mutable=['batch_stats']
        )
        seen['dtypes'] = [y.dtype for y in found]
        return sum(jnp.mean(y * y) for y in found), (extra, {})

    method = Method(None, loss, None)
    extra = {'batch_stats': variables['batch_stats']}
    return method, (variables['params'], extra, {'x': x}, jax.random.key(2)), seen


def products(loss, arguments):
    """Result dtypes of all matrix products of the loss."""
    closed = jax.make_jaxpr(loss)(*arguments)
    return [
        str(equation.outvars[0].aval.dtype)
        for equation in closed.jaxpr.eqns if equation.primitive.name == 'dot_general'
    ]  # fmt: skip


def test_layers_multiply_in_bfloat16_unless_they_name_a_dtype(learnt):
    method, arguments, seen = learnt
    assert products(method.loss, arguments) == ['float32'] * 3
    assert products(compute_in(method, 'bfloat16').loss, arguments) == [
        'bfloat16',
        'bfloat16',
        'float32',
    ]
    assert seen['dtypes'] == [jnp.float32] * 2, 'a loss sees float32'
    assert products(method.loss, arguments) == ['float32'] * 3, 'the method itself is as it was'


def test_value_gradient_and_statistics_stay_float32_and_come_close(learnt):
    method, arguments, _ = learnt
    exact, half = (
        jax.jit(jax.value_and_grad(m.loss, has_aux=True))(*arguments)
        for m in (method, compute_in(method, 'bfloat16'))
    )
    largest = max(np.abs(x).max() for x in jax.tree.leaves(exact[1]))
    for x, y in zip(jax.tree.leaves(exact), jax.tree.leaves(half), strict=True):
        assert x.dtype == y.dtype
        # bfloat16 keeps 8 bits, and a bias before a norm has no gradient but rounding.
        np.testing.assert_allclose(y, x, rtol=0.05, atol=0.02 * largest)
    (value, _), _ = exact
    assert value != half[0][0]


def test_float32_leaves_the_method_as_it_is(learnt):
    assert compute_in(learnt[0], 'float32') is learnt[0]
