"""Log-determinants against NumPy, and their gradient against finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.ops.log_determinants import log_det, log_det_of_groups


def points(n=7, d=4, c=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.uniform(size=(c, n)), rng.uniform(0.5, 3.0, size=c)


def oracle(x, weights, scales):
    found = []
    for w, s in zip(weights, scales, strict=True):
        m = np.eye(x.shape[1]) + s * sum(wi * np.outer(xi, xi) for wi, xi in zip(w, x, strict=True))
        found.append(np.linalg.slogdet(m)[1])
    return np.array(found)


def test_groups_agree_with_numpy_for_every_chunk_size_in_value_and_gradient(float64):
    x, weights, scales = map(jnp.asarray, points())
    probe = jnp.arange(1.0, 6.0)

    @functools.partial(jax.jit, static_argnums=3)
    def both(x, weights, scales, chunk_size):
        def total(*arrays):
            found = log_det_of_groups(*arrays, chunk_size)
            return jnp.sum(probe * found), found

        return jax.value_and_grad(total, (0, 1, 2), has_aux=True)(x, weights, scales)

    (_, values), grads = both(x, weights, scales, None)
    np.testing.assert_allclose(values, oracle(*points()), rtol=1e-12)
    (_, same), same_grads = both(x, weights, scales, 2)
    np.testing.assert_allclose(same, values, rtol=1e-12)
    for a, b in zip(same_grads, grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    # Central differences along one direction; the inner products with the gradients.
    step = 1e-5
    along = [np.cos(np.arange(v.size)).reshape(v.shape) for v in points()]
    ends = [
        both(*[v + sign * step * t for v, t in zip((x, weights, scales), along, strict=True)], None)
        for sign in (1, -1)
    ]
    slope = (ends[0][0][0] - ends[1][0][0]) / (2 * step)
    expected = sum(np.sum(g * t) for g, t in zip(grads, along, strict=True))
    np.testing.assert_allclose(slope, expected, rtol=1e-8)


def test_gradient_is_the_inverse_and_can_be_differentiated_again(float64):
    a = np.random.default_rng(1).normal(size=(3, 4, 4))
    m = jnp.asarray(a @ a.transpose(0, 2, 1) + np.eye(4))
    gradient, curved = jax.jit(lambda m: jax.jvp(jax.grad(lambda m: log_det(m).sum()), (m,), (m,)))(
        m
    )
    inverse = np.linalg.inv(m)
    np.testing.assert_allclose(gradient, inverse, rtol=1e-10, atol=1e-12)
    # The derivative of the inverse along M itself is minus the inverse.
    np.testing.assert_allclose(curved, -inverse, rtol=1e-9, atol=1e-12)


def test_zero_points_and_zero_weights_give_zero_and_finite_gradients():
    def total(x, weights):
        found = log_det_of_groups(x, weights, jnp.ones(2), None)
        return jnp.sum(found), found

    grad = jax.jit(jax.grad(total, (0, 1), has_aux=True))
    for x, w in [(jnp.zeros((3, 2)), jnp.ones((2, 3))), (jnp.ones((3, 2)), jnp.zeros((2, 3)))]:
        gradients, found = grad(x, w)
        np.testing.assert_array_equal(found, [0.0, 0.0])
        assert all(np.isfinite(g).all() for g in gradients)
