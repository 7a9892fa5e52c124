"""The Fenchel-Young loss of entmax against the golden numbers and its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.test_util import check_grads

from jaxsep.losses import entmax as losses
from jaxsep.ops import entmax as ops

# Compiled: one program a call in place of one an operation.
entmax_loss = jax.jit(losses.entmax_loss, static_argnums=2)
entmax = jax.jit(ops.entmax, static_argnums=1)
value_and_grad = jax.jit(jax.value_and_grad(losses.entmax_loss))


def test_golden_value_and_gradient(golden, float64):
    a = golden('shared_retrieval')
    loss, grad = value_and_grad(a['entmax/x'], a['entmax/loss15/target'])
    np.testing.assert_allclose(loss, a['entmax/loss15/loss'], rtol=1e-12)
    np.testing.assert_allclose(grad, a['entmax/loss15/grad'], rtol=1e-9, atol=1e-14)


def batch(seed=0, b=8, k=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(b, k)) * 2, rng.integers(0, k, b)


def test_it_is_the_largest_score_plus_entropy_minus_the_own_score(float64):
    """L = max_p [p.x + H(p)] - x_y: no distribution of a random sample does better."""
    x, labels = batch()
    samples = np.random.default_rng(1).dirichlet(np.full(5, 0.5), size=4000)
    for alpha in (1.3, 1.5, 2.0):

        def entropy(p, alpha=alpha):
            return (1 - (p**alpha).sum(-1)) / (alpha * (alpha - 1))

        sampled = (samples @ x.T + entropy(samples)[:, None]).max(axis=0)
        p = np.asarray(entmax(x, alpha))
        best = np.sum(p * x, axis=1) + entropy(p)
        assert (sampled <= best + 1e-9).all()
        own = x[np.arange(8), labels]
        np.testing.assert_allclose(entmax_loss(x, labels, alpha), np.mean(best - own), rtol=1e-9)


def test_alpha_1_is_cross_entropy_and_gradients_are_those_of_the_function(float64):
    x, labels = batch(1)
    expected = -np.mean(scipy.special.log_softmax(x, axis=1)[np.arange(8), labels])
    np.testing.assert_allclose(entmax_loss(x, labels, 1.0), expected, rtol=1e-10)
    for alpha in (1.0, 1.5, 2.0):
        check_grads(lambda x, a=alpha: entmax_loss(x, labels, a), (x,), order=1, modes=['rev'])


def test_it_is_0_with_zero_gradient_beyond_a_finite_margin():
    x = np.array([[2.0, 0.0, -np.inf], [1e4, 0.0, -1e4]], np.float32)
    loss, grad = jax.device_get(value_and_grad(x, np.array([0, 0])))
    assert loss == 0 and (grad == 0).all()
    assert np.isfinite(entmax_loss(x, np.array([1, 2])))
    assert entmax_loss(np.zeros((0, 3), np.float32), np.zeros(0, np.int32)) == 0


def test_one_device_and_eight_agree(same_on_eight_devices):
    x, labels = map(jnp.asarray, batch(2))
    same_on_eight_devices(functools.partial(losses.entmax_loss, alpha=1.5), x, labels)
