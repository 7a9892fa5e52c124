import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.cross_covariance import centred, cross_covariance, unit_columns


@pytest.mark.parametrize(('centering', 'name'), [('scalar', 'cross'), ('none', 'no_centering')])
def test_it_is_that_of_the_original_code(golden, centering, name):
    g = golden('moment_probing')
    found = cross_covariance(jnp.asarray(g['cov/a']), jnp.asarray(g['cov/b']), centering)
    np.testing.assert_allclose(found, g[f'cov/{name}'], rtol=1e-5, atol=1e-6)


def test_token_centering_gives_the_covariance_of_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, 3)) + 5, rng.normal(size=(2, 9, 2)) - 3
    found = cross_covariance(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), 'token')
    for i in range(2):
        both = np.cov(x[i].T, y[i].T, bias=True)
        np.testing.assert_allclose(found[i], both[:3, 3:], rtol=1e-4, atol=1e-5)


def test_swapping_the_groups_transposes_and_half_precision_becomes_float32():
    x, y = jax.random.normal(jax.random.key(0), (2, 1, 6, 3), jnp.bfloat16)
    found = cross_covariance(x, y)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(cross_covariance(y, x), found.swapaxes(1, 2), rtol=1e-5)


def test_columns_have_unit_norm_or_are_zero_with_finite_gradients():
    matrices = jnp.array([[[3.0, 0.0, 1e-30], [4.0, 0.0, 0.0]]])
    np.testing.assert_allclose(unit_columns(matrices)[0], [[0.6, 0, 1], [0.8, 0, 0]], rtol=1e-6)
    x = jnp.zeros((1, 4, 3))
    gradient = jax.grad(lambda x: jnp.sum(unit_columns(cross_covariance(x, x + 1.0)) ** 2))(x)
    assert not gradient.any()
    assert cross_covariance(x[:, :0], x[:, :0]).tolist() == [[[0.0] * 3] * 3]


def test_an_unknown_centering_is_named():
    with pytest.raises(ValueError, match="centering: expected one of .*, got 'mean'"):
        centred(jnp.ones((1, 2, 3)), 'mean')
