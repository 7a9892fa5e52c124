"""The memory bank inside the method: what a step reads, what it writes, on one device and on 8."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.methods.contrastive import contrastive_behaviour

N, B, K = 40, 16, 12
OPTIONS = dict(
    augment=dict(noise=dict(std=(0.1, 0.1))),
    encoder=dict(name='mlp', widths=(8,)),
    projection=(4,),
    negatives='bank',
    num_negatives=K,
    num_hard=5,
    temperature=0.2,
    num_samples=N,
)
IMAGES = np.random.default_rng(0).uniform(size=(N, 4, 4, 1)).astype(np.float32)


def batch_of(rows):
    rows = np.asarray(rows, np.int32)
    return {'image': jnp.asarray(IMAGES[rows]), 'index': jnp.asarray(rows)}


ROWS = np.random.default_rng(1).permutation(N)[:B]
BATCH = batch_of(ROWS)


@functools.cache
def start(**changed):
    """The method, and its parameters and extra state."""
    method = contrastive_behaviour.make(**{**OPTIONS, **changed})
    return method, *jax.jit(method.init)(jax.random.key(0), BATCH)


def value_and_grad(method):
    return jax.value_and_grad(method.loss, has_aux=True)


def test_bank_rows_of_the_batch_move_halfway_and_others_do_not():
    method, params, extra = start()
    assert extra['bank'].shape == (N, 4)
    _, (new, metrics) = jax.jit(method.loss)(params, extra, BATCH, jax.random.key(1))
    before, after = np.asarray(extra['bank']), np.asarray(new['bank'])
    others = np.setdiff1d(np.arange(N), ROWS)
    np.testing.assert_array_equal(after[others], before[others])
    assert np.all(np.linalg.norm(after[ROWS] - before[ROWS], axis=1) > 1e-3)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-5)
    # If z moved v halfway, the mean of z . v is the similarity that the step reports.
    similarity = np.sum(features_of(extra, after) * before[ROWS], axis=1)
    np.testing.assert_allclose(similarity.mean(), metrics['positive_similarity'], atol=1e-4)


def features_of(extra, after):
    """The unit features that moved the rows: the reflection of the old row at the new one."""
    old, new = np.asarray(extra['bank'])[ROWS], after[ROWS]
    return 2 * np.sum(old * new, axis=1, keepdims=True) * new - old


@pytest.mark.parametrize('loss', contrastive_behaviour.LOSSES)
def test_the_loss_over_the_whole_bank_agrees_with_loops(loss):
    method, params, extra = start(loss=loss, num_negatives=0)
    value, (new, metrics) = jax.jit(method.loss)(params, extra, BATCH, jax.random.key(2))
    bank = np.asarray(extra['bank'], np.float64)
    z = features_of(extra, np.asarray(new['bank'], np.float64))
    losses, hardest = [], []
    for anchor, row in zip(z, ROWS, strict=True):
        positive = anchor @ bank[row]
        negative = sorted((anchor @ bank[j] for j in range(N) if j != row), reverse=True)
        assert len(negative) == N - 1
        kept = negative[:5] if loss.startswith('hard') else negative
        if loss in ('softmax', 'hard'):
            exponents = np.exp(np.array([positive, *kept]) / 0.2)
            losses.append(-np.log(exponents[0] / exponents.sum()))
        else:
            losses.append(-positive + np.mean(kept))
        hardest.append(np.mean(negative[:10]))
    # The features are recovered from the bank, in float32: 1e-3.
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-3)
    np.testing.assert_allclose(metrics['hardest_similarity'], np.mean(hardest), rtol=1e-3)


def test_fewer_negatives_cost_less_and_other_keys_draw_others():
    method, params, extra = start()
    whole, *_ = start(num_negatives=0)
    loss, whole = jax.jit(method.loss), jax.jit(whole.loss)
    key = jax.random.key(3)
    few, _ = loss(params, extra, BATCH, key)
    assert few < whole(params, extra, BATCH, key)[0]
    assert few == loss(params, extra, BATCH, key)[0]
    assert few != loss(params, extra, BATCH, jax.random.key(4))[0]


def test_an_anchor_is_not_its_own_negative():
    """With the bank of equal rows, every candidate has similarity s: the loss is their number."""
    method, params, extra = start(num_negatives=0)
    same = {**extra, 'bank': jnp.broadcast_to(jnp.eye(4)[0], (N, 4))}
    value, _ = jax.jit(method.loss)(params, same, BATCH, jax.random.key(0))
    np.testing.assert_allclose(value, np.log(N), rtol=1e-5)


@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_one_device_and_eight_agree_in_value_gradient_and_bank(parallel):
    method, params, extra = start()
    key = jax.random.key(5)
    (expected, (extra_one, _)), grads = jax.jit(value_and_grad(method))(params, extra, BATCH, key)
    if parallel == 'jit':
        mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ('devices',))
        rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('devices'))
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        put = functools.partial(jax.device_put, device=whole)
        arguments = (put(params), put(extra), jax.device_put(BATCH, rows), put(key))
        (value, (extra_many, _)), grads_many = jax.jit(value_and_grad(method))(*arguments)
        banks = [extra_many['bank']]
    else:
        local = value_and_grad(contrastive_behaviour.make(**OPTIONS, axis_name='devices'))

        def shard(batch):
            (value, (extra_new, _)), grads = local(params, extra, batch, key)
            return value, extra_new['bank'], jax.lax.pmean(grads, 'devices')

        shards = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), BATCH)
        values, banks, grads_many = jax.pmap(shard, axis_name='devices')(shards)
        np.testing.assert_array_equal(values, values[0])
        value, grads_many = values[0], jax.tree.map(lambda x: x[0], grads_many)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for bank in banks:
        np.testing.assert_allclose(bank, extra_one['bank'], atol=1e-5)
    for a, b in zip(jax.tree.leaves(grads_many), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_loss_falls_and_images_find_their_own_rows():
    method, params, extra = start()
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(carry, inputs):
        params, extra, state = carry
        rows, key = inputs
        batch = {'image': jnp.asarray(IMAGES)[rows], 'index': rows}
        (value, (extra, metrics)), grads = value_and_grad(method)(params, extra, batch, key)
        updates, state = optimizer.update(grads, state, params)
        carry = (optax.apply_updates(params, updates), extra, state)
        return carry, (value, metrics['positive_similarity'])

    rows = np.concatenate([np.random.default_rng(i).permutation(N)[:32] for i in range(60)])
    rows = jnp.asarray(rows.reshape(120, B), jnp.int32)
    keys = jax.random.split(jax.random.key(6), 120)
    carry = (params, extra, optimizer.init(params))
    _, (values, positive) = jax.lax.scan(step, carry, (rows, keys))
    assert np.all(np.isfinite(values))
    assert values[-10:].mean() < values[:10].mean() - 0.5
    assert positive[-10:].mean() > 0.6 > 0.3 > abs(positive[:2].mean())


def test_outputs_are_unit_rows_that_do_not_need_the_index():
    method, params, extra = start()
    images = {'image': BATCH['image']}
    got = jax.jit(method.outputs)(params, extra, images)
    assert {k: v.shape for k, v in got.items()} == {'embedding': (B, 8), 'projection': (B, 4)}
    np.testing.assert_allclose(jnp.linalg.norm(got['projection'], axis=1), 1, rtol=1e-5)


def test_an_index_outside_the_bank_makes_the_loss_nan():
    method, params, extra = start()
    outside = {**BATCH, 'index': BATCH['index'].at[0].set(N)}
    value, _ = jax.jit(method.loss)(params, extra, outside, jax.random.key(0))
    assert np.isnan(value)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'negatives': 'queue'}, "negatives: expected one of .* got 'queue'"),
        ({'num_samples': None}, 'num_samples: needed'),
        ({'num_negatives': N}, f'num_negatives: expected 0 .all. to {N - 1}, .* got {N}'),
        ({'bank_momentum': 1.0}, 'bank_momentum: expected .* got 1.0'),
    ],
)
def test_wrong_arguments_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        contrastive_behaviour.make(**{**OPTIONS, **changed})
