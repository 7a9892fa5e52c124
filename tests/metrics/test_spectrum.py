import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.metrics import spectrum

CASES = ['A_digits', 'A_toy']


def both(x):
    """Singular values of the matrix as it is and of the centred one."""
    x = jnp.asarray(x)
    return spectrum.singular_values(x, False), spectrum.singular_values(x, True)


@jax.jit
def measures(plain, centered):
    return {
        'rankme': spectrum.rankme(plain),
        'effective_rank_centred': spectrum.effective_rank(centered),
        'effective_rank_cov_eigs': spectrum.effective_rank_of_covariance(centered),
        'participation_ratio': spectrum.participation_ratio(centered),
        'stable_rank': spectrum.stable_rank(plain),
        'numerical_rank_95': spectrum.numerical_rank(plain),
    }


def oracle(x):
    """The six measures from the card's text, in double precision with loops."""
    s = np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)
    c = np.linalg.svd(x - x.mean(0), compute_uv=False)
    rankme = entropy_c = entropy_l = 0.0
    for value in s:
        p = value / s.sum() + 1e-7
        rankme -= p * np.log(p)
    for value in c:
        p, q = value / c.sum(), value**2 / (c**2).sum()
        entropy_c -= p * np.log(p) if p > 0 else 0.0
        entropy_l -= q * np.log(q) if q > 0 else 0.0
    rank, total = 0, 0.0
    while total <= 0.95 * (s**2).sum():
        total += s[rank] ** 2
        rank += 1
    return {
        'rankme': np.exp(rankme),
        'effective_rank_centred': np.exp(entropy_c),
        'effective_rank_cov_eigs': np.exp(entropy_l),
        'participation_ratio': np.trace(np.cov(x.T)) ** 2 / np.sum(np.cov(x.T) ** 2),
        'stable_rank': np.linalg.norm(x) ** 2 / np.linalg.norm(x, 2) ** 2,
        'numerical_rank_95': rank,
    }


@pytest.mark.parametrize('case', CASES)
def test_golden_values(golden, float64, case):
    values = golden('separability_metrics')
    for name, ours in measures(*both(values[f'{case}/X'])).items():
        np.testing.assert_allclose(ours, values[f'{case}/{name}'], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize('case', CASES)
def test_golden_values_in_float32(golden, case):
    values = golden('separability_metrics')
    for name, ours in measures(*both(values[f'{case}/X'].astype(np.float32))).items():
        np.testing.assert_allclose(ours, values[f'{case}/{name}'], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize('shape', [(40, 5), (4, 5)])
def test_agrees_with_loops_over_the_singular_values(float64, shape):
    x = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1) + 2.0
    expected = oracle(x)
    for name, ours in measures(*both(x)).items():
        np.testing.assert_allclose(ours, expected[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize('shape', [(40, 5), (4, 5)])
def test_gram_gives_the_same_singular_values(float64, shape):
    x = np.random.default_rng(1).normal(size=shape)
    ours = spectrum.gram_singular_values(jnp.asarray(x.T @ x))
    expected = np.linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(ours[: min(shape)], expected, rtol=1e-10)
    np.testing.assert_allclose(ours[min(shape) :], 0.0, atol=2e-8 * expected[0])


def test_gram_keeps_half_of_the_digits_and_the_matrix_itself_all(float64):
    rng = np.random.default_rng(2)
    left, _ = np.linalg.qr(rng.normal(size=(40, 5)))
    right, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    exact = np.array([1.0, 0.5, 1e-3, 1e-5, 1e-10])
    x = left * exact @ right
    np.testing.assert_allclose(spectrum.singular_values(jnp.asarray(x), False), exact, rtol=1e-4)
    ours = spectrum.gram_singular_values(jnp.asarray(x.T @ x))
    np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1.5e-8)


def test_isotropic_cloud_uses_every_dimension(float64):
    d = 5
    x = jnp.tile(jnp.concatenate([jnp.eye(d), -jnp.eye(d)]), (4, 1))  # mean 0, equal variances
    values = measures(*both(x))
    for name in ('effective_rank_centred', 'effective_rank_cov_eigs', 'participation_ratio'):
        np.testing.assert_allclose(values[name], d, rtol=1e-12)
    np.testing.assert_allclose(values['stable_rank'], d, rtol=1e-12)
    np.testing.assert_allclose(values['rankme'], d, rtol=1e-5)  # its constant


def test_line_has_one_dimension_and_its_mean_does_not_count_when_centred(float64):
    line = np.linspace(-1.0, 1.0, 40)[:, None] * np.array([[1.0, 2.0, -1.0, 0.5, 3.0]])
    values = measures(*both(line + 4.0))
    for name in ('effective_rank_centred', 'effective_rank_cov_eigs', 'participation_ratio'):
        np.testing.assert_allclose(values[name], 1.0, rtol=1e-9, err_msg=name)
    assert values['stable_rank'] > 1.01


@pytest.mark.parametrize('scale', [1e-25, 7.0, 1e25])
def test_scale_changes_nothing_and_neither_overflows_nor_vanishes(scale):
    x = np.random.default_rng(3).normal(size=(40, 5)).astype(np.float32)
    expected = measures(*both(x))
    plain, centered = both(x)
    ours = measures(plain * np.float32(scale), centered * np.float32(scale))
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-5, err_msg=name)


def test_centred_measures_ignore_a_shift_and_all_ignore_a_rotation_and_the_order(float64):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    expected = measures(*both(x))
    for name, ours in measures(*both((x @ rotation)[rng.permutation(40)])).items():
        np.testing.assert_allclose(ours, expected[name], rtol=1e-10, err_msg=name)
    shifted = spectrum.singular_values(jnp.asarray(x + 100.0), True)
    np.testing.assert_allclose(shifted, both(x)[1], rtol=1e-10)


def test_ordering_of_the_measures(float64):
    """exp(entropy) of the variances lies between participation ratio and exp(entropy) of s."""
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(40, 5)) * np.arange(1, 6)
        values = measures(*both(x))
        assert values['participation_ratio'] < values['effective_rank_cov_eigs']
        assert values['effective_rank_cov_eigs'] < values['effective_rank_centred'] < 5


