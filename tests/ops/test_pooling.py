"""Generalised-mean pooling against the golden numbers and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops.pooling import gem


@pytest.mark.parametrize('p', [1.0, 3.0, 4.5])
def test_golden_value_and_gradient(golden, p):
    a = golden('shared_retrieval')
    x = jnp.asarray(a['gem/x'])
    pooled, pull = jax.vjp(lambda x: gem(x, p, axes=(2, 3), eps=float(a['gem/eps'])), x)
    np.testing.assert_allclose(pooled, a[f'gem/p{p}/out'], rtol=1e-5)
    (grad,) = pull(jnp.ones_like(pooled))
    np.testing.assert_allclose(grad, a[f'gem/p{p}/grad'], rtol=1e-4, atol=1e-6)


def test_it_lies_between_the_mean_and_the_largest_and_commutes_with_scale():
    x = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, size=(2, 3, 4, 5)), jnp.float32)
    mean, middle, top = gem(x, 1.0), gem(x), gem(x, 400.0)
    assert (mean < middle).all() and (middle < top).all()
    np.testing.assert_allclose(mean, x.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(top, x.max(axis=(1, 2)), rtol=1e-2)
    np.testing.assert_allclose(gem(1e9 * x, 20.0), 1e9 * gem(x, 20.0), rtol=1e-5)


def test_gradients_in_the_features_and_in_p(float64):
    x = jnp.asarray(np.random.default_rng(1).uniform(0.1, 1, size=(1, 2, 3, 2)))
    check_grads(jax.jit(gem), (x, jnp.asarray(2.5)), order=1)


def test_a_dark_map_has_finite_gradients_at_large_p():
    grads = jax.grad(lambda x, p: gem(x, p).sum(), argnums=(0, 1))(jnp.zeros((1, 2, 2, 1)), 12.0)
    assert all(jnp.isfinite(g).all() for g in grads)
