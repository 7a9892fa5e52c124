import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from jaxsep.losses import sparse


@jax.jit
def plain(x, kernel, offset, atoms, bias):
    """The plain autoencoder and the gradients of its loss in the terms of the original."""

    def value(*weights):
        kernel, offset, atoms, bias = weights
        codes = jax.nn.relu((x - bias[None, :]) @ kernel + offset[None, :])
        reconstruction = codes @ atoms + bias[None, :]
        l2 = x.shape[1] * sparse.mean_squared_error(x, reconstruction)
        return l2 + 5 * sparse.l1(codes), (l2, sparse.l1(codes))

    weights = kernel, offset, atoms, bias
    (_, parts), gradients = jax.value_and_grad(value, (0, 1, 2, 3), has_aux=True)(*weights)
    return parts, gradients


def test_error_and_penalty_agree_with_an_original_autoencoder_in_value_and_gradient(golden):
    data = {k.removeprefix('vanilla/'): v for k, v in golden('sae_eval').items()}
    names = 'W_enc', 'b_enc', 'W_dec', 'b_dec'
    (l2, l1), gradients = plain(data['A'], *(data[f'w/{n}'] for n in names))
    np.testing.assert_allclose((l2, l1), (data['l2'], data['l1']), rtol=1e-5)
    for name, gradient in zip(names, gradients, strict=True):
        want = data[f'grad_l2_plus_5_l1/{name}']
        np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=1e-4, err_msg=name)


def test_gradients_are_exact_and_zero_at_zero_codes(float64):
    rng = np.random.default_rng(1)
    x, z = jnp.asarray(rng.normal(size=(3, 4))), jnp.asarray(rng.normal(size=(3, 4)))
    both = jax.jit(lambda x, z: sparse.mean_squared_error(x, z) + 0.3 * sparse.l1(z))
    check_grads(both, (x, z), order=1, modes=('rev',))
    np.testing.assert_array_equal(jax.grad(sparse.l1)(jnp.zeros((2, 3))), 0)


def test_expected_l0_counts_and_moves_thresholds_only():
    codes = jnp.array([[0.5, 0.0, 2.0], [0.1, 0.3, 0.0]])
    count = functools.partial(sparse.expected_l0, bandwidth=0.2)
    value, (of_codes, of_thresholds) = jax.value_and_grad(count, argnums=(0, 1))(
        codes, jnp.array([0.2, 0.2, 0.2])
    )
    assert value == 1.5
    np.testing.assert_array_equal(of_codes, 0 * codes)
    # entries within 0.1 of 0.2: only borderline ones count; none here but rounding at 0.1, 0.3
    assert np.all(np.asarray(of_thresholds) <= 0) and of_thresholds[2] == 0


def test_without_rows_everything_is_zero():
    nothing = jnp.zeros((0, 3))
    assert sparse.mean_squared_error(nothing, nothing) == 0
    assert sparse.l1(nothing) == 0
    assert sparse.expected_l0(nothing, jnp.ones(3), 0.1) == 0


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    rng = np.random.default_rng(2)

    def loss(x, z, axis_name):
        thresholds = jnp.full(5, 0.3)
        return (
            sparse.mean_squared_error(x, z, axis_name=axis_name)
            + sparse.l1(z, axis_name=axis_name)
            + sparse.expected_l0(z, thresholds, 0.1, axis_name=axis_name)
        )

    same_on_eight_devices(loss, *rng.normal(size=(2, 16, 5)).astype(np.float32))
