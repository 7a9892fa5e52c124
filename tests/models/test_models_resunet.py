import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.resunet import (
    DecoderBlock,
    QuerySeparator,
    ResidualBlock,
    ResUNet,
    Upsample,
    masked,
)
from jaxsep.ops.stft import Polar, from_polar, istft

SMALL = {'widths': (2, 3), 'pools': ((2, 2), (1, 2)), 'momentum': 0.9}


@functools.partial(jax.jit, static_argnums=(0, 1))
def applied(module, train, variables, *inputs):
    """A module's output and, when it trains, its new statistics."""
    return module.apply(variables, *inputs, train, mutable=['batch_stats'])


@jax.jit
def spectrum_of(maps, polar):
    return from_polar(masked(maps, polar))


def channels_last(x):
    return np.moveaxis(x, 1, -1)


def kernel(g, name):
    """A convolution of PyTorch, [out, in, h, w], as one of Flax."""
    return jnp.asarray(g[f'block/w/{name}.weight'].transpose(2, 3, 1, 0))


def film(g, name):
    """A linear layer of PyTorch."""
    return {
        'kernel': jnp.asarray(g[f'block/film/{name}.weight'].T),
        'bias': jnp.asarray(g[f'block/film/{name}.bias']),
    }


def norm(g, name, beta):
    w = {k: jnp.asarray(g[f'block/w/{name}.{k}']) for k in ('weight', 'bias')}
    stats = {k: jnp.asarray(g[f'block/w/{name}.running_{k}']) for k in ('mean', 'var')}
    params = {'norm': {'scale': w['weight'], 'bias': w['bias']}, 'beta': film(g, beta)}
    return params, {'norm': stats}


def residual(g, name, betas):
    params, stats = {}, {}
    for i in (1, 2):
        params[f'norm{i}'], stats[f'norm{i}'] = norm(g, f'{name}.bn{i}', f'{betas}->beta{i}')
        params[f'conv{i}'] = {'kernel': kernel(g, f'{name}.conv{i}')}
    if f'block/w/{name}.shortcut.weight' in g:
        bias = jnp.asarray(g[f'block/w/{name}.shortcut.bias'])
        params['shortcut'] = {'kernel': kernel(g, f'{name}.shortcut'), 'bias': bias}
    return params, stats


def decoder(g):
    params, stats = {}, {}
    name = 'decoder_block1'
    params['norm'], stats['norm'] = norm(g, f'{name}.bn1', f'{name}->beta1')
    weight = g[f'block/w/{name}.conv1.weight']  # [in, out, h, w]
    params['up'] = {
        'Dense_0': {'kernel': jnp.asarray(weight.transpose(0, 2, 3, 1).reshape(len(weight), -1))}
    }
    params['block'], stats['block'] = residual(g, f'{name}.conv_block2', f'{name}->conv_block2')
    return params, stats


def before_the_training_pass(saved, seen, counts):
    """Running statistics that one training pass of PyTorch, with momentum 0.01, made the saved ones.

    PyTorch's running variance is the unbiased one; `counts` has the numbers behind each variance.
    """
    found = {}
    for name, stats in saved.items():
        if 'norm' not in stats:
            found[name] = before_the_training_pass(stats, seen[name], counts[name])
            continue
        unbiased = {'mean': 1.0, 'var': counts[name] / (counts[name] - 1)}
        batch = seen[name]['norm']
        known = {k: (v - 0.01 * unbiased[k] * batch[k]) / 0.99 for k, v in stats['norm'].items()}
        found[name] = {'norm': known}
    return found


