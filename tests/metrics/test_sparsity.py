import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import r2_score

from jaxsep.metrics import sparsity


def test_every_measure_agrees_with_the_library(golden):
    data = golden('mp_sae')
    x, xhat, z, w = (
        jnp.asarray(data[n]) for n in ('X', 'mp_k3/recon', 'mp_k3/codes', 'W_normalised')
    )
    got = {
        'r2': sparsity.r2(x, xhat),
        'avg_l2': sparsity.average_error(x, xhat),
        'rel_avg_l2': sparsity.relative_error(x, xhat),
        'l0': sparsity.l0(z),
        'hoyer': sparsity.hoyer(z),
        'kappa4': sparsity.kappa4(z),
        'dead': sparsity.dead_codes(z),
        'energy': sparsity.energy(z, w),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, data[f'metrics/{name}'], rtol=1e-6, err_msg=name)


def test_r2_is_that_of_scikit_learn_on_the_entries_as_one_column():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)) + np.array([0, 5, -5])
    xhat = x + 0.3 * rng.normal(size=x.shape)
    got = sparsity.r2(jnp.asarray(x, jnp.float32), jnp.asarray(xhat, jnp.float32))
    np.testing.assert_allclose(got, r2_score(x.ravel(), xhat.ravel()), rtol=1e-5)


def test_sparsity_of_one_entry_and_of_equal_entries_are_the_two_ends():
    z = jnp.array([[0.0, 0.0, 100.0, 0.0], [100.0, -100.0, 100.0, 100.0]])
    np.testing.assert_allclose(sparsity.hoyer(z), [1, 0], atol=1e-6)
    np.testing.assert_allclose(sparsity.kappa4(z), [1, 0.25], atol=1e-6)
    with pytest.raises(ValueError, match='codes: expected at least 2 columns, got 1'):
        sparsity.hoyer(z[:, :1])


def test_rows_of_zeros_are_finite_and_their_codes_dead():
    z = jnp.zeros((3, 4))
    assert sparsity.l0(z) == 0 and np.all(sparsity.dead_codes(z))
    np.testing.assert_array_equal(sparsity.kappa4(z), 0)
    np.testing.assert_allclose(sparsity.hoyer(z), 2.0)
    assert sparsity.r2(z, z) == 1


def test_no_measure_overflows_where_squares_do():
    x, y = (jnp.asarray(z, jnp.float32) for z in np.random.default_rng(7).normal(size=(2, 6, 5)))
    for measure in (sparsity.r2, sparsity.relative_error):
        np.testing.assert_allclose(measure(x * 2.0**90, y * 2.0**90), measure(x, y), rtol=1e-4)
    assert sparsity.r2(jnp.full((2, 2), 1e30), jnp.full((2, 2), 1e30)) == 1
    np.testing.assert_allclose(sparsity.kappa4(x * 2.0**90), sparsity.kappa4(x), rtol=1e-4)
    np.testing.assert_allclose(
        sparsity.average_error(x * 2.0**90, y * 2.0**90),
        sparsity.average_error(x, y) * 2.0**90,
        rtol=1e-5,
    )
