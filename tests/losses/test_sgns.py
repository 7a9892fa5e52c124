"""Skip-gram with negative sampling against the golden numbers and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from jaxsep.losses.sgns import sgns_loss


def test_golden_value_and_gradient_of_the_mean(golden, float64):
    a = golden('shared_retrieval')
    args = [jnp.asarray(a[f'sgns/{name}']) for name in ('center', 'context', 'negatives')]
    np.testing.assert_allclose(sgns_loss(*args), a['sgns/per_pair'], rtol=1e-12)
    grad = jax.grad(lambda *args: sgns_loss(*args).mean())(*args)
    np.testing.assert_allclose(grad, a['sgns/grad_center'], rtol=1e-9, atol=1e-14)
    check_grads(jax.jit(sgns_loss), args, order=1, modes=['rev'])


def test_each_pair_is_a_sum_of_logistic_losses():
    rng = np.random.default_rng(0)
    center, context = rng.normal(size=(2, 3, 4)).astype(np.float32)
    negatives = rng.normal(size=(3, 2, 4)).astype(np.float32)

    def sigmoid(t):
        return 1 / (1 + np.exp(-t))

    expected = [
        -np.log(sigmoid(c @ o)) - sum(np.log(sigmoid(-(c @ n))) for n in ns)
        for c, o, ns in zip(center, context, negatives, strict=True)
    ]
    found = sgns_loss(jnp.asarray(center), jnp.asarray(context), jnp.asarray(negatives))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_it_is_finite_at_extreme_products_and_without_negatives():
    large = jnp.full((1, 1), 100.0)
    loss, grad = jax.value_and_grad(lambda c: sgns_loss(c, -large, large[:, None]).sum())(large)
    assert loss == 2e4 and grad.item() == 200.0
    assert sgns_loss(large, large, jnp.zeros((1, 0, 1))).item() == 0
