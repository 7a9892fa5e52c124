"""The second stage, and what passes to it; the contract suite runs the first."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.club import gaussian_nll
from jaxsep.methods.contrastive import mrdd
from jaxsep.models.mrdd import ConditionalGaussian
from jaxsep.ops.devices import example_keys
from jaxsep.trainers.state import take_over

OPTIONS = dict(
    network={'name': 'dense', 'widths': (12,)},
    consistent_size=3,
    specific_size=2,
    estimator_hidden=4,
    estimator_steps=3,
    estimator_learning_rate=0.01,
)
make = functools.partial(mrdd.make, **OPTIONS)
METHOD = make(stage='disentangle')


def batch():
    views = np.random.default_rng(0).integers(0, 256, (16, 2, 4, 4, 1)).astype(np.uint8)
    return {'views': views, 'index': np.arange(16, dtype=np.int32)}


@functools.cache
def started():
    return jax.jit(METHOD.init)(jax.random.key(0), batch())


@functools.cache
def stepped():
    both = jax.jit(jax.value_and_grad(METHOD.loss, has_aux=True))
    return both(*started(), batch(), jax.random.key(1))


def test_no_gradient_reaches_the_common_code_and_every_other_parameter_gets_one():
    _, gradients = stepped()
    for leaf in jax.tree.leaves(gradients['consistency']):
        np.testing.assert_array_equal(leaf, 0)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients['specific']))


def test_the_estimator_gets_better_on_the_codes_that_the_autoencoders_drew():
    """The codes and their price again, written out: q is updated on likelihood alone."""
    (_, (extra, metrics)), _ = stepped()
    (params, before), views = started(), jnp.asarray(batch()['views'], jnp.float32) / 255
    outputs = jax.jit(METHOD.outputs)(params, before, batch())
    c = outputs['consistent']
    c = (c - c.mean(0, keepdims=True)) / c.std(0, keepdims=True)
    keys = example_keys(jax.random.key(1), 16, None)
    noise = jax.vmap(lambda key: jax.random.normal(key, (2, 2)))(keys)
    codes = []
    for view in range(2):
        own = jax.tree.map(lambda x, view=view: x[view], params['specific'])
        hidden = own['encoder']['Dense_0'], own['to_code']
        x = views[:, view].reshape(16, -1)
        x = jax.nn.relu(x @ hidden[0]['kernel'] + hidden[0]['bias'][None])
        mean, log_variance = jnp.split(x @ hidden[1]['kernel'] + hidden[1]['bias'][None], 2, axis=1)
        codes.append(mean + jnp.exp(log_variance / 2) * noise[:, view])
    q = ConditionalGaussian(3, 4)

    @jax.jit
    def price(estimator, codes, c):
        each = [
            gaussian_nll(*q.apply(jax.tree.map(lambda x, v=v: x[v], estimator), codes[v]), c)
            for v in range(2)
        ]
        return sum(each) / 2

    paid = [price(e['estimator'], codes, c) for e in (before, extra)]
    np.testing.assert_allclose(metrics['estimator_nll'], paid[0], rtol=1e-4)
    assert paid[1] < paid[0] - 0.01
    assert extra['estimator_optimizer'][0].count == 3


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_the_second_stage_is_the_same_on_eight_devices(parallel):
    (value, (extra, _)), gradients = stepped()
    if parallel == 'jit':
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ('devices',))
        rows = jax.device_put(batch(), jax.sharding.NamedSharding(mesh, jax.P('devices')))
        whole = jax.device_put(started(), jax.sharding.NamedSharding(mesh, jax.P()))
        both = jax.jit(jax.value_and_grad(METHOD.loss, has_aux=True))
        (got, (got_extra, _)), got_gradients = both(*whole, rows, jax.random.key(1))
    else:
        local = make(stage='disentangle', axis_name='devices')

        def shard(params, extra, rows, key):
            grad = jax.value_and_grad(local.loss, has_aux=True)
            (value, (extra, _)), gradients = grad(params, extra, rows, key)
            return value, extra, jax.lax.pmean(gradients, 'devices')

        shards = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch())
        run = jax.pmap(shard, 'devices', in_axes=(None, None, 0, None), out_axes=None)
        got, got_extra, got_gradients = run(*started(), shards, jax.random.key(1))
    np.testing.assert_allclose(got, value, rtol=1e-5)
    for x, y in zip(
        jax.tree.leaves((got_gradients, got_extra)), jax.tree.leaves((gradients, extra)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_the_encoder_of_the_first_stage_passes_to_the_second_whole():
    first, _ = jax.jit(make().init)(jax.random.key(7), batch())
    params, extra = started()
    merged, taken = take_over(params, first)
    assert len(taken) == len(jax.tree.leaves(params['consistency']))
    for x, y in zip(
        jax.tree.leaves(merged['consistency']),
        jax.tree.leaves({k: first['consistency'][k] for k in params['consistency']}),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y)


def test_codes_are_the_same_again_and_drawn_anew_for_another_example():
    outputs = jax.jit(METHOD.outputs)
    given = batch()
    once, again = outputs(*started(), given), outputs(*started(), given)
    moved = outputs(*started(), {**given, 'index': given['index'] + 1})
    np.testing.assert_array_equal(once['specific_1'], again['specific_1'])
    np.testing.assert_array_equal(once['consistent'], moved['consistent'])
    assert np.abs(once['specific_1'] - moved['specific_1']).max() > 0.1
    both = np.concatenate([once['consistent'], once['specific_0']], axis=1)
    np.testing.assert_array_equal(once['embedding'], both)


def test_plain_autoencoders_do_not_see_the_common_code():
    plain = make(stage='disentangle', conditional=False, bound_weight=0.0)
    params, extra = jax.jit(plain.init)(jax.random.key(0), batch())
    assert params['specific']['to_features']['Dense_0']['kernel'].shape == (2, 2, 12)
    loss = jax.jit(plain.loss)
    changed = {**params, 'consistency': jax.tree.map(lambda x: x + 1, params['consistency'])}
    values = [loss(p, extra, batch(), jax.random.key(1))[0] for p in (params, changed)]
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_constant_columns_are_standardised_to_nothing():
    values = jnp.stack([jnp.arange(4.0), jnp.full(4, 3.0)], axis=1)
    got = mrdd.standardized(values, None)
    np.testing.assert_allclose(got[:, 0], (np.arange(4) - 1.5) / np.sqrt(1.25), rtol=1e-6)
    np.testing.assert_array_equal(got[:, 1], 0)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"stage: expected one of .*, got 'both'"):
        make(stage='both')
    with pytest.raises(ValueError, match='estimator_steps: expected at least 1, got 0'):
        mrdd.make(**{**OPTIONS, 'estimator_steps': 0})
    with pytest.raises(ValueError, match='best_view: expected 0 to 1, got 2'):
        jax.eval_shape(make(stage='disentangle', best_view=2).init, jax.random.key(0), batch())
