import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.moment_probing import (
    CrossCovariances,
    MomentProbe,
    Psrp,
    SecondMoments,
    TokenNetwork,
    make_probe,
    pairs,
    recalibrated,
)

KEY = jax.random.key(0)


def dense(w, name):
    found = {'kernel': jnp.asarray(w[f'{name}.weight'].reshape(len(w[f'{name}.weight']), -1).T)}
    return found | ({'bias': jnp.asarray(w[f'{name}.bias'])} if f'{name}.bias' in w else {})


def norm(w, name):
    return {'scale': jnp.asarray(w[f'{name}.weight']), 'bias': jnp.asarray(w[f'{name}.bias'])}


def convolution(w, name):
    return {'kernel': jnp.asarray(w[f'{name}.weight'].transpose(2, 3, 1, 0))}


def released(g, prefix):
    """Parameters of `SecondMoments` and the weights of the released module they come from."""
    start = f'{prefix}/w/'
    w = {name.removeprefix(start): x for name, x in g.items() if name.startswith(start)}
    return w, {
        'covariances': {'projection': dense(w, 'proj'), 'norm': norm(w, 'ln')},
        'conv1': convolution(w, 'downblocks.0.0'),
        'conv2': convolution(w, 'downblocks.0.2'),
    }


def test_covariances_logits_and_gradient_are_those_of_the_code_for_transformers(golden):
    g = golden('moment_probing')
    w, second = released(g, 'vit_near')
    tokens, first = jnp.asarray(g['vit_near/tokens']), jnp.asarray(g['vit_near/cls'])
    covariances = CrossCovariances(44).apply({'params': second['covariances']}, tokens[:, 1:])
    np.testing.assert_allclose(covariances, g['vit_near/norm_cross_cov'], rtol=1e-4, atol=1e-5)
    probe = MomentProbe(5, SecondMoments(44))
    params = {'second': second, 'first': dense(w, 'classifier1'), 'last': dense(w, 'classifier2')}

    def loss(tokens):
        logits = probe.apply({'params': params}, first, tokens[:, 1:])
        return jnp.sum(logits**2), logits

    gradient, logits = jax.jit(jax.grad(loss, has_aux=True))(tokens)
    np.testing.assert_allclose(logits, g['vit_near/logits'], rtol=1e-4, atol=1e-5)
    expected = g['vit_near/grad_tokens_of_sum_sq']
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_logits_are_those_of_the_code_for_convolutional_networks(golden):
    g = golden('moment_probing')
    w, second = released(g, 'cnn_near')
    x = jnp.asarray(g['cnn_near/x_nchw'])
    tokens = x.reshape(2, 10, -1).swapaxes(1, 2)
    params = {
        'second': second,
        'first_norm': norm(w, 'cls_head.norm'),
        'first': dense(w, 'cls_head.fc'),
        'last': dense(w, 'classifier2'),
    }
    probe = MomentProbe(5, SecondMoments(44, layout='interleaved'), normalize=True)
    logits = probe.apply({'params': params}, tokens.mean(1), tokens)
    np.testing.assert_allclose(logits, g['cnn_near/logits'], rtol=1e-4, atol=1e-5)


