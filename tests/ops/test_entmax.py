"""alpha-entmax against the golden numbers, the softmax, finite differences, and its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import brentq

from jaxsep.ops import entmax as module
from jaxsep.ops.entmax import entmax15, entmax_bisect, sparsemax

CASES = {'softmax': 1, 'alpha1.3': 1.3, 'entmax15': 1.5, 'alpha1.7': 1.7, 'sparsemax': 2}


@functools.lru_cache
def compiled(alpha, axis=-1):
    """x, g -> entmax(x) and the gradient of its product with g, in one program."""

    def both(x, g):
        p, pull = jax.vjp(functools.partial(module.entmax, alpha=alpha, axis=axis), x)
        return p, pull(g)[0]

    return jax.jit(both)


def entmax(x, alpha, axis=-1):
    """Compiled, for a number alpha."""
    return np.asarray(compiled(alpha, axis)(x, x)[0])


@pytest.mark.parametrize('case', CASES)
def test_golden_value_and_gradient(golden, float64, case):
    a = golden('shared_retrieval')
    p, grad = compiled(CASES[case])(a['entmax/x'], a['entmax/upstream'])
    np.testing.assert_allclose(p, a[f'entmax/{case}/p'], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(grad, a[f'entmax/{case}/grad'], rtol=1e-8, atol=1e-13)


def test_golden_one_alpha_per_row(golden, float64):
    a = golden('shared_retrieval')
    case = {k: a[f'entmax/alpha_per_row/{k}'] for k in ('alpha', 'p', 'grad', 'grad_alpha')}

    @jax.jit
    def both(x, alpha, g):
        p, pull = jax.vjp(module.entmax, x, alpha)
        return p, *pull(g)

    p, grad, grad_alpha = both(a['entmax/x'], case['alpha'], a['entmax/upstream'])
    np.testing.assert_allclose(p, case['p'], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(grad, case['grad'], rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(grad_alpha, case['grad_alpha'], rtol=1e-7, atol=1e-12)


def by_root(x, alpha):
    """The definition, with tau from scipy."""
    z = (alpha - 1) * x.astype(float)

    def power(tau):
        return np.maximum(z - tau, 0) ** (1 / (alpha - 1))

    return power(brentq(lambda tau: power(tau).sum() - 1, z.max() - 1, z.max(), xtol=1e-15))


def test_all_forms_agree_with_the_definition_in_float32():
    x = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32) * 2
    forms = [(1.5, entmax15), (2, sparsemax)]
    forms += [(alpha, functools.partial(entmax_bisect, alpha=alpha)) for alpha in (1.2, 1.5, 2, 3)]
    for alpha, form in forms:
        expected = [by_root(row, alpha) for row in x]
        np.testing.assert_allclose(jax.jit(form)(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('alpha', [1, 1.01, 1.5, 1.8, 2])
def test_rows_sum_to_1_keep_the_order_and_ignore_a_shift(alpha):
    x = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32) * 3
    for p in (entmax(x, alpha), entmax(x + 64, alpha)):
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-6)
        ranked = np.take_along_axis(p, np.argsort(x, axis=1), axis=1)
        assert (np.diff(ranked, axis=1) >= 0).all()
    np.testing.assert_allclose(p, entmax(x, alpha), atol=1e-4)  # x + 64 has fewer digits


def test_the_larger_alpha_the_fewer_are_above_0():
    x = np.random.default_rng(2).normal(size=(20, 10)).astype(np.float32)
    sizes = [np.sum(entmax(x, alpha) > 0) for alpha in (1, 1.3, 1.7, 2)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[1] > sizes[-1]


def test_gradients_are_those_of_the_function(float64):
    x = np.random.default_rng(3).normal(size=(3, 5))
    for form in (entmax15, sparsemax):
        check_grads(jax.jit(form), (x,), order=1, modes=['rev'])
    alpha = np.array([[1.2], [1.6], [2.3]])
    check_grads(jax.jit(module.entmax), (x, alpha), order=1, modes=['rev'], rtol=1e-3)


def test_the_gradient_in_alpha_has_its_limit_at_the_softmax(float64):
    x, g = np.random.default_rng(4).normal(size=(2, 2, 5))

    @jax.jit
    def value(alpha):
        return jnp.sum(g * module.entmax(jnp.asarray(x), alpha))

    slope = jax.jit(jax.grad(value))
    at = [slope(1.0 + step) for step in (0.0, 1e-7, 1e-4)]
    np.testing.assert_allclose(at, at[0], rtol=1e-3)
    np.testing.assert_allclose(at[0], (value(1 + 1e-5) - value(1.0)) / 1e-5, rtol=1e-3)


def test_any_axis_and_alpha_for_each_head():
    x = np.random.default_rng(5).normal(size=(3, 4, 2)).astype(np.float32)
    for alpha in (1, 1.3, 1.5, 2):
        expected = np.moveaxis(entmax(np.moveaxis(x, 1, -1), alpha), -1, 1)
        np.testing.assert_allclose(entmax(x, alpha, axis=1), expected, rtol=1e-6)
    alphas = np.array([1.3, 2.0], np.float32)
    both = jax.jit(functools.partial(module.entmax, axis=1))(x, alphas[None, None, :])
    for head, alpha in enumerate((1.3, 2)):
        np.testing.assert_allclose(both[:, :, head], entmax(x[:, :, head], alpha), atol=1e-6)


@pytest.mark.parametrize('alpha', [1, 1.3, 1.5, 2])
def test_extreme_and_left_out_logits_are_finite_in_value_and_gradient(alpha):
    inf = np.inf
    x = [[1e4, -1e4, 0.0], [0.0, 0.0, -inf], [-inf, -inf, -inf], [2.0, 2.0, 2.0]]
    g = np.array([[1.0, 2.0, 3.0]] * 4, np.float32)
    p, grad = map(np.asarray, compiled(alpha)(np.array(x, np.float32), g))
    third = 1 / 3
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0], [third, third, third]]
    np.testing.assert_allclose(p, expected, atol=1e-6)
    assert np.isfinite(grad).all() and (grad[2] == 0).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='alpha: expected a number of at least 1, got 0.5'):
        entmax_bisect(jnp.ones((2, 3)), 0.5)
    with pytest.raises(ValueError, match=r'size 1 along axis -1, got shape \(2, 3\)'):
        entmax_bisect(jnp.ones((2, 3)), jnp.ones((2, 3)))
