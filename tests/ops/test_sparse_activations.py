import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import sparse_activations as activations

CODES = np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32)


def test_the_largest_of_each_row_agree_with_the_original(golden):
    data = golden('mp_sae')
    got = activations.keep_largest(jax.nn.relu(jnp.asarray(data['topk/pre_codes'])), 4)
    np.testing.assert_array_equal(got, data['topk/codes'])


def test_k_entries_are_kept_the_first_of_equal_ones_and_all_where_k_is_the_width():

    @jax.jit
    def kept(codes):
        def value(codes):
            codes = activations.keep_largest(codes, 3)
            return jnp.sum(2 * codes), codes

        return jax.grad(value, has_aux=True)(codes)

    gradient, codes = kept(CODES)
    np.testing.assert_array_equal(codes, np.where(CODES >= np.sort(CODES)[:, 4:5], CODES, 0))
    np.testing.assert_array_equal(gradient, 2.0 * (codes != 0))
    _, equal = kept(np.ones_like(CODES))
    np.testing.assert_array_equal(equal, np.tile([1, 1, 1, 0, 0, 0, 0], (16, 1)))
    np.testing.assert_array_equal(activations.keep_largest(jnp.asarray(CODES), 7), CODES)


def test_the_threshold_of_a_batch_keeps_k_a_row_on_average():
    codes = jnp.asarray(CODES)
    threshold = activations.largest_of_batch(codes, 2)
    assert threshold == np.sort(CODES.ravel())[-32]
    kept = activations.above(codes, threshold)
    assert np.sum(np.asarray(kept) != 0) == 32
    assert activations.largest_of_batch(codes[:0], 2) == 0


def test_eight_devices_have_the_threshold_of_one():
    def local(codes):
        return activations.largest_of_batch(codes, 2, axis_name='devices')

    got = jax.pmap(local, axis_name='devices')(CODES.reshape(8, 2, 7))
    np.testing.assert_array_equal(got, np.full(8, np.sort(CODES.ravel())[-32]))


def test_jump_relu_and_its_count_have_the_gradients_of_the_paper():
    thresholds, width = np.linspace(0.2, 0.8, 7, dtype=np.float32), 0.5
    weights = np.random.default_rng(1).normal(size=CODES.shape).astype(np.float32)

    @jax.jit
    def both(codes, thresholds):
        def value(function):
            return lambda *args: jnp.sum(weights * function(*args, width))

        of = {f.__name__: f for f in (activations.jump_relu, activations.is_above)}
        return {n: jax.value_and_grad(value(f), argnums=(0, 1))(codes, thresholds)
                for n, f in of.items()}  # fmt: skip

    got = both(CODES, thresholds)
    on, near = thresholds < CODES, np.abs(CODES - thresholds) < width / 2
    value, (codes, threshold) = got['jump_relu']
    np.testing.assert_allclose(value, np.sum(weights * CODES * on), rtol=1e-5)
    np.testing.assert_array_equal(codes, weights * on)
    want = -thresholds / width * np.sum(weights * near, axis=0)
    np.testing.assert_allclose(threshold, want, rtol=1e-5, atol=1e-6)
    value, (codes, threshold) = got['is_above']
    np.testing.assert_allclose(value, np.sum(weights * on), rtol=1e-5)
    np.testing.assert_array_equal(codes, 0 * weights)
    np.testing.assert_allclose(threshold, -np.sum(weights * near, axis=0) / width, rtol=1e-5,
                               atol=1e-6)  # fmt: skip


def test_the_pseudo_gradient_estimates_that_of_the_expected_count():
    """E H(z - t) = 1 - F(t), whose derivative is minus the density at t."""
    z = np.random.default_rng(2).normal(size=(200_000, 1)).astype(np.float32)
    count = jax.jit(jax.grad(lambda t, z: jnp.mean(activations.is_above(z, t, 0.2))))
    slope = count(jnp.array([0.5]), z)
    np.testing.assert_allclose(slope, -np.exp(-0.125) / np.sqrt(2 * np.pi), rtol=0.03)


def test_wrong_numbers_are_named():
    codes = jnp.asarray(CODES)
    with pytest.raises(ValueError, match='k: expected at least 1, got 0'):
        activations.keep_largest(codes, 0)
    with pytest.raises(ValueError, match='k: expected 1 to the 7 columns, got 8'):
        activations.largest_of_batch(codes, 8)
