import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import mrdd

divergence = jax.jit(jax.value_and_grad(mrdd.gaussian_kl, argnums=(0, 1)))
prediction = jax.jit(
    jax.value_and_grad(mrdd.masked_cross_view_prediction, argnums=(0, 1, 2, 3)),
    static_argnames='kl_weight',
)
VIEWS, CODE = (2, 3, 4, 4, 1), (2, 3)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def example(dtype=np.float32):
    views, predicted = normal(0, *VIEWS), normal(1, *VIEWS)
    return tuple(x.astype(dtype) for x in (views, predicted, normal(2, *CODE), normal(3, *CODE)))


def test_divergence_agrees_with_the_original_in_value_and_gradient(golden):
    a = golden('mrdd')
    value, gradients = divergence(a['kld/mu'], a['kld/logvar'])
    np.testing.assert_allclose(value, a['kld/loss'], rtol=2e-5)
    for name, gradient in zip(('mu', 'logvar'), gradients, strict=True):
        np.testing.assert_allclose(gradient, a[f'kld/grad_{name}'], rtol=1e-4, atol=1e-6)


def test_squared_error_times_the_batch_is_the_sum_of_the_original(golden):
    a = golden('mrdd')
    views = [jnp.asarray(np.swapaxes(a[f'recon_sum/{name}'], 0, 1)) for name in ('x', 'recon')]
    value = jax.jit(mrdd.squared_error)(*views) * len(views[0])
    np.testing.assert_allclose(value, a['recon_sum/loss'], rtol=2e-5)


def test_prediction_agrees_with_loops_and_has_exact_gradients(float64):
    views, predicted, mean, log_variance = example(np.float64)
    want = 0.0
    for i in range(2):
        for where in np.ndindex(VIEWS[1:]):
            want += (views[i][where] - predicted[i][where]) ** 2 / 2
        for d in range(3):
            m, v = mean[i, d], np.exp(log_variance[i, d])
            want += 0.3 * 0.5 * (m * m + v - 1 - np.log(v)) / 2
    given = tuple(jnp.asarray(x) for x in (views, predicted, mean, log_variance))
    np.testing.assert_allclose(prediction(*given, kl_weight=0.3)[0], want, rtol=1e-12)
    loss = jax.jit(functools.partial(mrdd.masked_cross_view_prediction, kl_weight=0.3))
    check_grads(loss, given, order=1, modes=('rev',))


def test_a_perfect_prediction_from_a_standard_code_costs_nothing():
    views, *_ = example()
    value, gradients = prediction(views, views, np.zeros(CODE, 'f'), np.zeros(CODE, 'f'))
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_everything_is_finite_with_a_finite_gradient_at_the_edges():
    views, predicted, mean, log_variance = (jnp.asarray(x) for x in example())
    for case in (
        (views * 0, predicted * 0, mean * 0, log_variance * 0),
        (1e4 * views, -1e4 * predicted, 1e4 * mean, 40 * log_variance),
        (views, predicted, mean, jnp.full_like(log_variance, -1e4)),
        tuple(x.astype(jnp.bfloat16) for x in (views, predicted, mean, log_variance)),
    ):
        value, gradients = prediction(*case)
        assert value.dtype == jnp.float32
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(g.astype(jnp.float32))) for g in gradients)


def test_no_examples_cost_nothing():
    nothing = [jnp.zeros((0, *shape[1:])) for shape in (VIEWS, VIEWS, CODE, CODE)]
    assert prediction(*nothing)[0] == 0


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    views, predicted = normal(0, 16, 2, 2, 2, 1), normal(1, 16, 2, 2, 2, 1)
    rows = (views, predicted, normal(2, 16, 3), normal(3, 16, 3))
    same_on_eight_devices(mrdd.masked_cross_view_prediction, *(jnp.asarray(x) for x in rows))


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(np.float32, (2, *CODE), elements=hypothesis.strategies.floats(-30, 30, width=32))
)
def test_the_divergence_of_any_gaussian_is_not_negative(code):
    value, gradients = divergence(*code)
    assert np.isfinite(value) and value >= 0
    assert all(np.all(np.isfinite(g)) for g in gradients)
