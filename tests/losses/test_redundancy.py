import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import redundancy

barlow_twins = jax.jit(redundancy.barlow_twins)
vicreg = jax.jit(redundancy.vicreg)
LOSSES = {'barlow_twins': barlow_twins, 'vicreg': vicreg}


@functools.cache
def step(name):
    """Value and gradients of a loss, one program per shape and dtype."""
    return jax.jit(jax.value_and_grad(LOSSES[name], argnums=(0, 1)))


def views(seed=0, b=8, d=12):
    rng = np.random.default_rng(seed)
    z1 = rng.normal(size=(b, d))
    return z1, 0.7 * z1 + 0.5 * rng.normal(size=(b, d)) + 0.3


def in_float32(*both):
    return tuple(jnp.asarray(z, jnp.float32) for z in both)


@pytest.mark.parametrize(('case', 'name'), [('barlow', 'barlow_twins'), ('vicreg', 'vicreg')])
def test_agrees_with_the_original_in_value_and_gradient(golden, case, name):
    arrays = golden('shared_ssl_losses')
    value, gradients = step(name)(*(jnp.asarray(arrays[f'{case}/z{i}']) for i in (1, 2)))
    np.testing.assert_allclose(value, arrays[f'{case}/loss'], rtol=2e-5)
    for i, gradient in enumerate(gradients, 1):
        np.testing.assert_allclose(gradient, arrays[f'{case}/grad_z{i}'], rtol=1e-4, atol=1e-5)


@jax.jit
def vicreg_terms(z1, z2):
    return (
        redundancy.invariance_term(z1, z2),
        redundancy.variance_term(z1) + redundancy.variance_term(z2),
        redundancy.covariance_term(z1) + redundancy.covariance_term(z2),
    )


def test_the_terms_of_vicreg_are_the_originals_and_make_up_the_variant_of_solo_learn(golden):
    arrays = golden('shared_ssl_losses')
    z1, z2 = (jnp.asarray(arrays[f'vicreg/z{i}']) for i in (1, 2))
    invariance, variance, covariance = vicreg_terms(z1, z2)
    np.testing.assert_allclose(invariance, arrays['vicreg/inv'], rtol=2e-5)
    np.testing.assert_allclose(0.5 * variance, arrays['vicreg/var'], rtol=2e-5)
    np.testing.assert_allclose(covariance, arrays['vicreg/cov'], rtol=2e-5)
    z1, z2 = (jnp.asarray(arrays[f'vicreg_solo/z{i}']) for i in (1, 2))
    solo, weights = vicreg_terms(z1, z2), arrays['vicreg_solo/weights']
    want = arrays['vicreg_solo/loss']
    np.testing.assert_allclose(np.dot(weights, np.array(solo)), want, rtol=2e-5)
    np.testing.assert_allclose(vicreg(z1, z2, variance_weight=2 * weights[1]), want, rtol=2e-5)