def test_blocks_are_those_of_the_released_code(golden):
    g = golden('uss')
    x, condition = channels_last(g['block/x']), g['block/cond']
    encoder = residual(g, 'encoder_block1.conv_block1', 'encoder_block1->conv_block1')
    middle = residual(g, 'conv_block7a.conv_block1', 'conv_block7a->conv_block1')
    large, small = 2 * 6 * 8, 2 * 3 * 4
    both = {'norm1': large, 'norm2': large}
    parts = {  # the module, its parameters and statistics, pixels that each norm sees
        'enc': (ResidualBlock(3, momentum=0.0), *encoder, both),
        'center': (ResidualBlock(3, momentum=0.0), *middle, {'norm1': small, 'norm2': small}),
        'dec': (DecoderBlock(2, (2, 2), momentum=0.0), *decoder(g), {'norm': small, 'block': both}),
    }
    statistics = {name: part[2] for name, part in parts.items()}

    def run(name, train, *inputs):
        module, params, _, counts = parts[name]
        variables = {'params': params, 'batch_stats': statistics[name]}
        found, changed = jax.device_get(applied(module, train, variables, *inputs, condition))
        if train:  # with momentum 0 they are those of the batch
            seen = changed['batch_stats']
            statistics[name] = before_the_training_pass(statistics[name], seen, counts)
        return found

    for mode, train in (('train', True), ('eval', False)):  # evaluated before, saved after training
        encoded = run('enc', train, x)
        b, m, f, c = encoded.shape
        pooled = encoded.reshape(b, m // 2, 2, f // 2, 2, c).mean(axis=(2, 4))
        center = run('center', train, pooled)
        decoded = run('dec', train, center, encoded[..., :2])
        found = {'enc': encoded, 'pool': pooled, 'center': center, 'dec': decoded}
        for name, value in found.items():
            want = np.moveaxis(g[f'block/{mode}/{name}'], 1, -1)
            # Sums of 18 to 36 products, normalised: a few units in the last place of numbers near 1.
            np.testing.assert_allclose(value, want, rtol=1e-4, atol=2e-5, err_msg=f'{mode} {name}')


def test_waveform_from_three_maps_is_that_of_the_released_code(golden):
    g = golden('uss')
    n_fft, hop = (int(x) for x in g['head/cfg'])
    polar = Polar(*(g[f'head/{name}'][:, 0] for name in ('mag', 'cos', 'sin')))
    spectrum = spectrum_of(channels_last(g['head/feat']), polar)
    inverse = jax.jit(istft, static_argnames=('n_fft', 'hop', 'length'))
    found = inverse(spectrum, n_fft=n_fft, hop=hop, length=g['head/mix'].shape[-1])
    np.testing.assert_allclose(found, g['head/wav'][:, 0], rtol=1e-4, atol=1e-5)


def test_mask_is_the_equation_one_bin_at_a_time():
    maps = np.random.default_rng(1).normal(size=(1, 2, 3, 3)).astype(np.float32)
    spectrum = np.random.default_rng(0).normal(size=(2, 1, 2, 3)) @ np.eye(3)
    x = spectrum[0] + 1j * spectrum[1]
    size = np.abs(x)
    polar = Polar(*(v.astype(np.float32) for v in (size, x.real / size, x.imag / size)))
    found = np.asarray(spectrum_of(maps, polar))
    for m in range(2):
        for f in range(3):
            a, b, c = (float(v) for v in maps[0, m, f])
            turn = np.tanh(b) + 1j * np.tanh(c)
            want = x[0, m, f] / (1 + np.exp(-a)) * turn / abs(turn)
            np.testing.assert_allclose(found[0, m, f], want, rtol=1e-5)


def test_mask_of_silence_and_of_maps_of_zeros_and_extremes_is_finite():
    nothing = np.zeros((1, 2, 3), np.float32)
    polar = Polar(nothing + np.float32(1e-5), nothing, nothing)

    @jax.jit
    @jax.grad
    def gradient(maps):
        return jnp.sum(jnp.square(jnp.abs(spectrum_of(maps, polar)) + 1.0))

    for size in (0, 1e4, -1e4):
        assert np.isfinite(gradient(np.full((1, 2, 3, 3), size, np.float32))).all()


def test_upsampling_is_a_transposed_convolution():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    up = Upsample(6, (2, 3))
    variables = jax.jit(up.init)(jax.random.key(2), x)
    weight = np.reshape(variables['params']['Dense_0']['kernel'], (5, 2, 3, 6))
    want = np.zeros((2, 6, 12, 6))
    for m in range(3):
        for f in range(4):
            patch = np.einsum('bc,cijd->bijd', np.asarray(x[:, m, f], np.float64), weight)
            want[:, 2 * m : 2 * m + 2, 3 * f : 3 * f + 3] += patch
    np.testing.assert_allclose(jax.jit(up.apply)(variables, x), want, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope='module')
def small():
    net = ResUNet(**SMALL)
    rng = np.random.default_rng(3)
    magnitude = np.abs(rng.normal(size=(2, 5, 9)).astype(np.float32))
    condition = rng.normal(size=(2, 3)).astype(np.float32)
    return net, jax.jit(net.init)(jax.random.key(5), magnitude, condition), magnitude, condition


def test_any_number_of_frames_keeps_its_shape_and_the_highest_frequency_is_0(small):
    net, variables, magnitude, condition = small
    maps, _ = jax.device_get(applied(net, False, variables, magnitude, condition))
    assert maps.shape == (2, 5, 9, 3)
    assert not maps[:, :, -1].any() and np.abs(maps[:, :, :-1]).min() > 0


def test_condition_and_every_parameter_matter(small):
    net, variables, magnitude, condition = small

    def total(params, condition):
        maps, _ = applied(net, False, {**variables, 'params': params}, magnitude, condition)
        return jnp.sum(maps * jnp.cos(jnp.arange(maps.size).reshape(maps.shape)))

    grads = jax.jit(jax.grad(total, argnums=(0, 1)))(variables['params'], condition)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_frequencies_are_normalised_one_by_one(small):
    net, variables, magnitude, condition = small
    assert variables['batch_stats']['input_norm']['mean'].shape == (9,)
    louder = magnitude * np.linspace(1, 50, 9, dtype=np.float32)
    a, b = (applied(net, True, variables, x, condition)[0] for x in (magnitude, louder))
    np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3)  # the variance has 1e-5 added


