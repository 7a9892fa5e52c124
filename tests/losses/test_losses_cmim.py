import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from jaxsep.losses import cmim

B, D, S = 6, 4, 7  # those of the golden arrays: one program for both


def by_own(mean, logvar, noise, temperature):
    return cmim.pair_log_prob(cmim.reparametrize(mean, logvar, noise), None, temperature)


def by_mean(mean, logvar, noise, temperature):
    return cmim.pair_log_prob(cmim.reparametrize(mean, logvar, noise), mean, temperature)


FACTORS = {'selfpair': by_own, 'mean_sample': by_mean}


@functools.cache
def factor(name):
    """Loss, values and gradients of the contrastive factor."""

    def loss(mean, logvar, noise, temperature):
        values = FACTORS[name](mean, logvar, noise, temperature)
        return -jnp.sum(values) / max(len(values), 1), values

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


def terms(mean, logvar, noise, x, logits):
    """The logarithms of p(x|z), q(z|x) and P(z) at a sample."""
    z = cmim.reparametrize(mean, logvar, noise)
    zero = jnp.zeros_like(z)
    log_q = cmim.gaussian_log_prob(z, mean, logvar)
    return cmim.bernoulli_log_prob(x, logits), log_q, cmim.gaussian_log_prob(z, zero, zero)


@jax.jit
def amim(mean, logvar, noise, x, logits):
    def loss(mean, logvar, logits):
        found = terms(mean, logvar, noise, x, logits)
        return cmim.amim_loss(*found), found

    return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(mean, logvar, logits)


def examples(seed=0, b=B):
    rng = np.random.default_rng(seed)
    mean, noise = rng.normal(size=(2, b, D))
    logvar = rng.uniform(-2, 1, (b, D))
    return mean, logvar, noise, rng.uniform(size=(b, S)), 2 * rng.normal(size=(b, S))


def in_float32(*rows):
    return tuple(np.asarray(x, np.float32) for x in rows)


def test_amim_agrees_with_the_original_in_value_and_gradient(golden):
    g = golden('cmim')
    given = (g[f'amim/{name}'] for name in ('mu', 'logvar', 'noise', 'x', 'logits'))
    (loss, found), gradients = amim(*given)
    for name, got in zip(('log_px', 'log_q', 'log_prior'), found, strict=True):
        np.testing.assert_allclose(got, g[f'amim/{name}'], rtol=2e-5)
    np.testing.assert_allclose(loss, g['amim/loss'], rtol=2e-5)
    np.testing.assert_allclose(-0.5 * (found[1] + found[2]), g['amim/hidden_loss'], rtol=2e-5)
    for name, got in zip(('mu', 'logvar', 'logits'), gradients, strict=True):
        np.testing.assert_allclose(got, g[f'amim/grad_{name}'], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('name', FACTORS)
def test_the_factor_agrees_with_the_reference_in_value_and_gradient(golden, name):
    g = {k.split('/')[1]: v for k, v in golden('cmim').items() if f'contrast_{name}/' in k}
    given = g['mu'], g['logvar'], g['noise'], jnp.float32(g['tau'])
    (loss, values), gradients = factor(name)(*given)
    np.testing.assert_allclose(values, g['log_pk'], rtol=2e-5)
    np.testing.assert_allclose(loss, g['loss'], rtol=2e-5)
    for which, got in zip(('mu', 'logvar'), gradients, strict=True):
        want = g[f'grad_{which}']
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6 * np.abs(want).max())


def gaussian_oracle(x, mean, logvar):
    total = 0.0
    for value, m, v in zip(x, mean, logvar, strict=True):
        density = math.exp(-((value - m) ** 2) / (2 * math.exp(v)))
        total += math.log(density / math.sqrt(2 * math.pi * math.exp(v)))
    return total


def bernoulli_oracle(x, logits):
    p = [1 / (1 + math.exp(-v)) for v in logits]
    return sum(a * math.log(q) + (1 - a) * math.log(1 - q) for a, q in zip(x, p, strict=True))


def pair_oracle(z, rows, temperature):
    def similarity(a, b):
        return np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) / temperature

    values = []
    for i in range(len(z)):
        own = math.exp(similarity(z[i], rows[i]))
        others = [math.exp(similarity(z[i], rows[j])) for j in range(len(z)) if j != i]
        values.append(math.log(own / (own + np.mean(others))))
    return np.array(values)


