"""Attention of places and channels against the original's numbers, loops, and its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.models.blocks.dual_attention import (
    ChannelAttention,
    PositionAttention,
    channel_attention,
    position_attention,
)


def channels_last(x):
    return jnp.asarray(np.moveaxis(x, 1, -1))


@pytest.fixture(scope='module')
def data(golden):
    return golden('ms_attention')


def test_position_attention_agrees_with_the_original(data):
    gamma, *parts = np.split(data['pam/weights'], np.cumsum([1, 8, 1, 8, 1, 64]))
    # In the order of its names: weight and bias of the convolutions to queries, keys, values.
    assert [str(n) for n in data['pam/names'][[1, 3, 5]]] == [
        'query_conv.weight',
        'key_conv.weight',
        'value_conv.weight',
    ]
    kernels = [kernel.reshape(-1, 8).T for kernel in parts[::2]]
    params = {
        name: {'kernel': kernel, 'bias': bias}
        for name, kernel, bias in zip(('query', 'key', 'value'), kernels, parts[1::2], strict=True)
    }
    params['gamma'] = gamma[0]
    for chunk in (0, 7):
        module = PositionAttention(chunk=chunk)
        found, attended = jax.jit(module.apply)({'params': params}, channels_last(data['pam/in0']))
        np.testing.assert_allclose(found, channels_last(data['pam/out0']), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(attended.sum((1, 2)), 1, rtol=1e-5)


def test_channel_attention_agrees_with_the_original(data):
    params = {'gamma': data['cam/weights'][0]}
    apply = jax.jit(ChannelAttention().apply)
    found = apply({'params': params}, channels_last(data['cam/in0']))
    np.testing.assert_allclose(found, channels_last(data['cam/out0']), rtol=1e-4, atol=1e-5)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


RNG = np.random.default_rng(0)
QUERY, KEY = RNG.normal(size=(2, 2, 10, 3))
VALUE = RNG.normal(size=(2, 10, 4))


def test_position_attention_agrees_with_loops_in_value_and_gradient(float64):
    given = tuple(jnp.asarray(x) for x in (QUERY, KEY, VALUE))
    apply = jax.jit(position_attention)
    taken, received = apply(*given)
    for b in range(2):
        weights = np.stack([softmax(KEY[b] @ q) for q in QUERY[b]])
        np.testing.assert_allclose(taken[b], weights @ VALUE[b], rtol=1e-10)
        np.testing.assert_allclose(received[b], weights.mean(0), rtol=1e-10)
    check_grads(apply, given, 1, ('rev',), rtol=1e-4)


@functools.partial(jax.jit, static_argnums=3)
def pull_back(query, key, value, chunk):
    """Both results, and the gradients of a product with them."""

    def product(*given):
        taken, received = position_attention(*given, chunk=chunk)
        return jnp.sum(taken * jnp.cos(taken)) + jnp.sum(received**2), (taken, received)

    return jax.grad(product, argnums=(0, 1, 2), has_aux=True)(query, key, value)


@pytest.mark.parametrize('chunk', [1, 4, 5, 9])
def test_blocks_of_queries_give_the_same_values_and_gradients(chunk):
    given = tuple(jnp.asarray(x, jnp.float32) for x in (QUERY, KEY, VALUE))
    whole, blocks = pull_back(*given, 0), pull_back(*given, chunk)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, blocks, whole)


def test_blocks_do_not_hold_the_whole_attention():
    n = 512
    x = jax.ShapeDtypeStruct((1, n, 2), jnp.float32)

    def largest(chunk):
        grad = jax.grad(lambda *g: jnp.sum(position_attention(*g, chunk=chunk)[0]), (0, 1, 2))
        return jax.jit(grad).lower(x, x, x).compile().memory_analysis().temp_size_in_bytes

    assert largest(0) >= 4 * n * n > 2 * largest(32)


def test_channel_attention_agrees_with_loops_in_value_and_gradient(float64):
    x = VALUE
    apply = jax.jit(channel_attention)
    found = apply(jnp.asarray(x))
    for b in range(2):
        energy = x[b].T @ x[b]
        for i in range(4):
            weights = softmax(energy[i].max() - energy[i])
            np.testing.assert_allclose(found[b, :, i], x[b] @ weights, rtol=1e-10)
    check_grads(apply, (jnp.asarray(x),), 1, ('rev',), rtol=1e-4)


def test_a_channel_takes_least_from_the_ones_like_it():
    # Channels 0 and 1 are the same, 2 is their opposite.
    a = np.random.default_rng(1).normal(size=30)
    found = channel_attention(jnp.asarray(np.stack([a, a, -a], -1)[None], jnp.float32))
    np.testing.assert_allclose(found[0, :, 0], -a, rtol=1e-3)


@pytest.mark.parametrize('module', [PositionAttention(), ChannelAttention()])
def test_at_the_start_a_module_is_the_identity_and_order_of_places_moves_with_them(module):
    x = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 4, 8)), jnp.float32)
    variables = module.init(jax.random.key(0), x)

    def first(given, variables):
        found = module.apply(variables, given)
        return found[0] if isinstance(found, tuple) else found

    np.testing.assert_array_equal(first(x, variables), x)
    moved = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + 0.7 if 'gamma' in str(path) else leaf, variables
    )
    assert np.abs(first(x, moved) - x).max() > 0.01
    turned = first(x[:, ::-1, ::-1], moved)
    np.testing.assert_allclose(turned, first(x, moved)[:, ::-1, ::-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('scale', [0.0, 1e-20, 1e4])
def test_zeros_ties_and_large_maps_are_finite(scale):
    x = jnp.asarray(scale * VALUE, jnp.float32)
    values = [
        jax.value_and_grad(lambda x: jnp.sum(position_attention(x, x, x)[0]))(x),
        jax.value_and_grad(lambda x: jnp.sum(channel_attention(x)))(x),
    ]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))
    if scale == 0:
        _, received = position_attention(x, x, x)
        np.testing.assert_allclose(received, 0.1, rtol=1e-6)


def test_a_negative_chunk_is_refused():
    x = jnp.zeros((1, 4, 2))
    with pytest.raises(ValueError, match='chunk: expected 0 or more, got -1'):
        position_attention(x, x, x, chunk=-1)