def second_moments_in_float64(params, tokens, hidden, heads, layout, pairing, centering):
    """Token by token, head by head, of one example."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    c = p['covariances']
    h = tokens @ c['projection']['kernel'] + c['projection']['bias']
    size = hidden // heads
    split = []
    for j in range(heads):
        part = h[:, j * size : (j + 1) * size] if layout == 'contiguous' else h[:, j::heads]
        part = (part - part.mean(1, keepdims=True)) / np.sqrt(part.var(1, keepdims=True) + 1e-5)
        part = part * c['norm']['scale'] + c['norm']['bias']
        part = part - {'scalar': part.mean(), 'token': part.mean(0), 'none': 0}[centering]
        split.append(part)
    maps = []
    for i, j in pairs(pairing, heads):
        m = sum(np.outer(a, b) for a, b in zip(split[i], split[j], strict=True)) / len(tokens)
        maps.append(m if pairing == 'all' else m / np.linalg.norm(m, axis=0))
    x = np.stack(maps, -1)
    for name in ('conv1', 'conv2'):
        if name == 'conv2':
            x = np.vectorize(lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2)(x)
        side = (len(x) - 3) // 2 + 1
        kernel = p[name]['kernel']
        x = np.array(
            [
                [
                    np.tensordot(x[2 * u : 2 * u + 3, 2 * v : 2 * v + 3], kernel, 3)
                    for v in range(side)
                ]
                for u in range(side)
            ]
        )
    return x.transpose(2, 0, 1).ravel()


@pytest.mark.parametrize(
    ('heads', 'layout', 'pairing', 'centering', 'num_maps'),
    [
        (4, 'contiguous', 'near', 'token', 3), (4, 'interleaved', 'one', 'scalar', 3),
        (4, 'interleaved', 'half', 'none', 2), (3, 'contiguous', 'all', 'scalar', 3),
    ],
)  # fmt: skip
def test_second_moments_are_the_equations_in_float64(heads, layout, pairing, centering, num_maps):
    rng = np.random.default_rng(heads)
    tokens = rng.normal(size=(2, 5, 6))
    module = SecondMoments(11 * heads, heads, layout, pairing, centering)
    x = jnp.asarray(tokens, jnp.float32)
    params = jax.tree.map(
        lambda a: a + 0.3 * jnp.asarray(rng.random(a.shape), jnp.float32),
        module.init(KEY, x)['params'],
    )
    found = module.apply({'params': params}, x)
    assert found.shape == (2, num_maps * 2 * 2)
    for row, given in zip(np.asarray(found), tokens, strict=True):
        expected = second_moments_in_float64(
            params, given, 11 * heads, heads, layout, pairing, centering
        )
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-4)


def test_order_of_the_tokens_does_not_matter_and_degenerate_tokens_are_finite():
    module = SecondMoments(28)
    x = jax.random.normal(KEY, (2, 6, 5))
    variables = jax.jit(module.init)(KEY, x)

    @jax.jit
    def value_and_grad(tokens):
        return jax.value_and_grad(lambda z: jnp.sum(module.apply(variables, z) ** 2))(tokens)

    there, back = value_and_grad(x), value_and_grad(x[:, ::-1])
    np.testing.assert_allclose(back[0], there[0], rtol=1e-4)
    np.testing.assert_allclose(back[1][:, ::-1], there[1], rtol=1e-3, atol=1e-4)
    for degenerate in (jnp.zeros((2, 6, 5)), jnp.full((2, 6, 5), 1e4)):
        value, gradient = value_and_grad(degenerate)
        assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def test_recalibration_is_that_of_the_original_code(golden):
    g = golden('moment_probing')
    w = {name.removeprefix('psrp/w/'): x for name, x in g.items() if name.startswith('psrp/w/')}
    params = {
        'down': dense(w, 'down'),
        'scale': dense(w, 'up_weight'),
        'shift': dense(w, 'up_bias'),
    }
    x, y = jnp.asarray(g['psrp/x']), jnp.asarray(g['psrp/mlp_out'])
    scale, shift = Psrp(4).apply({'params': params}, x)
    np.testing.assert_allclose(scale, g['psrp/scale'], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shift, g['psrp/shift'], rtol=1e-4, atol=1e-6)
    # A block of a transformer adds its input.
    block = x + recalibrated(y, scale, shift)
    np.testing.assert_allclose(block, g['psrp/block_out'], rtol=1e-4, atol=1e-6)


def test_tokens_are_standardised_places_and_recalibration_begins_near_nothing():
    x = jax.random.uniform(KEY, (16, 6, 6, 1))
    plain, more = TokenNetwork((4, 8), (1, 2)), TokenNetwork((4, 8), (1, 2), 3)
    variables = jax.jit(more.init)(KEY, x)
    tokens, _ = more.apply(variables, x, train=True, mutable=['batch_stats'])
    assert tokens.shape == (16, 9, 8)
    np.testing.assert_allclose(tokens.mean((0, 1)), 0, atol=1e-4)
    spread = tokens.std((0, 1))
    assert (jnp.isclose(spread, 1, atol=2e-2) | (spread < 1e-3)).all()
    own = {k: v for k, v in variables['params'].items() if not k.startswith('psrp')}
    assert len(variables['params']) == len(own) + 2
    without = plain.apply({**variables, 'params': own}, x)
    found = more.apply(variables, x)
    assert 0 < jnp.abs(found - without).max() < 0.2
    shut = jax.tree.map(jnp.zeros_like, variables['params']['psrp1'])
    params = variables['params'] | {
        'psrp1': shut,
        'psrp2': jax.tree.map(jnp.zeros_like, variables['params']['psrp2']),
    }
    np.testing.assert_allclose(more.apply({**variables, 'params': params}, x), without, atol=1e-6)


def test_probes_have_as_many_weights_as_the_table_of_the_paper_says():
    def size(d, n, k, **options):
        probe = make_probe(num_classes=k, **options)
        shapes = jax.eval_shape(probe.init, KEY, jnp.zeros((1, d)), jnp.zeros((1, n, d)))
        return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))

    # Of ViT-B/16 with 1000 classes: 0.77 and 3.65 million, which are the linear layers.
    assert round(size(768, 196, 1000, name='linear') / 1e6, 2) == 0.77
    whole = size(768, 196, 1000, name='moment')
    inner = 512 * 769 + 2 * 128 + 2 * 3 * 27  # the projection, the norm, the convolutions
    assert round((whole - inner) / 1e6, 2) == 3.65
    assert size(64, 16, 10, name='linear') == 650
    assert size(64, 16, 10, name='moment', hidden=64) == 5284
    assert size(64, 16, 10, name='mlp', hidden=70) == 5260


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'second'}, "probe.name: expected one of .*, got 'second'"),
        ({'layout': 'mixed'}, "probe.layout: expected one of .*, got 'mixed'"),
        ({'pairing': 'next'}, "pairing: expected one of .*, got 'next'"),
        ({'centering': 'mean'}, "probe.centering: expected one of .*, got 'mean'"),
        ({'hidden': 0}, 'probe.hidden: expected at least 1, got 0'),
        ({'hidden': 30}, 'probe.hidden: expected a multiple of num_heads=4 .*, got 30'),
        ({'hidden': 24}, 'probe.hidden: .* at least 7 channels each, got 24'),
        ({'num_heads': 1, 'hidden': 7}, 'num_heads: expected at least 2, got 1'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_probe(**{'name': 'moment', 'num_classes': 3} | options)