def total(mean, logvar, noise, x, logits, temperature=0.3):
    z = cmim.reparametrize(mean, logvar, noise)
    both = cmim.pair_log_prob(z, None, temperature) + cmim.pair_log_prob(z, mean, temperature)
    found = terms(mean, logvar, noise, x, logits)
    return cmim.cmim_loss(*found, both), cmim.negative_elbo(*found)


def test_agrees_with_loops_and_has_exact_gradients(float64):
    mean, logvar, noise, x, logits = rows = examples(1, 5)
    z = mean + np.exp(logvar / 2) * noise
    pair = pair_oracle(z, z, 0.3) + pair_oracle(z, mean, 0.3)
    each = range(5)
    log_px = np.array([bernoulli_oracle(x[i], logits[i]) for i in each])
    log_q = np.array([gaussian_oracle(z[i], mean[i], logvar[i]) for i in each])
    log_prior = np.array([gaussian_oracle(z[i], np.zeros(D), np.zeros(D)) for i in each])
    joint, elbo = jax.jit(total)(*rows)
    want = np.mean(-log_px - (log_q + log_prior) / 2 - pair)
    np.testing.assert_allclose(joint, want, rtol=1e-11)
    np.testing.assert_allclose(elbo, np.mean(-log_px + log_q - log_prior), rtol=1e-11)
    check_grads(jax.jit(total), tuple(map(jnp.asarray, rows)), order=1, modes=('rev',))


def test_log_densities_agree_with_scipy_and_sum_over_all_axes():
    from scipy import stats

    mean, logvar, z, *_ = examples(2)
    images = (v.reshape(B, 2, 2) for v in (z, mean, logvar))
    x = np.eye(2)[[0, 1, 1, 0]]
    logits = np.tile([[0.7, -0.3]], (4, 1))

    @jax.jit
    def both(gaussian, bernoulli):
        return cmim.gaussian_log_prob(*gaussian), cmim.bernoulli_log_prob(*bernoulli)

    got = both(in_float32(*images), in_float32(x, logits))
    want = stats.norm.logpdf(z, mean, np.exp(logvar / 2)).sum(1)
    np.testing.assert_allclose(got[0], want, rtol=1e-5)
    want = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(1)
    np.testing.assert_allclose(got[1], want, rtol=1e-5)


def pair(z):
    """The factor of codes without noise."""
    (_, values), _ = factor('selfpair')(z, *np.zeros((2, B, D), np.float32), 0.1)
    return np.asarray(values)


def test_codes_that_are_all_alike_are_told_apart_half_of_the_time():
    same, three = in_float32(np.ones((B, D)), np.repeat(np.eye(D)[:3], 2, axis=0))
    np.testing.assert_allclose(pair(same), math.log(1 / 2), rtol=1e-6)  # of a sum it were 1/B
    # One other code alike, four at right angles.
    want = -math.log1p((1 + 4 * math.exp(-10)) / 5)
    np.testing.assert_allclose(pair(three), want, rtol=1e-5)


def test_scale_rotation_and_order_of_codes_do_not_matter():
    z, rotation = np.random.default_rng(4).normal(size=(2, B, D))
    rotation, _ = np.linalg.qr(rotation[:D])
    order = np.random.default_rng(5).permutation(B)
    scale = np.linspace(0.01, 100, B)[:, None]
    value, changed = pair(*in_float32(z)), pair(*in_float32((scale * z @ rotation)[order]))
    np.testing.assert_allclose(changed, value[order], rtol=1e-3, atol=1e-6)


def test_spreading_codes_raises_the_factor_to_its_bound():
    crowded = np.ones((B, D))
    crowded[:, 0] += np.linspace(0, 1, B)
    corners = np.concatenate([np.eye(D)[:3], -np.eye(D)[:3]])  # cosines 0, and one of -1
    assert np.mean(pair(*in_float32(crowded))) < -0.6
    want = -math.log1p((4 * math.exp(-10) + math.exp(-20)) / 5)
    np.testing.assert_allclose(pair(*in_float32(corners)), want, rtol=1e-3)


