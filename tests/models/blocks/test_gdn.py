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
    params = {name: jnp.asarray(data[name]) for name in ('beta', 'gamma')}
    x = jnp.asarray(data['x'].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(
        layer.apply({'params': params}, x).transpose(0, 3, 1, 2), data['y'], rtol=2e-5, atol=1e-6
    )
    grads, grad_x = jax.grad(
        lambda p, x: jnp.sum(jnp.square(layer.apply({'params': p}, x))), argnums=(0, 1)
    )(params, x)
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
    check_grads(apply, (jax.tree.map(jnp.asarray, params), jnp.asarray(x)), 1, ('rev',), rtol=1e-4)


def test_it_starts_as_a_division_by_one_and_a_tenth_of_itself():
    x = jnp.array([[3.0, -1.0, 0.0]])
    y, _ = GDN().init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, x / np.sqrt(1 + 0.1 * x**2), rtol=1e-5)
    y, _ = GDN(inverse=True, simplified=True).init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, x * (1 + 0.1 * np.abs(x)), rtol=1e-5)


def test_parameters_below_zero_count_as_zero_and_extreme_inputs_have_finite_gradients():
    np.testing.assert_allclose(nonnegative(stored(jnp.array([0.0, 2.0]))), [0, 2], atol=1e-7)
    assert abs(float(nonnegative(jnp.float32(-3.0)))) < 1e-7
    assert float(nonnegative(jnp.float32(-3.0), 1e-6)) > 9e-7
    params = {'beta': -jnp.ones(2), 'gamma': -jnp.ones((2, 2))}
    for simplified in (False, True):
        for inverse in (False, True):
            layer = GDN(inverse, simplified)
            for x in (jnp.zeros((1, 2)), jnp.full((1, 2), 1e4), jnp.zeros((0, 2))):
                found = jax.grad(lambda p, x, a=layer: jnp.sum(a.apply({'params': p}, x)), (0, 1))(
                    params, x
                )
                assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert layer.apply({'params': params}, jnp.ones((1, 2), jnp.bfloat16)).dtype == jnp.float32
