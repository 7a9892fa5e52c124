import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.losses.focal import gaussian_focal, sigmoid_focal


def test_sigmoid_focal_agrees_with_the_golden(golden):
    g = {
        k.split('/')[1]: v for k, v in golden('shared_dense_detection').items() if k[:6] == 'focal/'
    }
    options = {'alpha': float(g['alpha']), 'gamma': float(g['gamma'])}
    labels = g['labels_bg_is_C'].astype(np.int32)
    f = jax.jit(lambda x: sigmoid_focal(x, labels, **options))
    np.testing.assert_allclose(f(g['logits']), g['loss_elem'], rtol=1e-5, atol=1e-7)
    grad = jax.jit(jax.grad(lambda x: jnp.sum(f(x))))(g['logits'])
    np.testing.assert_allclose(grad, g['grad_of_sum'], rtol=1e-5, atol=1e-7)


def test_sigmoid_focal_agrees_with_its_definition(float64):
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(5, 4, 3)), rng.integers(-1, 4, (5, 4))
    expected = np.empty_like(logits)
    for place in np.ndindex(logits.shape):
        p = 1 / (1 + np.exp(-logits[place]))
        hit = labels[place[:2]] == place[2]
        p_t, alpha = (p, 0.3) if hit else (1 - p, 0.7)
        expected[place] = -alpha * (1 - p_t) ** 1.5 * np.log(p_t)
    f = jax.jit(sigmoid_focal, static_argnames=('alpha', 'gamma'))
    found = f(logits, labels, alpha=0.3, gamma=1.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    check_grads(lambda x: f(x, labels), (logits,), order=1, modes=['rev'])


def test_without_focus_it_is_half_of_cross_entropy():
    logits, labels = np.float32([[0.3, -2.0]]), np.array([1])
    found = sigmoid_focal(logits, labels, alpha=0.5, gamma=0.0)
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(found, -0.5 * np.log([[1 - p[0, 0], p[0, 1]]]), rtol=1e-5)


@pytest.mark.parametrize('size', [1e4, -1e4])
@pytest.mark.parametrize('loss', [sigmoid_focal, gaussian_focal])
def test_extreme_logits_and_half_precision_are_finite(loss, size):
    logits = jnp.full((2, 2), size, jnp.bfloat16)
    target = jnp.array([0, -1]) if loss is sigmoid_focal else jnp.array([[1.0, 0.5]] * 2)
    value, vjp = jax.jit(lambda x: jax.vjp(lambda y: loss(y, target), x))(logits)
    (grad,) = vjp(jnp.ones_like(value))
    assert value.dtype == jnp.float32 and np.isfinite(value).all()
    assert np.isfinite(np.asarray(grad, np.float32)).all()


def test_gaussian_focal_agrees_with_the_golden(golden):
    g = {
        k.split('/')[1]: v
        for k, v in golden('shared_dense_detection').items()
        if k.startswith('gaussian_focal/')
    }
    options = {'alpha': float(g['alpha']), 'gamma': float(g['gamma'])}
    p = g['prob'].astype(np.float64)
    logits = (np.log(p) - np.log1p(-p)).astype(np.float32)
    f = lambda x: jnp.sum(gaussian_focal(x, g['target'], **options))  # noqa: E731
    value, grad = jax.jit(jax.value_and_grad(f))(logits)
    np.testing.assert_allclose(value, g['loss_sum'], rtol=1e-5)
    # The golden differentiates in the probabilities: d/dx = d/dp p (1 - p).
    np.testing.assert_allclose(grad, g['grad'] * p * (1 - p), rtol=1e-4, atol=1e-6)


def test_gaussian_focal_agrees_with_its_definition(float64):
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(4, 6)), rng.uniform(size=(4, 6))
    target[0], target[1, 0] = 1.0, 0.0
    p = 1 / (1 + np.exp(-logits))
    expected = np.where(
        target == 1, -((1 - p) ** 2) * np.log(p), -((1 - target) ** 4) * p**2 * np.log(1 - p)
    )
    f = jax.jit(gaussian_focal)
    np.testing.assert_allclose(f(logits, target), expected, rtol=1e-9)
    check_grads(lambda x: f(x, target), (logits,), order=1, modes=['rev'])