def barlow_oracle(z1, z2):
    b, d = z1.shape
    standard = [(z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (z1, z2)]
    total = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(standard[0][n, i] * standard[1][n, j] for n in range(b)) / b
            total += (c - 1) ** 2 if i == j else 5e-3 * c**2
    return total


def vicreg_oracle(z1, z2):
    d = z1.shape[1]
    total = 25 * np.mean((z1 - z2) ** 2)
    for z in (z1, z2):
        total += 12.5 * np.mean([max(0, 1 - np.sqrt(np.var(x, ddof=1) + 1e-4)) for x in z.T])
        covariance = np.cov(z.T)
        total += sum(covariance[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return total


@pytest.mark.parametrize(
    ('name', 'oracle'), [('barlow_twins', barlow_oracle), ('vicreg', vicreg_oracle)]
)
def test_agrees_with_loops_and_has_exact_gradients(float64, name, oracle):
    z1, z2 = views(1, 5, 3)
    z1[:, 0] *= 0.3  # below the target of the variance, the others mostly above
    np.testing.assert_allclose(LOSSES[name](z1, z2), oracle(z1, z2), rtol=1e-11)
    check_grads(LOSSES[name], (jnp.asarray(z1), jnp.asarray(z2)), order=1, modes=('rev',))


def test_cross_correlation_agrees_with_numpy():
    z1, z2 = views(2)
    got = jax.jit(redundancy.cross_correlation)(*in_float32(z1, z2[:, :5]))
    # eps in the variance, which numpy has not: a share of 1e-5 of variances near 1.
    np.testing.assert_allclose(got, np.corrcoef(z1.T, z2[:, :5].T)[:12, 12:], atol=1e-4)


def hadamard():
    """8 rows of 7 features: mean 0, variance 1, uncorrelated."""
    two = np.array([[1, 1], [1, -1]])
    return np.kron(np.kron(two, two), two)[:, 1:].astype(np.float32)


def test_equal_views_of_uncorrelated_features_cost_nothing():
    z = jnp.asarray(hadamard())
    np.testing.assert_allclose(barlow_twins(z, z), 0, atol=1e-8)
    np.testing.assert_allclose(vicreg(z, z), 0, atol=1e-8)
    # Views exchanged feature by feature: the diagonal is lost, and one square of 1 is next to it.
    np.testing.assert_allclose(barlow_twins(z, z[:, ::-1]), 6 + 6 * 5e-3, rtol=1e-4)


def test_offset_and_scale_of_a_feature_do_not_change_barlow_twins():
    z1, z2 = in_float32(*views(3))
    scale, offset = jnp.linspace(2.0, 50.0, 12)[None], jnp.linspace(-30.0, 30.0, 12)[None]
    np.testing.assert_allclose(
        barlow_twins(z1 * scale + offset, z2 * 2), barlow_twins(z1, z2), rtol=1e-4
    )


def test_moving_both_views_does_not_change_vicreg_even_far_away():
    z1, z2 = (jnp.round(z * 512) / 512 for z in in_float32(*views(4)))
    # 16384 + k/512 is exact in float32; squares of it, 2.7e8, would resolve 16.
    np.testing.assert_allclose(vicreg(z1 + 16384.0, z2 + 16384.0), vicreg(z1, z2), rtol=1e-5)
    np.testing.assert_allclose(
        barlow_twins(z1 + 16384.0, z2 - 16384.0), barlow_twins(z1, z2), rtol=1e-5
    )


@pytest.mark.parametrize('name', LOSSES)
def test_order_of_rows_and_features_and_of_the_views_does_not_matter(name):
    z1, z2 = in_float32(*views(5))
    rows, features = np.random.default_rng(0).permutation(8), np.arange(12)[::-1]
    value = LOSSES[name](z1, z2)
    np.testing.assert_allclose(LOSSES[name](z1[rows], z2[rows]), value, rtol=1e-5)
    np.testing.assert_allclose(LOSSES[name](z1[:, features], z2[:, features]), value, rtol=1e-5)
    np.testing.assert_allclose(LOSSES[name](z2, z1), value, rtol=1e-5)


def test_collapse_costs_the_whole_variance_and_every_correlation():
    same = jnp.ones((8, 12))
    np.testing.assert_allclose(vicreg(same, same), 25 * (1 - 0.01), rtol=1e-6)
    np.testing.assert_allclose(barlow_twins(same, same), 12, rtol=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_finite_with_finite_gradient_where_features_degenerate(name):
    z1, z2 = in_float32(*views(6))
    for case in (
        (jnp.zeros((8, 12)), jnp.zeros((8, 12))),
        (jnp.ones((8, 12)), z2),
        (z1.at[:, 3].set(0.0), z1),
        (jnp.concatenate([z1[:4], z1[:4]]), z2),
        (z1 * 1e4, z2 * 1e4),
        (z1 * 1e-20, z2),
    ):
        value, gradients = step(name)(*case)
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(g)) for g in gradients)
    half = jnp.asarray(z1, jnp.bfloat16)
    value, gradients = step(name)(half, half)
    assert value.dtype == jnp.float32 and gradients[0].dtype == jnp.bfloat16
    assert np.isfinite(value)


@pytest.mark.parametrize('name', LOSSES)
def test_too_few_rows_for_a_statistic_cost_nothing(name):
    for b in (0, 1):
        z = jnp.full((b, 12), 3.0)
        value, gradients = step(name)(z, z)
        assert value == 0
        assert not any(np.any(g) for g in gradients)


def test_a_single_row_still_has_an_invariance():
    value, (gradient, _) = step('vicreg')(jnp.full((1, 12), 3.0), jnp.full((1, 12), 1.0))
    np.testing.assert_allclose(value, 25 * 4)
    np.testing.assert_allclose(gradient, 25 * 2 * 2 / 12, rtol=1e-6)


def test_constant_features_without_eps_correlate_with_nothing():
    z = jnp.asarray(hadamard()).at[:, 2].set(5.0)
    correlation = jax.jit(lambda z: redundancy.cross_correlation(z, z, eps=0.0))(z)
    np.testing.assert_array_equal(correlation, jnp.eye(7).at[2, 2].set(0.0))


@pytest.mark.parametrize(('name', 'b'), [('barlow_twins', 16), ('vicreg', 8)])
def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices, name, b):
    z1, z2 = in_float32(*views(7, b, 4))  # a single row has no variance: 8 of them have
    same_on_eight_devices(getattr(redundancy, name), z1, z2 + 5.0)


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(
        np.float32, (2, 8, 12), elements=hypothesis.strategies.floats(-1e4, 1e4, width=32)
    )
)
def test_any_views_give_finite_losses_that_are_never_negative(views):
    for name in LOSSES:
        value, gradients = step(name)(*jnp.asarray(views))
        assert np.isfinite(value) and value >= 0
        assert all(np.all(np.isfinite(g)) for g in gradients)


def test_a_variance_whose_square_overflows_leaves_the_gradient_finite():
    z = jnp.array([[1e12, 1.0], [-1e12, 2.0], [3e11, 5.0]])
    value, grad = jax.jit(jax.value_and_grad(redundancy.covariance_term))(z)
    assert np.isfinite(value) and np.isfinite(grad).all()