def test_without_other_codes_there_is_nothing_to_confuse():
    given = (*in_float32(*np.ones((3, 1, D))), 0.1)
    (loss, values), gradients = factor('mean_sample')(*given)
    assert loss == 0 and values.shape == (1,) and not any(np.any(g) for g in gradients)
    assert cmim.pair_log_prob(jnp.ones((0, D))).shape == (0,)
    none = jnp.ones(0)
    assert cmim.cmim_loss(none, none, none, none) == 0 and cmim.negative_elbo(none, none, none) == 0


infonce = jax.jit(jax.value_and_grad(cmim.infonce_code, (0, 1)))


def test_infonce_is_a_sum_over_both_samples_of_all_other_codes():
    mean, logvar, *_ = examples(6)
    noise = np.random.default_rng(7).normal(size=(B, 2, D))
    z = np.concatenate([mean + np.exp(logvar / 2) * noise[:, view] for view in (0, 1)])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(2 * B):
        s = np.delete(np.exp(z @ z[i] / 0.1), i)
        losses.append(-math.log(math.exp(z[i] @ z[(i + B) % (2 * B)] / 0.1) / s.sum()))
    value, _ = infonce(*in_float32(mean, logvar, noise))
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)


def test_finite_with_finite_gradient_where_codes_degenerate():
    mean, logvar, noise, x, logits = in_float32(*examples(8))
    zero = np.zeros((B, D), np.float32)
    same = np.concatenate([mean[:3], mean[:3]])
    for case in (
        (zero, logvar, zero, logits),
        (same, logvar * 0 - 8, zero, logits),
        (mean * 1e4, logvar, noise, logits * 1e4),
        (mean, logvar, noise * 1e4, logits),
    ):
        (value, _), gradients = amim(*case[:3], x, case[3])
        assert np.isfinite(value) and all(np.all(np.isfinite(g)) for g in gradients)
        for name in FACTORS:
            (value, _), gradients = factor(name)(*case[:3], 0.005)
            assert np.isfinite(value) and all(np.all(np.isfinite(g)) for g in gradients)
    half = [v.astype(jnp.bfloat16) for v in (mean, logvar, noise)]
    (value, values), gradients = factor('mean_sample')(*half, 0.1)
    assert value.dtype == values.dtype == jnp.float32 and gradients[0].dtype == jnp.bfloat16
    assert np.isfinite(value)
    half = jax.eval_shape(amim, *half, *(v.astype(jnp.bfloat16) for v in (x, logits)))
    assert {v.dtype for v in jax.tree.leaves(half[0])} == {jnp.dtype(jnp.float32)}


def test_eight_devices_give_the_value_and_gradient_of_one(same_on_eight_devices):
    def loss(mean, logvar, noise, x, logits, *, axis_name):
        z = cmim.reparametrize(mean, logvar, noise)
        found = terms(mean, logvar, noise, x, logits)
        own, others = (
            cmim.pair_log_prob(z, rows, 0.3, axis_name=axis_name) for rows in (None, mean)
        )
        pairs = jnp.stack([noise, noise[:, ::-1]], 1)
        return (
            cmim.cmim_loss(*found, own + 2 * others, axis_name=axis_name)
            + cmim.negative_elbo(*found, axis_name=axis_name)
            + cmim.infonce_code(mean, logvar, pairs, axis_name=axis_name)
        )

    same_on_eight_devices(loss, *in_float32(*examples(9, 16)))


@hypothesis.settings(derandomize=True, max_examples=25, deadline=None, database=None)
@hypothesis.given(
    arrays.arrays(np.float32, (3, B, D), elements=hypothesis.strategies.floats(-8, 8, width=32)),
    hypothesis.strategies.sampled_from((1.0, 1e4, 1e-20)),
)
def test_the_factor_is_a_probability_for_any_codes(given, scale):
    mean, logvar, noise = given[0] * scale, given[1], given[2] * scale
    for name in FACTORS:
        (_, values), gradients = factor(name)(mean, logvar, noise, 0.005)
        assert np.all(values <= 0) and np.all(np.isfinite(values))
        assert all(np.all(np.isfinite(g)) for g in gradients)
    value, gradients = infonce(mean, logvar, np.stack([noise, -noise], 1))
    assert np.isfinite(value) and value >= -1e-6
    assert all(np.all(np.isfinite(g)) for g in gradients)


@pytest.mark.parametrize('temperature', [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_named(temperature):
    with pytest.raises(ValueError, match='temperature must be positive'):
        cmim.pair_log_prob(jnp.ones((2, D)), None, temperature)
