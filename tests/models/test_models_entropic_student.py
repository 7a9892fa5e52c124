import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.range_coder import encode, frequencies
from jaxsep.losses.distillation import squared_errors
from jaxsep.models.blocks import entropy
from jaxsep.models.entropic_student import (
    Bottleneck,
    FeatureDecoder,
    ImageDecoder,
    StagedLite,
    StagedNetwork,
    latent_shape,
    quantize_range,
)

LAYER = Bottleneck(2, FeatureDecoder(3))
DENSITY = {'matrices': 'matrix', 'biases': 'bias', 'factors': 'factor'}


def weights(a, prefix):
    """The original's parameters, or gradients of them, by our names."""
    found = {'encoder': {}, 'decoder': {}, 'entropy': {}}
    for part in ('encoder', 'decoder'):
        for i in range(3):
            kernel = a[f'{prefix}{part}.{2 * i}.weight'].transpose(2, 3, 1, 0)
            found[part][f'Conv_{i}'] = {'kernel': kernel}
        for i in range(2):
            names = ('beta', 'gamma')
            found[part][f'GDN_{i}'] = {n: a[f'{prefix}{part}.{2 * i + 1}.{n}'] for n in names}
    for theirs, ours in DENSITY.items():
        for i in range(5 if ours != 'factor' else 4):
            value = a[f'{prefix}entropy_bottleneck.{theirs}.{i}']
            found['entropy'][f'{ours}_{i}'] = value if ours == 'matrix' else value[..., 0]
    if f'{prefix}entropy_bottleneck.quantiles' in a:
        found['entropy']['quantiles'] = a[f'{prefix}entropy_bottleneck.quantiles'][:, 0]
    return jax.tree.map(jnp.asarray, found)


def last(x):
    return jnp.asarray(x.transpose(0, 2, 3, 1))


def first(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


def test_the_layer_and_its_loss_agree_with_the_original_in_value_and_gradient(golden):
    a = golden('entropic_student')
    params, x, noise = weights(a, 'layer/w/'), last(a['layer/x']), last(a['layer/noise'])
    maps = [[last(a[f'stage1/{who}{i}']) for i in range(1, 4)] for who in ('student', 'teacher')]
    beta = float(a['stage1/beta'])

    @jax.jit
    def step(params):
        def loss(params):
            out, bits = LAYER.apply({'params': params}, x, noise)
            errors = squared_errors([out, *maps[0]], [last(a['stage1/teacher0']), *maps[1]])
            return jnp.sum(errors + beta * bits), (out, bits)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, (out, bits)), grads = step(params)
    np.testing.assert_allclose(first(out), a['layer/out_train'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bits.sum(), a['bpp/sum'], rtol=1e-5)
    np.testing.assert_allclose(bits.mean(), a['bpp/batchmean'], rtol=1e-5)
    places = np.prod(latent_shape(x.shape[1:], 2)[:2])
    np.testing.assert_allclose(bits.mean() / places, a['bpp/mean'], rtol=1e-5)
    np.testing.assert_allclose(value, a['stage1/loss'], rtol=1e-5)
    wanted = weights(a, 'stage1/grad/')
    grads['entropy'].pop('quantiles')
    for (path, want), got in zip(
        jax.tree.leaves_with_path(wanted), jax.tree.leaves(grads), strict=True
    ):
        name = jax.tree_util.keystr(path)
        scale = np.abs(want).max()
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * scale, err_msg=name)


def test_what_is_sent_agrees_with_the_original(golden):
    a = golden('entropic_student')
    params, x = weights(a, 'layer/w/'), last(a['layer/x'])

    def auxiliary(params):
        return LAYER.apply({'params': params}, method='auxiliary_loss')

    @jax.jit
    def run(params):
        send = functools.partial(LAYER.apply, {'params': params}, x, method='send')
        density = params['entropy']
        logits = entropy.cumulative_logits(density, density['quantiles'])
        # Tables for symbols from -40 to 40.
        tables = frequencies(LAYER.apply({'params': params}, 40, method='symbol_likelihoods'))
        return (
            send(),
            send(around_median=False),
            jax.value_and_grad(auxiliary)(params),
            logits,
            tables,
        )

    sent, plain, (loss, grads), logits, tables = jax.device_get(run(params))
    np.testing.assert_allclose(first(sent.decoded), a['layer/out_eval'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first(plain.decoded), a['layer/out_finetune'], rtol=1e-4, atol=1e-5)
    # The median of the first channel is no integer: the two roundings are not the same.
    assert np.abs(sent.decoded - plain.decoded).max() > 1e-3
    medians = np.asarray(params['entropy']['quantiles'][:, 1])
    np.testing.assert_allclose(
        first(sent.symbols + medians), a['layer/latent_hat_eval'], rtol=1e-5, atol=1e-5
    )
    # Of logits near 21, whose float32 ends at 2e-6: an absolute tolerance.
    np.testing.assert_allclose(loss, a['aux/loss'], atol=2e-5)
    got, want = grads['entropy']['quantiles'], a['aux/grad_quantiles'][:, 0]
    np.testing.assert_allclose(np.abs(got), np.abs(want), rtol=1e-4)
    sure = np.abs(logits - entropy.quantile_targets(1e-9)) > 1e-5
    np.testing.assert_array_equal(np.sign(got)[sure], np.sign(want)[sure])
    # Their streams end on whole words of four bytes.
    rows = sent.symbols.reshape(2, -1)
    lengths = np.array([len(s) for s in encode(rows, tables, np.arange(rows.shape[1]) % 2)])
    assert np.all(lengths <= a['layer/eval_bytes']) and np.all(8 * lengths >= sent.bits - 8)


@pytest.mark.parametrize('sides', [(5, 6), (8, 8), (17, 16), (28, 30)])
def test_the_decoder_gives_a_map_like_the_first_stage_and_an_image_of_the_same_sides(sides):
    x = jnp.zeros((1, *sides, 1))
    network = StagedNetwork(5, width=2, blocks=(0, 0, 0, 0))
    maps = jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0][0]
    noise = jnp.zeros((1, *latent_shape(x.shape[1:], 3)))
    for decoder, want in ((FeatureDecoder(2), maps[0].shape), (ImageDecoder(1, 3, sides), x.shape)):
        layer = Bottleneck(3, decoder)
        (out, bits), _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), x, noise)
        assert out.shape == want and bits.shape == (1,)


