import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.sinkhorn import sinkhorn

balance = jax.jit(sinkhorn, static_argnames=('eps', 'num_iterations'))


def scores(seed=0, b=8, k=5):
    return np.random.default_rng(seed).uniform(-1, 1, (b, k)).astype(np.float32)


@pytest.mark.parametrize('case', ['sinkhorn_eps0.05', 'sinkhorn_eps0.5'])
def test_agrees_with_the_original(golden, case):
    arrays = golden('shared_ssl_losses')
    got = balance(
        jnp.asarray(arrays[f'{case}/scores']),
        eps=float(arrays[f'{case}/eps']),
        num_iterations=int(arrays[f'{case}/iters']),
    )
    np.testing.assert_allclose(got, arrays[f'{case}/Q'], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('num_iterations', [1, 3])
def test_agrees_with_the_plain_form_in_exponentials(float64, num_iterations):
    given = scores(1).astype(np.float64)
    q = np.exp(given / 0.05)
    for _ in range(num_iterations):
        for j in range(5):
            q[:, j] /= q[:, j].sum() * 5
        for i in range(8):
            q[i] /= q[i].sum() * 8
    got = balance(jnp.asarray(given), num_iterations=num_iterations)
    np.testing.assert_allclose(got, q * 8, rtol=1e-10)


def test_rows_sum_to_one_at_once_and_columns_are_balanced_in_the_end():
    few, many = (balance(jnp.asarray(scores(2)), num_iterations=n) for n in (1, 3000))
    for q in (few, many):
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(few.sum(axis=0)) > 0.1
    np.testing.assert_allclose(many.sum(axis=0), 8 / 5, rtol=1e-3)


def test_the_order_of_rows_and_columns_and_a_common_constant_do_not_matter():
    given = jnp.asarray(scores(3))
    rows, columns = np.arange(8)[::-1], np.array([2, 0, 4, 1, 3])
    q = balance(given)
    np.testing.assert_allclose(
        balance(given[rows][:, columns]), q[rows][:, columns], rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(balance(given + 0.5), q, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        balance(given + jnp.arange(5.0)[None]), q, rtol=1e-3, atol=1e-6
    )  # a prototype that everybody likes more gets no more


def test_equal_scores_are_shared_and_an_easy_balance_is_found():
    np.testing.assert_allclose(balance(jnp.zeros((8, 5))), 1 / 5, rtol=1e-6)
    np.testing.assert_allclose(balance(jnp.eye(8, 8)), np.eye(8), atol=1e-6)


def test_huge_scores_and_half_precision_give_finite_float32():
    given = jnp.asarray(scores(4))
    for hard in (given * 1e4, jnp.full((8, 5), 1e4), given.astype(jnp.bfloat16)):
        q = balance(hard)
        assert q.dtype == jnp.float32
        assert np.all(np.isfinite(q))
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)


def test_no_gradient_flows_through():
    gradient = jax.jit(jax.grad(lambda s: jnp.sum(jnp.square(sinkhorn(s)))))(scores(5))
    np.testing.assert_array_equal(gradient, 0)


def test_nothing_is_assigned_without_rows_or_prototypes():
    assert sinkhorn(jnp.zeros((0, 5))).shape == (0, 5)
    assert sinkhorn(jnp.zeros((5, 0))).shape == (5, 0)


def test_columns_are_balanced_over_all_devices():
    given = scores(6, 16)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ('devices',))
    local = functools.partial(sinkhorn, axis_name='devices')
    rows = jax.P('devices')
    mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=rows, out_specs=rows))(given)
    np.testing.assert_allclose(mapped, balance(given), rtol=1e-4, atol=1e-7)
    parallel = jax.pmap(local, axis_name='devices')(given.reshape(8, 2, 5))
    np.testing.assert_allclose(parallel.reshape(16, 5), balance(given), rtol=1e-4, atol=1e-7)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='eps must be positive, got 0'):
        sinkhorn(jnp.zeros((2, 2)), eps=0.0)
    with pytest.raises(ValueError, match='num_iterations must be at least 1, got 0'):
        sinkhorn(jnp.zeros((2, 2)), num_iterations=0)
