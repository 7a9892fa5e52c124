import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.test_util import check_grads

from jaxsep.models.blocks import entropy
from jaxsep.models.blocks.entropy import EntropyBottleneck

NAMES = {'matrices': 'matrix', 'biases': 'bias', 'factors': 'factor'}


def density(a, prefix):
    """Parameters, or their gradients, from the original's names."""
    found = {}
    for theirs, ours in NAMES.items():
        for i in range(5):
            if f'{prefix}{theirs}.{i}' in a:
                value = a[f'{prefix}{theirs}.{i}']
                found[f'{ours}_{i}'] = jnp.asarray(value if ours == 'matrix' else value[..., 0])
    return found


cumulative_logits = jax.jit(entropy.cumulative_logits)
gaussian_likelihoods = jax.jit(entropy.gaussian_likelihoods)


def last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def first(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


@functools.partial(jax.jit, static_argnums=0)
def bits_and_gradients(layer, params, x):
    def total(params, x):
        likelihoods = layer.apply({'params': params}, x)
        return jnp.sum(entropy.bits(likelihoods)), likelihoods

    (value, found), grads = jax.value_and_grad(total, (0, 1), has_aux=True)(params, x)
    return value, found, grads


@functools.partial(jax.jit, static_argnums=0, static_argnames=('method', 'radius'))
def apply(layer, params, *given, method=None, **options):
    return layer.apply({'params': params}, *given, method=method, **options)


def test_the_bottleneck_agrees_with_the_original_in_training(golden):
    a = golden('entropy_models')
    layer = EntropyBottleneck(3)
    params = density(a, 'eb/w/') | {'quantiles': jnp.asarray(a['eb/w/quantiles'][:, 0])}
    value, found, (grads, grad_x) = bits_and_gradients(
        layer, params, last(a['eb/x'] + a['eb/noise'])
    )
    np.testing.assert_allclose(first(found), a['eb/train/likelihood'], rtol=2e-5, atol=1e-8)
    np.testing.assert_allclose(value, a['eb/train/bits'], rtol=1e-5)
    np.testing.assert_allclose(first(grad_x), a['eb/train/grad_x'], rtol=1e-4, atol=1e-4)
    for name, want in density(a, 'eb/train/grad/').items():
        np.testing.assert_allclose(grads[name], want, rtol=2e-4, atol=2e-4, err_msg=name)
    np.testing.assert_array_equal(grads['quantiles'], 0)


def test_symbols_tables_and_the_auxiliary_loss_agree_with_the_original(golden):
    a = golden('entropy_models')
    layer, quantiles = EntropyBottleneck(3), jnp.asarray(a['eb/w/quantiles'][:, 0])
    params = density(a, 'eb/w/') | {'quantiles': quantiles}
    symbols = apply(layer, params, last(a['eb/x']), method='symbols')
    values = apply(layer, params, symbols, method='values')
    np.testing.assert_allclose(first(values), a['eb/eval/x_hat'], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(first(values), a['eb/decompressed'], rtol=1e-6, atol=1e-6)
    found = apply(layer, params, values)
    np.testing.assert_allclose(first(found), a['eb/eval/likelihood'], rtol=2e-5, atol=1e-8)
    auxiliary_loss = functools.partial(apply, layer, method='auxiliary_loss')
    loss, grads = jax.jit(jax.value_and_grad(auxiliary_loss))(params)
    np.testing.assert_allclose(loss, a['eb/aux_loss'], rtol=1e-5)
    np.testing.assert_allclose(
        grads.pop('quantiles'), a['eb/aux_grad_quantiles'][:, 0], rtol=1e-4, atol=1e-5
    )
    assert all(np.all(g == 0) for g in grads.values())
    # The table of a channel: cumulative counts of 65,536 from `offset` on, the tail at the end.
    mass = apply(layer, params, radius=16, method='symbol_likelihoods')
    for c in range(3):
        counts = np.diff(a['eb/cdf'][c, : a['eb/cdf_length'][c]])[:-1]
        start = 16 + a['eb/offset'][c]
        # Rounding and the original's smallest count of 1 move entries by a few counts.
        own = np.asarray(mass[c, start : start + len(counts)])
        np.testing.assert_allclose(counts, own * counts.sum() / own.sum(), atol=12)


def test_far_out_the_digits_are_there_and_bisection_finds_the_quantiles_of_the_original(golden):
    a = golden('entropy_models')
    params = density(a, 'eb/w/') | {'quantiles': jnp.asarray(a['eb/w/quantiles'][:, 0])}
    _, found, (_, grad) = bits_and_gradients(EntropyBottleneck(3), params, last(a['eb/extreme/x']))
    # The original's difference of sigmoids near 1 has only the digits of float32 at 1.
    np.testing.assert_allclose(first(found), a['eb/extreme/likelihood'], rtol=1e-4, atol=1.2e-7)
    np.testing.assert_allclose(first(grad), a['eb/extreme/grad_x'], rtol=1e-2, atol=1e-4)
    quantiles = jax.jit(entropy.bisect_quantiles)(density(a, 'eb_bisect/w/'))
    # The original stops within 4e-4 of the logits of the tails, which rise by 0.1 a unit there.
    np.testing.assert_allclose(quantiles, a['eb_bisect/quantiles'][:, 0], atol=5e-3)


def oracle(params, channel, value):
    """The logit of the distribution function at one value, float64."""
    h = np.array([value], np.float64)
    for i in range(3):
        matrix = np.log1p(np.exp(np.asarray(params[f'matrix_{i}'][channel], np.float64)))
        h = matrix @ h + params[f'bias_{i}'][channel]
        if i < 2:
            h = h + np.tanh(params[f'factor_{i}'][channel]) * np.tanh(h)
    return h[0]


def random_density(seed, layer, channels=2):
    rng = np.random.default_rng(seed)
    params = jax.jit(layer.init)(jax.random.key(seed), np.zeros((1, channels)))['params']
    return {k: jnp.asarray(v + 0.3 * rng.normal(size=v.shape)) for k, v in params.items()}


def test_likelihoods_agree_with_loops_and_have_exact_gradients(float64):
    layer = EntropyBottleneck(2, filters=(3, 2), init_scale=2.0)
    params = random_density(0, layer)
    x = np.random.default_rng(1).normal(size=(2, 3, 2))
    found = np.asarray(apply(layer, params, x))
    for place in np.ndindex(x.shape):
        high, low = (oracle(params, place[-1], x[place] + half) for half in (0.5, -0.5))
        want = 1 / (1 + np.exp(-high)) - 1 / (1 + np.exp(-low))
        np.testing.assert_allclose(found[place], want, rtol=1e-7)
    check_grads(
        jax.jit(lambda p, x: jnp.sum(entropy.bits(layer.apply({'params': p}, x)))),
        (params, x), 1, ('rev',), rtol=1e-4,
    )  # fmt: skip


def test_masses_of_all_symbols_sum_to_one_and_distribution_functions_rise():
    layer = EntropyBottleneck(2, init_scale=2.0)
    params = random_density(2, layer)
    mass = apply(layer, params, radius=200, method='symbol_likelihoods')
    np.testing.assert_allclose(mass.sum(1), 1, rtol=1e-5)
    grid = np.tile(np.linspace(-30, 30, 200, dtype=np.float32)[None], (2, 1))
    assert np.all(np.diff(cumulative_logits(params, grid)) > 0)


def test_descent_on_the_auxiliary_loss_moves_the_median_to_where_half_of_the_mass_is():
    layer = EntropyBottleneck(2, init_scale=1.0, tail_mass=0.1)
    params = random_density(3, layer)
    params['quantiles'] = jax.jit(entropy.bisect_quantiles, static_argnums=1)(params, 0.1)
    assert float(apply(layer, params, method='auxiliary_loss')) < 1e-3
    half = cumulative_logits(params, params['quantiles'])
    target = np.log(2 / 0.1 - 1)
    np.testing.assert_allclose(half, np.tile([[-target, 0, target]], (2, 1)), atol=1e-3)
    np.testing.assert_array_equal(apply(layer, params, method='medians'), params['quantiles'][:, 1])


def test_likelihoods_are_finite_far_out_and_without_rows():
    layer = EntropyBottleneck(2)
    params = random_density(4, layer)
    for x in (np.full((1, 2), 1e4, np.float32), np.full((1, 2), -1e4, np.float32),
              np.zeros((0, 3, 2), np.float32), np.zeros((3, 0, 2), np.float32)):  # fmt: skip
        value, found, grads = bits_and_gradients(layer, params, x)
        assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves((value, found, grads)))
        np.testing.assert_allclose(found, 1e-9, rtol=1e-5)  # if there are any
        if not found.size:
            assert value == 0


def test_noise_is_uniform_within_half_and_each_example_has_its_own():
    keys = jax.random.split(jax.random.key(0), 400)
    rounding_noise = jax.jit(entropy.rounding_noise, static_argnums=1)
    noise = np.asarray(rounding_noise(keys, (5,)))
    assert noise.shape == (400, 5) and noise.min() >= -0.5 and noise.max() <= 0.5
    np.testing.assert_allclose(noise.mean(), 0, atol=0.02)
    np.testing.assert_allclose(noise.var(), 1 / 12, rtol=0.05)
    np.testing.assert_allclose(rounding_noise(keys[7:8], (5,)), noise[7:8])


def test_gaussians_agree_with_the_original_in_value_gradient_and_table(golden):
    a = golden('entropy_models')
    y, s, m = (a[f'gc/{name}'] for name in ('y', 'scales', 'means'))
    rounded = np.round(y - m) + m
    np.testing.assert_allclose(rounded, a['gc/eval/y_hat'], rtol=1e-6)
    close = dict(rtol=1e-4, atol=1e-9)
    gaussian = gaussian_likelihoods
    np.testing.assert_allclose(gaussian(rounded, s, m), a['gc/eval/likelihood'], **close)
    zero = gaussian(np.round(y), s)
    np.testing.assert_allclose(zero, a['gc/eval_zero_mean/likelihood'], **close)

    def total(y, s, m):
        likelihoods = gaussian(y + a['gc/noise'], s, m)
        return jnp.sum(entropy.bits(likelihoods)), likelihoods

    (value, found), grads = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(y, s, m)
    np.testing.assert_allclose(found, a['gc/train/likelihood'], **close)
    np.testing.assert_allclose(value, a['gc/train/bits'], rtol=1e-5)
    for name, grad in zip(('y', 'scales', 'means'), grads, strict=True):
        np.testing.assert_allclose(grad, a[f'gc/train/grad_{name}'], rtol=5e-4, atol=5e-4)
    table = entropy.scale_table()
    np.testing.assert_allclose(table, a['gc/scale_table'], rtol=1e-12)
    np.testing.assert_array_equal(entropy.scale_indices(jnp.asarray(s), table), a['gc/indexes'])


def test_gaussians_agree_with_scipy_also_far_out_and_are_bounded(float64):
    rng = np.random.default_rng(5)
    y, s, m = rng.normal(size=20) * 5, rng.uniform(0.5, 3, 20), rng.normal(size=20)
    away = np.abs(y - m)
    want = scipy.stats.norm.cdf((0.5 - away) / s) - scipy.stats.norm.cdf((-0.5 - away) / s)
    found = gaussian_likelihoods(y, s, m)
    np.testing.assert_allclose(found, np.maximum(want, 1e-9), rtol=1e-9)
    far = np.array([100.0, -100.0, 0.0])
    value, grad = jax.jit(
        jax.value_and_grad(
            lambda y: jnp.sum(entropy.bits(gaussian_likelihoods(y, np.zeros(3))[None]))
        )
    )(far)
    np.testing.assert_allclose(value, 2 * -np.log2(1e-9), rtol=1e-4)
    assert np.all(np.isfinite(grad))
    assert entropy.scale_indices(jnp.array([0.0, 0.11, 0.2, 1e6]), [0.11, 0.15, 0.3]).tolist() == [
        0,
        0,
        2,
        2,
    ]


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match='tail_mass: expected a share .*, got 0'):
        EntropyBottleneck(2, tail_mass=0.0).init(jax.random.key(0), jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match='smallest, largest, levels: .*, got 2.0, 1.0, 4'):
        entropy.scale_table(2.0, 1.0, 4)
