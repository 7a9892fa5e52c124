import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.distance import pdist

from jaxsep.losses import sphere
from jaxsep.ops.geometry import l2_normalize

alignment, uniformity = jax.jit(sphere.alignment), jax.jit(sphere.uniformity)


@pytest.mark.parametrize('alpha', [1, 2])
def test_alignment_agrees_with_the_original_in_value_and_gradient(golden, alpha):
    arrays, case = golden('shared_ssl_losses'), f'align_alpha{alpha}'
    x, y = (jnp.asarray(arrays[f'{case}/{name}']) for name in 'xy')

    def loss(x, y):
        return alignment(l2_normalize(x), l2_normalize(y), alpha)

    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, y)
    np.testing.assert_allclose(value, arrays[f'{case}/loss'], rtol=2e-5)
    for name, gradient in zip('xy', gradients, strict=True):
        np.testing.assert_allclose(gradient, arrays[f'{case}/grad_{name}'], rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize('t', [1.0, 2.0])
def test_uniformity_agrees_with_the_original_in_value_and_gradient(golden, t):
    arrays, case = golden('shared_ssl_losses'), f'uniform_t{t}'
    loss = jax.jit(jax.value_and_grad(lambda x: uniformity(l2_normalize(x), t)))
    value, gradient = loss(jnp.asarray(arrays[f'{case}/x']))
    np.testing.assert_allclose(value, arrays[f'{case}/loss'], rtol=2e-5)
    np.testing.assert_allclose(gradient, arrays[f'{case}/grad_x'], rtol=2e-5, atol=1e-5)


def test_both_agree_with_the_released_code_in_float64(golden, float64):
    arrays = golden('separability_metrics')
    x, y = jnp.asarray(arrays['AU/x']), jnp.asarray(arrays['AU/y'])
    for alpha in (1, 2):
        value, gradient = jax.jit(jax.value_and_grad(alignment))(x, y, alpha)
        np.testing.assert_allclose(value, arrays[f'AU/align_alpha{alpha}'], rtol=1e-10)
        np.testing.assert_allclose(gradient, arrays[f'AU/align_alpha{alpha}_grad_x'], rtol=1e-8)
    value, gradient = jax.jit(jax.value_and_grad(uniformity))(x)
    np.testing.assert_allclose(value, arrays['AU/uniform_t2'], rtol=1e-10)
    np.testing.assert_allclose(gradient, arrays['AU/uniform_t2_grad'], rtol=1e-8, atol=1e-12)


def test_uniformity_agrees_with_the_contrastive_behaviour_card(golden):
    arrays = golden('contrastive_behaviour')
    value = uniformity(l2_normalize(jnp.asarray(arrays['uniformity/f'])), 2.0)
    np.testing.assert_allclose(value, arrays['uniformity/uniformity'], rtol=1e-5)


def points(seed=0, n=7, d=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_uniformity_agrees_with_scipy_pair_distances(float64):
    x = points()
    for t in (0.5, 2.0, 30.0):
        want = np.log(np.mean(np.exp(-t * pdist(x, 'sqeuclidean'))))
        np.testing.assert_allclose(uniformity(jnp.asarray(x), t), want, rtol=1e-10)


def test_alignment_agrees_with_loops(float64):
    x, y = points(1), points(2)
    for alpha in (0.5, 1, 2, 3):
        want = np.mean([np.sqrt(np.sum((a - b) ** 2)) ** alpha for a, b in zip(x, y, strict=True)])
        np.testing.assert_allclose(alignment(jnp.asarray(x), jnp.asarray(y), alpha), want)


def test_gradients_are_exact(float64):
    x, y = jnp.asarray(points(3)), jnp.asarray(points(4))
    for alpha in (1, 2, 3):
        check_grads(lambda x, y, alpha=alpha: alignment(x, y, alpha), (x, y), order=1)
    check_grads(uniformity, (x,), order=1)


@pytest.mark.parametrize('alpha', [0.5, 1, 2])
def test_coinciding_points_are_aligned_with_zero_gradient(alpha):
    x = jnp.asarray(points().astype(np.float32))
    value, gradient = jax.jit(jax.value_and_grad(alignment))(x, x, alpha)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_uniformity_of_one_repeated_point_is_zero_and_of_two_opposite_ones_minus_4t():
    same = jnp.tile(jnp.array([[0.6, 0.8]]), (5, 1))
    value, gradient = jax.jit(jax.value_and_grad(uniformity))(same)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    for t in (2.0, 500.0):
        np.testing.assert_allclose(
            uniformity(jnp.array([[0.6, 0.8], [-0.6, -0.8]]), t), -4 * t, rtol=1e-6
        )


@pytest.mark.parametrize('n', [0, 1])
def test_fewer_than_two_points_give_zero_with_zero_gradient(n):
    value, gradient = jax.jit(jax.value_and_grad(uniformity))(jnp.ones((n, 3)))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    assert alignment(jnp.ones((0, 3)), jnp.ones((0, 3))) == 0


def test_half_precision_is_computed_in_float32():
    x = jnp.asarray(points(5)).astype(jnp.bfloat16)
    y = jnp.asarray(points(6)).astype(jnp.bfloat16)
    full_x, full_y = x.astype(jnp.float32), y.astype(jnp.float32)
    assert alignment(x, y) == alignment(full_x, full_y)
    assert uniformity(x) == uniformity(full_x)
    assert uniformity(x).dtype == jnp.float32


def test_rotation_and_order_do_not_change_either():
    x, y = (jnp.asarray(points(seed).astype(np.float32)) for seed in (7, 8))
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (3, 3)))[0]
    np.testing.assert_allclose(uniformity(x[::-1] @ rotation), uniformity(x), rtol=1e-4)
    np.testing.assert_allclose(
        alignment(x[::-1] @ rotation, y[::-1] @ rotation), alignment(x, y), rtol=1e-5
    )


def test_neither_normalises_its_rows():
    x, y = (jnp.asarray(points(seed).astype(np.float32)) for seed in (9, 10))
    np.testing.assert_allclose(alignment(3 * x, 3 * y), 9 * alignment(x, y), rtol=1e-5)
    np.testing.assert_allclose(uniformity(3 * x, 2), uniformity(x, 18), rtol=1e-4)
