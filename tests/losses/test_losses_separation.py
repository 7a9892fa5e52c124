import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.test_util import check_grads

from jaxsep.losses import separation
from jaxsep.losses.separation import KINDS, shares

# Compiled: one program a call in place of one an operation.
decibels = jax.jit(separation.decibels, static_argnames=('kind', 'zero_mean'))
pairwise_losses = jax.jit(separation.pairwise_losses, static_argnames=('kind', 'zero_mean'))
permutation_invariant = jax.jit(separation.permutation_invariant)
mixture_invariant = jax.jit(separation.mixture_invariant, static_argnames='generalized')
reorder = jax.jit(separation.reorder)


def normal(seed, *shape, dtype=np.float32):
    """Two arrays of that shape."""
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype(dtype)


def slow_decibels(e, s, kind, zero_mean, eps=1e-8):
    e, s = e.astype(np.float64), s.astype(np.float64)
    if zero_mean:
        e, s = e - e.mean(), s - s.mean()
    p = s if kind == 'snr' else np.dot(e, s) / (np.dot(s, s) + eps) * s
    d = e - p if kind == 'si_sdr' else e - s
    return 10 * np.log10(np.dot(p, p) / (np.dot(d, d) + eps) + eps)


@pytest.mark.parametrize('zero_mean', [0, 1])
@pytest.mark.parametrize('kind', KINDS)
def test_losses_of_all_pairs_are_those_of_asteroid(golden, kind, zero_mean):
    g = golden('shared_audio')
    name = f'{kind.replace("_", "")}_zm{zero_mean}'
    given = {'kind': kind, 'zero_mean': bool(zero_mean)}
    e, s = g['sdr/est'], g['sdr/tgt']
    found = pairwise_losses(e, s, **given)
    # Where the target is almost orthogonal to the estimate, float32 has few digits of their product.
    np.testing.assert_allclose(found, g[f'sdr/pairwise_neg_{name}'], rtol=1e-4, atol=2e-4)
    one = -decibels(e[:, 0], s[:, 1], **given)
    np.testing.assert_allclose(one, found[:, 0, 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('zero_mean', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_decibels_are_the_equation(float64, kind, zero_mean):
    rng = np.random.default_rng(0)
    s = rng.normal(size=(2, 3, 30)) + 0.5
    e = 0.7 * s + 0.3 * rng.normal(size=s.shape)
    found = decibels(e, s, kind=kind, zero_mean=zero_mean)
    want = [[slow_decibels(e[b, n], s[b, n], kind, zero_mean) for n in range(3)] for b in range(2)]
    np.testing.assert_allclose(found, want, rtol=1e-10)


def test_scale_and_sign_of_the_estimate_do_not_matter_to_si_sdr_and_do_to_snr():
    s, d = normal(0, 40)
    e = s + 0.1 * d
    si = decibels(e, s, kind='si_sdr')
    np.testing.assert_allclose(decibels(-3.0 * e, s, kind='si_sdr'), si, rtol=1e-4)
    assert decibels(3.0 * e, s, kind='snr') < 0 < decibels(e, s, kind='snr')
    assert decibels(3.0 * e, s, kind='sd_sdr') < si


def test_offsets_do_not_matter_once_means_are_out():
    s, d = normal(1, 40)
    for kind in KINDS:
        with_mean = decibels(s + 0.1 * d + 5.0, s - 2.0, kind=kind)
        np.testing.assert_allclose(with_mean, decibels(s + 0.1 * d, s, kind=kind), rtol=1e-3)


@pytest.mark.parametrize('kind', KINDS)
def test_silence_perfection_and_extremes_are_finite_with_finite_gradients(kind):
    wave = np.sin(np.arange(32, dtype=np.float32))
    graded = jax.jit(jax.value_and_grad(functools.partial(decibels, kind=kind), argnums=(0, 1)))
    for e, s in itertools.product((0 * wave, wave, 1e4 * wave, 1e-6 * wave), repeat=2):
        value, grads = graded(e, s)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads), (e[1], s[1])
    _, (silent, _) = graded(wave, 0 * wave)
    assert not silent.any()


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_agree_with_differences(float64, kind):
    s, d = normal(2, 12, dtype=np.float64)
    check_grads(functools.partial(decibels, kind=kind), (s + 0.3 * d, s), order=1, modes=('rev',))


def test_best_permutation_loss_and_gradient_are_those_of_asteroid(golden):
    g = golden('shared_audio')

    def loss(estimates):
        pairs = pairwise_losses(estimates, g['sdr/tgt'], kind='si_sdr', zero_mean=True)
        values, best = permutation_invariant(pairs)
        return values.mean(), best

    (value, best), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(g['sdr/est'])
    np.testing.assert_allclose(value, g['pit/loss'], rtol=1e-5)
    np.testing.assert_array_equal(best, g['pit/best_perm'])
    np.testing.assert_array_equal(reorder(g['sdr/est'], best), g['pit/reordered'])
    np.testing.assert_allclose(grad, g['pit/grad_est'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('n', [1, 2, 4, 5, 6, 7])
def test_assignment_is_that_of_scipy_below_and_above_the_change_of_algorithm(n):
    losses = np.random.default_rng(n).normal(size=(3, n, n)).astype(np.float32)
    values, best = permutation_invariant(losses)
    assert best.dtype == jnp.int32
    for b in range(3):
        rows, columns = scipy.optimize.linear_sum_assignment(losses[b])
        np.testing.assert_array_equal(best[b], rows[np.argsort(columns)])
        np.testing.assert_allclose(values[b], losses[b][rows, columns].mean(), rtol=1e-5)


@pytest.mark.parametrize('n', [3, 6])
def test_gradients_reach_the_chosen_pairs_only(n):
    losses = 1 - np.roll(np.eye(n, dtype=np.float32), 1, axis=1)[None]
    grad = jax.jit(jax.grad(lambda x: permutation_invariant(x)[0].sum()))(losses)
    np.testing.assert_allclose(grad[0], np.roll(np.eye(n), 1, axis=1) / n, rtol=1e-6)


def test_ties_take_the_first_permutation_and_no_sources_give_0():
    _, best = permutation_invariant(jnp.zeros((2, 3, 3)))
    np.testing.assert_array_equal(best, [[0, 1, 2]] * 2)
    value, best = permutation_invariant(jnp.zeros((2, 0, 0)))
    assert value.tolist() == [0, 0] and best.shape == (2, 0)


def test_order_of_the_estimates_does_not_matter():
    e, s = normal(3, 2, 3, 20)
    value, _ = permutation_invariant(pairwise_losses(e, s))
    shuffled, _ = permutation_invariant(pairwise_losses(e[:, ::-1], s))
    np.testing.assert_allclose(value, shuffled, rtol=1e-5)


@pytest.mark.parametrize('generalized', [0, 1])
def test_mixit_is_that_of_asteroid_in_value_and_gradient(golden, generalized):
    g = golden('shared_audio')

    def loss(estimates):
        values, sums = mixture_invariant(estimates, g['mixit/mix'], generalized=bool(generalized))
        return values.mean(), sums

    (value, sums), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(g['mixit/est'])
    name = f'mixit/gen{generalized}'
    np.testing.assert_allclose(value, g[f'{name}/loss'], rtol=1e-5)
    np.testing.assert_allclose(sums, g[f'{name}/est_mix'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad, g[f'{name}/grad'], rtol=1e-4, atol=1e-6)


def test_mixit_is_the_best_of_all_ways():
    rng = np.random.default_rng(4)
    e, x = rng.normal(size=(2, 3, 10)), rng.normal(size=(2, 2, 10))
    value, _ = mixture_invariant(e.astype(np.float32), x.astype(np.float32))
    for b in range(2):
        each = []
        for way in itertools.product(range(2), repeat=3):
            sums = np.zeros((2, 10))
            for i, j in enumerate(way):
                sums[j] += e[b, i]
            each.append(-np.mean([slow_decibels(sums[j], x[b, j], 'snr', False) for j in range(2)]))
        np.testing.assert_allclose(value[b], min(each), rtol=1e-5)


def test_mixit_of_silence_is_finite():
    grad = jax.jit(jax.grad(lambda e: mixture_invariant(e, jnp.zeros((1, 2, 8)))[0].sum()))
    assert np.isfinite(grad(np.zeros((1, 4, 8), np.float32))).all()
    assert np.isfinite(grad(np.ones((1, 4, 8), np.float32))).all()


def test_equal_shares_are_a_subset_of_all_shares():
    everything, equal = shares(4, 2, True), shares(4, 2, False)
    assert len(everything) == 16 and len(equal) == 6
    assert (everything.sum(axis=1) == 1).all() and (equal.sum(axis=2) == 2).all()
    assert {x.tobytes() for x in equal} < {x.tobytes() for x in everything}


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: decibels(jnp.ones(3), jnp.ones(3), kind='sdr'), 'kind: expected one of'),
        (lambda: pairwise_losses(jnp.ones((1, 2, 3)), jnp.ones((1, 2, 4))), 'targets: expected'),
        (lambda: permutation_invariant(jnp.ones((1, 2, 3))), 'losses: expected'),
        (lambda: shares(13, 2, True), 'estimates: expected 1 to 12'),
        (lambda: shares(0, 2, True), 'estimates: expected 1 to 12'),
        (lambda: shares(3, 2, False), 'estimates: expected a multiple of 2'),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