@pytest.mark.parametrize('x', [np.zeros((40, 5)), np.full((40, 5), 3.1)])
def test_coinciding_points_have_rank_zero_once_centred(x):
    _, centered = both(x.astype(np.float32))
    assert spectrum.effective_rank(centered) == 0
    assert spectrum.participation_ratio(centered) == 0
    for value in measures(jnp.zeros(5), jnp.zeros(5)).values():
        assert value == 0


@jax.jit
def smooth_measures(s):
    values = measures(s, s)
    return jnp.stack([values[name] for name in sorted(values) if 'numerical' not in name])


def test_gradients_are_finite_where_singular_values_vanish():
    gradient = jax.jit(jax.jacrev(smooth_measures))
    for s in ([3.0, 2.0, 1.0, 1.0, 0.0], [0.0] * 5):
        assert np.all(np.isfinite(gradient(jnp.array(s))))


def test_gradients_agree_with_differences(float64):
    s = jnp.array([3.0, 2.0, 0.7, 0.3, 0.1])
    check_grads(smooth_measures, (s,), order=1, modes=['rev'])


@pytest.mark.parametrize('fraction, rank', [(0.0, 1), (0.49, 1), (0.5, 2), (0.74, 2), (0.99, 3)])
def test_numerical_rank_needs_more_than_the_fraction(fraction, rank):
    s = jnp.array([2.0, 2.0**0.5, 2.0**0.5])  # squares 4, 2, 2
    exact = jnp.array([2.0, 1.0, 1.0, 1.0, 1.0])  # squares 4, 1, 1, 1, 1: exact halves
    if fraction == 0.5:
        assert spectrum.numerical_rank(exact, 0.5) == rank
    else:
        assert spectrum.numerical_rank(s, fraction) == rank


@pytest.mark.parametrize('fraction', [-0.1, 1.0, 2.0])
def test_numerical_rank_refuses_a_fraction_outside_the_range(fraction):
    with pytest.raises(ValueError, match='fraction'):
        spectrum.numerical_rank(jnp.ones(3), fraction)


def test_half_precision_is_measured_in_single():
    x = jnp.asarray(np.random.default_rng(5).normal(size=(8, 3)), jnp.bfloat16)
    s = spectrum.singular_values(x, True)
    assert s.dtype == jnp.float32
    assert jax.jit(spectrum.participation_ratio)(s).dtype == jnp.float32