def test_stages_halve_the_sides_and_resnet_50_is_the_default():
    image = jnp.zeros((1, 64, 64, 3))
    for network, first in ((StagedNetwork(10), 256), (StagedNetwork(10, 8, (2,) * 4, False), 8)):
        found = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
        (maps, logits), variables = found
        sides = [16, 8, 4, 2]
        want = [(1, side, side, first * 2**i) for i, side in enumerate(sides)]
        assert [m.shape for m in maps] == want and logits.shape == (1, 10)
        assert network.first_channels == first
        assert set(variables['params']) == {'stage1', 'stage2', 'stage3', 'stage4', 'head'}
        if first == 256:  # the published number, of 1,000 classes
            count = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
            assert count == 25_557_032 - 2049 * 1000 + 2049 * 10


def test_lite0_has_stages_of_halved_sides_that_can_be_entered():
    network = StagedLite(10)
    for channels in (1, 3):
        image = jnp.zeros((1, 64, 64, channels))
        (maps, logits), variables = jax.eval_shape(
            network.init_with_output, jax.random.key(0), image
        )
        assert [m.shape[1:] for m in maps] == [(16, 16, 24), (8, 8, 40), (4, 4, 112), (2, 2, 320)]
        assert logits.shape == (1, 10) and network.first_channels == 24
    tail = {kind: network.later(tree) for kind, tree in variables.items()}
    again, same = jax.eval_shape(
        lambda v, first: network.apply(v, first, method='tail'), tail, maps[0]
    )
    assert [m.shape for m in again] == [m.shape for m in maps] and same.shape == logits.shape
    with pytest.raises(ValueError, match='image: expected 1 or 3 channels'):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 2)))


def test_the_tail_continues_from_the_map_of_the_first_stage():
    network = StagedNetwork(5, width=4, blocks=(0, 0, 0, 0))
    image = jax.random.normal(jax.random.key(1), (2, 16, 16, 1))
    run = jax.jit(lambda key: network.init_with_output(key, image))
    (maps, logits), variables = run(jax.random.key(0))
    assert [m.shape for m in maps] == [(2, 4, 4, 4), (2, 2, 2, 8), (2, 1, 1, 16), (2, 1, 1, 32)]
    tail = jax.jit(lambda first: network.apply(variables, first, method='tail'))
    again, same = tail(maps[0])
    np.testing.assert_allclose(same, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again[3], maps[3], rtol=1e-4, atol=1e-5)


def test_no_gradient_flows_into_what_was_sent():
    image = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    layer = Bottleneck(2, FeatureDecoder(3))

    def total(params):
        params['entropy']['quantiles'] += 0.3
        sent = layer.apply({'params': params}, image, method='send')
        return jnp.sum(jnp.square(sent.decoded)) + jnp.sum(sent.bits)

    @jax.jit
    def grads_of(key):
        return jax.grad(total)(layer.init(key, image, jnp.zeros((2, 1, 1, 2)))['params'])

    grads = grads_of(jax.random.key(0))
    assert all(np.all(g == 0) for g in jax.tree.leaves((grads['encoder'], grads['entropy'])))
    assert any(np.any(g != 0) for g in jax.tree.leaves(grads['decoder']))


def test_levels_are_spaced_evenly_from_the_least_to_the_largest_number_of_each_example():
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    x[2] = 7.0
    values, levels = jax.jit(quantize_range, static_argnums=1)(x, 3)
    for i in range(2):
        grid = np.linspace(x[i].min(), x[i].max(), 8)
        nearest = np.abs(x[i][..., None] - grid).argmin(-1)
        np.testing.assert_array_equal(levels[i], nearest)
        np.testing.assert_allclose(values[i], grid[nearest], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values[2], 7)
    np.testing.assert_array_equal(levels[2], 0)


def test_eight_bit_latents_cost_eight_bits_each_and_the_range():
    image = jax.random.normal(jax.random.key(1), (2, 16, 12, 1))
    layer = Bottleneck(2, FeatureDecoder(3), num_bits=8)
    noise = jnp.zeros((2, *latent_shape(image.shape[1:], 2)))

    @jax.jit
    def run(key):
        (decoded, bits), variables = layer.init_with_output(key, image, noise)
        sent = layer.apply(variables, image, method='send')
        return variables, decoded, bits, sent, layer.apply(variables, method='auxiliary_loss')

    variables, decoded, bits, sent, auxiliary = run(jax.random.key(0))
    assert set(variables['params']) == {'encoder', 'decoder'} and auxiliary == 0
    np.testing.assert_array_equal(sent.bits, 8 * 3 * 2 * 2 + 64)
    np.testing.assert_array_equal(bits, sent.bits)
    np.testing.assert_allclose(decoded, sent.decoded, atol=0.05)
    assert sent.symbols.min() == 0 and sent.symbols.max() == 255


def test_images_without_a_latent_are_refused():
    with pytest.raises(ValueError, match=r'image: expected at least 5 x 5 pixels, got \(4, 8\)'):
        LAYER.init(jax.random.key(0), jnp.zeros((1, 4, 8, 3)), jnp.zeros((1, 0, 1, 2)))
