"""What makes one device and many agree."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.ops import devices


def pmap(function):
    return jax.pmap(function, axis_name='devices')


def test_gathered_rows_come_in_device_order():
    x = jnp.arange(24.0).reshape(8, 3, 1)
    gathered = pmap(lambda rows: devices.gather(rows, 'devices'))(x)
    for rows in gathered:
        np.testing.assert_array_equal(rows, x.reshape(24, 1))
    np.testing.assert_array_equal(devices.gather(x, None), x)


def test_the_mean_gradient_of_a_gathered_loss_is_the_gradient_of_the_global_batch():
    """The error that others shipped: local negatives, or a factor of the world size."""
    x = jax.random.normal(jax.random.key(0), (16, 4))
    w = jax.random.normal(jax.random.key(1), (4, 5))

    def pairwise(z):
        return jax.nn.logsumexp(z @ z.T)

    value, grad = jax.jit(jax.value_and_grad(lambda w: pairwise(x @ w)))(w)

    def shard(rows):
        def loss(w):
            return pairwise(devices.gather(rows @ w, 'devices'))

        return jax.lax.pmean(jax.value_and_grad(loss)(w), 'devices')

    values, grads = pmap(shard)(x.reshape(8, 2, 4))
    np.testing.assert_allclose(values, value, rtol=1e-5)
    np.testing.assert_allclose(grads[0], grad, rtol=1e-4, atol=1e-5)


def test_example_keys_do_not_depend_on_the_number_of_devices():
    key = jax.random.key(3)
    whole = jax.random.key_data(devices.example_keys(key, 16, None))

    def shard(_):
        return jax.random.key_data(devices.example_keys(key, 2, 'devices'))

    shards = pmap(shard)(jnp.zeros(8))
    np.testing.assert_array_equal(shards.reshape(whole.shape), whole)


def test_means_are_over_the_rows_of_all_devices():
    x = jnp.arange(16.0).reshape(8, 2)
    np.testing.assert_allclose(pmap(lambda rows: devices.mean(rows, 'devices'))(x), x.mean())
    assert devices.mean(x.reshape(-1), None) == x.mean()
