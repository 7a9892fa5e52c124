import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.test_util import check_grads

from jaxsep.losses.rotnet import rotation_loss

step = jax.jit(jax.value_and_grad(rotation_loss))
NUMBERS = st.sampled_from([0.0, 1.0, -2.5, 1e-30, 1e4, -1e4, 3e4])


def rows(seed=0, n=8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)), np.arange(n) % 4


def test_agrees_with_the_original_in_value_and_gradient(golden):
    a = golden('rotnet')
    value, gradient = step(jnp.asarray(a['loss/logits']), jnp.asarray(a['loss/labels']))
    np.testing.assert_allclose(value, a['loss/loss'], rtol=2e-5)
    np.testing.assert_allclose(gradient, a['loss/grad'], rtol=2e-5, atol=1e-7)


def test_agrees_with_loops_in_value_and_gradient(float64):
    logits, labels = rows(1)
    total, want = 0.0, np.zeros_like(logits)
    for i, label in enumerate(labels):
        p = np.exp(logits[i]) / sum(np.exp(x) for x in logits[i])
        total -= np.log(p[label]) / len(labels)
        want[i] = (p - np.eye(4)[label]) / len(labels)
    value, gradient = step(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(value, total, rtol=1e-12)
    np.testing.assert_allclose(gradient, want, rtol=1e-12)
    held = jax.jit(lambda x: rotation_loss(x, jnp.asarray(labels)))
    check_grads(held, (jnp.asarray(logits),), order=1, modes=('rev',))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(arrays(np.float32, (8, 4), elements=NUMBERS))
def test_any_logits_give_a_finite_loss_and_a_gradient_that_sums_to_zero(logits):
    value, gradient = step(jnp.asarray(logits), jnp.arange(8) % 4)
    assert np.isfinite(value) and value >= 0
    np.testing.assert_allclose(np.sum(gradient, axis=1), 0, atol=1e-6)


def test_half_precision_is_computed_in_float32():
    logits, labels = (jnp.asarray(x) for x in rows(2))
    logits = logits.astype(jnp.bfloat16)
    value, gradient = step(logits, labels)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, step(logits.astype(jnp.float32), labels)[0], rtol=1e-6)


def test_blind_guesses_cost_the_logarithm_of_four_and_no_rows_nothing():
    value, _ = step(jnp.full((8, 4), 7.0), jnp.arange(8) % 4)
    np.testing.assert_allclose(value, np.log(4), rtol=1e-6)
    value, _ = step(jnp.zeros((0, 4)), jnp.zeros(0, jnp.int32))
    assert value == 0


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    logits, labels = rows(3, n=16)
    same_on_eight_devices(rotation_loss, jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