def test_paper_network_has_thirty_convolutions_and_halves_six_times():
    net = ResUNet()
    shapes = jax.eval_shape(
        net.init, jax.random.key(0), jnp.zeros((1, 33, 1025)), jnp.zeros((1, 527))
    )['params']
    convolutions = [
        path for path, leaf in jax.tree.leaves_with_path(shapes)
        if leaf.ndim == 4 and leaf.shape[:2] == (3, 3)
    ]  # fmt: skip
    assert len(convolutions) == 2 * (6 + 1 + 6)
    assert shapes['center']['conv1']['kernel'].shape == (3, 3, 384, 384)
    assert shapes['decoder5']['up']['Dense_0']['kernel'].shape == (384, 2 * 384)
    assert shapes['encoder0']['norm1']['beta']['kernel'].shape == (527, 32)


def test_separator_returns_as_many_samples_as_it_got_and_silence_for_silence():
    net = QuerySeparator(n_fft=16, hop=4, **SMALL)
    waveform = np.random.default_rng(6).normal(size=(2, 51)).astype(np.float32)
    condition = np.ones((2, 3), np.float32)
    variables = jax.jit(net.init)(jax.random.key(7), waveform, condition)
    separated, _ = applied(net, False, variables, waveform, condition)
    assert separated.shape == (2, 51)
    silent, _ = applied(net, False, variables, 0 * waveform, condition)
    np.testing.assert_allclose(silent, 0.0, atol=1e-4)  # magnitudes are at least 1e-5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'widths': (2,), 'pools': ((2, 2), (2, 2))}, 'pools: expected one for each'),
        ({'widths': (), 'pools': ()}, 'pools: expected one for each'),
        ({'widths': (2,), 'pools': ((1, 3),)}, 'pools: expected a product .* divides 8'),
    ],
)
def test_pools_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ResUNet(**options).init(jax.random.key(0), jnp.zeros((1, 4, 9)), jnp.zeros((1, 2)))
