import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.metrics import log_loss as sklearn_log_loss

from jaxsep.losses.log_loss import half_squared_norm, log_loss

LOGITS = np.array([-1e4, -30.0, -2.0, 0.0, 0.0, 3.0, 20.0, 1e4], np.float32)
LABELS = np.array([1, 0, 1, 0, 1, 0, 0, 1])

step = jax.jit(jax.value_and_grad(log_loss), static_argnames=('epsilon',))


def test_agrees_with_the_formula_in_float64_and_has_exact_gradients(float64):
    rng = np.random.default_rng(0)
    logits, labels, mask = 5 * rng.normal(size=12), rng.integers(0, 2, 12), np.arange(12) != 4
    rows = jnp.asarray(labels), jnp.asarray(mask)
    p = 1 / (1 + np.exp(-logits))
    for epsilon in (1e-7, 1e-2):
        each = labels * np.log(p + epsilon) + (1 - labels) * np.log(1 - p + epsilon)
        loss = lambda z, e=epsilon: log_loss(jnp.asarray(z), *rows, epsilon=e)  # noqa: E731
        np.testing.assert_allclose(loss(jnp.asarray(logits)), -each[mask].mean(), rtol=1e-12)
        check_grads(loss, (jnp.asarray(logits),), 1, ('rev',))


def test_without_the_summand_it_is_the_log_loss_of_scikit_learn():
    logits, labels = LOGITS[1:-1], LABELS[1:-1]
    p = 1 / (1 + np.exp(-logits.astype(float)))
    value, _ = step(logits, labels, epsilon=0.0)
    np.testing.assert_allclose(value, sklearn_log_loss(labels, p), rtol=1e-6)


def test_a_row_costs_at_most_the_logarithm_of_the_summand_and_stays_finite():
    for epsilon in (0.0, 1e-7):
        for logits in (LOGITS, 0 * LOGITS):
            value, gradient = step(logits, LABELS, epsilon=epsilon)
            assert np.isfinite(value) and np.all(np.isfinite(gradient))
    value, gradient = step(np.full(2, -1e4, np.float32), np.array([1, 1]))
    np.testing.assert_allclose(value, -np.log(1e-7), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)
    _, gradient = step(np.full(2, -1e4, np.float32), np.array([1, 1]), epsilon=0.0)
    np.testing.assert_allclose(gradient, -0.5)


def test_no_rows_give_zero_with_zero_gradient():
    value, gradient = step(LOGITS, LABELS, np.zeros(8, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    assert log_loss(jnp.zeros(0), jnp.zeros(0, int)) == 0


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    logits = np.linspace(-3, 3, 16).astype(np.float32)
    mask = np.arange(16) > 2
    same_on_eight_devices(log_loss, logits, np.arange(16) % 2, mask)


def test_half_precision_is_computed_in_float32():
    value, gradient = step(LOGITS.astype(jnp.bfloat16), LABELS)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16


def test_penalty_is_half_the_squares_of_all_arrays():
    arrays = [jnp.arange(3.0), jnp.ones((2, 2))]
    assert half_squared_norm(arrays) == 4.5
    assert half_squared_norm([]) == 0
    gradient = jax.grad(lambda w: half_squared_norm([w]))(jnp.array([2.0, -3.0]))
    np.testing.assert_allclose(gradient, [2.0, -3.0])


def test_a_summand_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match='epsilon: expected a number from 0'):
        log_loss(jnp.zeros(2), jnp.zeros(2, int), epsilon=-1.0)
