import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.models.blocks.gdn import GDN, PEDESTAL, nonnegative, stored


@pytest.mark.parametrize('inverse', [0, 1])
@pytest.mark.parametrize('kind', ['gdn', 'gdn1'])
def test_values_and_gradients_are_those_of_the_original(golden, kind, inverse):
    a = golden('entropy_models')
    data = {name: a[f'{kind}/inv{inverse}/{name}'] for name in ('beta', 'gamma', 'x', 'y')}
    layer = GDN(inverse=bool(inverse), simplified=kind == 'gdn1')
    params = {name: data[name] for name in ('beta', 'gamma')}
    x = np.ascontiguousarray(data['x'].transpose(0, 2, 3, 1))

    def square(p, x):
        y = layer.apply({'params': p}, x)
        return jnp.sum(jnp.square(y)), y

    found = jax.jit(jax.grad(square, argnums=(0, 1), has_aux=True))(params, x)
    (grads, grad_x), y = jax.device_get(found)
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), data['y'], rtol=2e-5, atol=1e-6)
    close = dict(rtol=1e-4, atol=1e-4)
    got = grad_x.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, a[f'{kind}/inv{inverse}/grad_x'], **close)
    for name in ('beta', 'gamma'):
        np.testing.assert_allclose(grads[name], a[f'{kind}/inv{inverse}/grad_{name}'], **close)


def oracle(x, beta, gamma, inverse, simplified):
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape[:-1]):
        for i in range(x.shape[-1]):
            size = np.abs(x[place]) if simplified else x[place] ** 2
            n = beta[i] + np.dot(gamma[i], size)
            n = n if simplified else np.sqrt(n)
            y[place][i] = x[place][i] * n if inverse else x[place][i] / n
    return y


@pytest.mark.parametrize('inverse', [False, True])
@pytest.mark.parametrize('simplified', [False, True])
def test_it_agrees_with_loops_and_has_exact_gradients(float64, inverse, simplified):
    rng = np.random.default_rng(0)
    x, beta, gamma = rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 2, 4), rng.uniform(0, 1, (4, 4))
    layer = GDN(inverse, simplified)
    params = {name: np.sqrt(v + PEDESTAL) for name, v in (('beta', beta), ('gamma', gamma))}
    apply = jax.jit(lambda p, x: layer.apply({'params': p}, x))
    want = oracle(x, beta, gamma, inverse, simplified)
    np.testing.assert_allclose(apply(params, x), want, rtol=1e-9)
    check_grads(apply, (params, x), 1, ('rev',), rtol=1e-4)


def test_it_starts_as_a_division_by_one_and_a_tenth_of_itself():
    x = np.array([[3.0, -1.0, 0.0]], np.float32)
    y, _ = jax.jit(GDN().init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(y, x / np.sqrt(1 + 0.1 * x**2), rtol=1e-5)
    layer = GDN(inverse=True, simplified=True)
    y, _ = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(y, x * (1 + 0.1 * np.abs(x)), rtol=1e-5)


def test_parameters_below_zero_count_as_zero_and_extreme_inputs_have_finite_gradients():
    np.testing.assert_allclose(nonnegative(stored(jnp.array([0.0, 2.0]))), [0, 2], atol=1e-7)
    assert abs(float(nonnegative(jnp.float32(-3.0)))) < 1e-7
    assert float(nonnegative(jnp.float32(-3.0), 1e-6)) > 9e-7
    params = {'beta': -np.ones(2, np.float32), 'gamma': -np.ones((2, 2), np.float32)}
    for simplified in (False, True):
        for inverse in (False, True):
            layer = GDN(inverse, simplified)
            total = lambda p, x, a=layer: jnp.sum(a.apply({'params': p}, x))  # noqa: E731
            gradients = jax.jit(jax.grad(total, (0, 1)))
            for x in (np.zeros((1, 2)), np.full((1, 2), 1e4), np.zeros((0, 2))):
                found = gradients(params, x.astype(np.float32))
                assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    half = jnp.ones((1, 2), jnp.bfloat16)
    assert jax.jit(layer.apply)({'params': params}, half).dtype == jnp.float32
