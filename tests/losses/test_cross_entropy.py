import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jaxsep.losses.cross_entropy import cross_entropy

rng = np.random.default_rng(0)


def oracle(logits, labels, smoothing):
    """The mean of -sum_k t_k log p_k, row by row."""
    total = 0.0
    for row, label in zip(np.asarray(logits, np.float64), labels, strict=True):
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        log_p = row - row.max() - np.log(np.exp(row - row.max()).sum())
        total -= target @ log_p
    return total / len(labels)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.7])
def test_it_is_the_mean_surprise_at_smoothed_labels(smoothing):
    logits = rng.normal(size=(6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6)
    found = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), smoothing=smoothing)
    np.testing.assert_allclose(found, oracle(logits, labels, smoothing), rtol=1e-5)
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, 5), smoothing)
    np.testing.assert_allclose(found, optax.softmax_cross_entropy(logits, smooth).mean(), rtol=1e-5)


def test_masked_rows_do_not_matter_and_none_gives_zero_with_zero_gradient():
    logits = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    labels, mask = jnp.array([0, 1, 2, 0]), jnp.array([True, False, True, False])
    both = jax.jit(
        jax.value_and_grad(lambda x, m: cross_entropy(x, labels, m, smoothing=0.1)),
    )
    value, grad = both(logits, mask)
    np.testing.assert_allclose(value, oracle(logits[::2], [0, 2], 0.1), rtol=1e-5)
    np.testing.assert_array_equal(grad[1::2], 0)
    value, grad = both(logits, jnp.zeros(4, bool))
    assert value == 0 and not np.any(grad)
    assert cross_entropy(jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32)) == 0


def test_it_is_finite_at_extreme_logits_and_in_float32_for_half_precision():
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    value, grad = jax.value_and_grad(lambda x: cross_entropy(x, jnp.array([0, 0]), smoothing=0.1))(
        logits
    )
    np.testing.assert_allclose(value, oracle(logits, [0, 0], 0.1), rtol=1e-5)
    assert np.isfinite(grad).all()
    assert cross_entropy(logits.astype(jnp.bfloat16), jnp.array([0, 0])).dtype == jnp.float32


def test_smoothing_leaves_the_best_logits_finite():
    labels, k, smoothing = jnp.array([2]), 4, 0.2
    best = jnp.log(jax.nn.one_hot(labels, k) * (1 - smoothing) + smoothing / k)
    grad = jax.grad(lambda x: cross_entropy(x, labels, smoothing=smoothing))(best)
    np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_the_gradient_is_the_derivative(float64):
    logits, labels = jnp.asarray(rng.normal(size=(3, 4))), jnp.array([3, 0, 1])
    check_grads(
        jax.jit(lambda x: cross_entropy(x, labels, smoothing=0.1)),
        (logits,),
        order=1,
        modes=['rev'],
    )


def test_a_label_beyond_the_classes_is_seen():
    assert np.isnan(cross_entropy(jnp.zeros((1, 3)), jnp.array([3])))


def test_eight_devices_agree_with_one(same_on_eight_devices):
    logits = jnp.asarray(rng.normal(size=(16, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, 16))
    mask = jnp.asarray(rng.integers(0, 2, 16).astype(bool))

    def loss(logits, labels, mask, axis_name):
        return cross_entropy(logits, labels, mask, smoothing=0.1, axis_name=axis_name)

    same_on_eight_devices(loss, logits, labels, mask)


@pytest.mark.parametrize('smoothing', [-0.1, 1.0])
def test_wrong_smoothing_is_named(smoothing):
    with pytest.raises(ValueError, match='smoothing: expected a number from 0 to below 1'):
        cross_entropy(jnp.zeros((1, 2)), jnp.array([0]), smoothing=smoothing)
