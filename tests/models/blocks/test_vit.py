import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.blocks import vit
from jaxsep.models.blocks.vit import (
    Attention,
    Block,
    FeedForward,
    PatchEmbedding,
    VisionTransformer,
)
from jaxsep.ops.cost import count_parameters

rng = np.random.default_rng(0)
SMALL = dict(width=8, depth=2, num_heads=2, expansion=2, patch_size=2)


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def random_params(module, x, *given):
    """Parameters of the module's shapes, all normal, so that biases and scales matter."""
    shapes = jax.eval_shape(lambda key: module.init(key, x, *given), jax.random.key(0))['params']
    return jax.tree.map(lambda s: draw(*s.shape), shapes)


def dense(params, x):
    return x @ np.asarray(params['kernel'], np.float64) + np.asarray(params['bias'])


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def norm(params, x, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * np.asarray(
        params['scale']
    ) + np.asarray(params['bias'])


def attention(params, x, heads):
    """Self-attention of one example, head by head."""
    q, k, v = np.split(dense(params['qkv'], x), 3, axis=-1)
    c, out = x.shape[-1] // heads, np.zeros(x.shape)
    for h in range(heads):
        part = slice(h * c, (h + 1) * c)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(c))
        out[:, part] = scores / scores.sum(-1, keepdims=True) @ v[:, part]
    return dense(params['output'], out)


def test_a_block_is_attention_and_two_layers_on_the_normed_added_to_the_stream():
    block = Block(functools.partial(Attention, 2), functools.partial(FeedForward, 12))
    x = draw(2, 5, 8)
    params = random_params(block, x, (2, 2))
    found, weights = jax.jit(lambda p, x: block.apply({'params': p}, x, (2, 2)))(params, x)
    for row, given in zip(found, np.asarray(x, np.float64), strict=True):
        y = given + attention(params['attention'], norm(params['attention_norm'], given, 1e-6), 2)
        z = norm(params['feed_forward_norm'], y, 1e-6)
        inner = params['feed_forward']
        y = y + dense(inner['output'], gelu(dense(inner['hidden'], z)))
        np.testing.assert_allclose(row, y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_a_patch_is_mapped_linearly():
    module, x = PatchEmbedding(5, 2), draw(2, 4, 6, 3)
    params = random_params(module, x)
    found = module.apply({'params': params}, x)
    assert found.shape == (2, 2, 3, 5)
    patch = np.asarray(x)[1, 2:4, 4:6].reshape(-1)
    kernel = np.asarray(params['patches']['kernel']).reshape(-1, 5)
    np.testing.assert_allclose(
        found[1, 1, 2], patch @ kernel + params['patches']['bias'], rtol=1e-4
    )


def test_dropped_rows_are_zero_the_others_scaled_and_rows_do_not_matter_to_each_other():
    keys, x = jax.random.split(jax.random.key(0), 400), jnp.ones((400, 2, 3))
    found = np.asarray(vit.drop_path(keys, x, 0.25, 3))
    rows = found[:, 0, 0]
    np.testing.assert_allclose(np.unique(rows), [0, 4 / 3], rtol=1e-6)
    assert (found == rows[:, None, None]).all()
    assert abs((rows > 0).mean() - 0.75) < 0.1  # 4.6 standard deviations of 400 draws
    np.testing.assert_array_equal(vit.drop_path(keys[7:9], x[7:9], 0.25, 3)[:, 0, 0], rows[7:9])
    assert (np.asarray(vit.drop_path(keys, x, 0.25, 4))[:, 0, 0] != rows).any()
    for same in (vit.drop_path(None, x, 0.25, 3), vit.drop_path(keys, x, 0.0, 3)):
        np.testing.assert_array_equal(same, x)


def test_stochastic_depth_rises_from_the_first_block_and_rests_in_evaluation():
    net = VisionTransformer(**SMALL, rate=0.999)
    x, keys = draw(3, 4, 4, 1), jax.random.split(jax.random.key(2), 3)

    @jax.jit
    def run(params, x):
        first = VisionTransformer(**{**SMALL, 'depth': 1})
        alone = {k: v for k, v in params.items() if k != 'block_1'}
        return (
            net.apply({'params': params}, x, keys, train=True).tokens,
            first.apply({'params': alone}, x).tokens,
            net.apply({'params': params}, x, keys).tokens,
            net.apply({'params': params}, x, train=True).tokens,
        )

    dropped, first, evaluated, without_keys = run(random_params(net, x), x)
    # The first block is never dropped; the second almost always, for these keys always.
    np.testing.assert_allclose(dropped, first, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(evaluated, without_keys, rtol=1e-5, atol=1e-5)
    assert np.abs(evaluated - first).max() > 0.1


def test_without_positions_the_class_token_does_not_know_the_order_of_the_patches():
    x = draw(1, 4, 4, 1)
    swapped = jnp.concatenate([x[:, 2:], x[:, :2]], axis=1)  # the two rows of patches
    found = {}
    for positions in (False, True):
        net = VisionTransformer(**SMALL, positions=positions)
        params = random_params(net, x)
        a, b = jax.jit(lambda p, *xs, net=net: [net.apply({'params': p}, x) for x in xs])(
            params, x, swapped
        )
        found[positions] = np.abs(a.tokens[:, 0] - b.tokens[:, 0]).max()
        patches = b.tokens[:, 1:].reshape(1, 2, 2, 8)[:, ::-1].reshape(1, 4, 8)
        if not positions:
            np.testing.assert_allclose(a.tokens[:, 1:], patches, rtol=1e-4, atol=1e-4)
    assert found[False] < 1e-4 < found[True]


def test_attention_of_the_class_token_is_its_row_over_the_patches():
    weights = draw(2, 3, 9, 9)  # six patches, two further tokens
    seen = vit.Seen(draw(2, 7, 4), weights, (2, 3))
    found = vit.class_attention(seen)
    assert found.shape == (2, 2, 3)
    np.testing.assert_allclose(found[1, 1, 0], weights[1, :, 0, 4].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    'options, number',
    [(dict(width=192, num_heads=3), 5_717_416), (dict(width=768, num_heads=12), 86_567_656)],
)
def test_parameters_are_those_of_deit_tiny_and_vit_base(options, number):
    net = VisionTransformer(**options)
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))['params']
    assert count_parameters(params) + 1000 * (options['width'] + 1) == number


def test_patches_that_do_not_fill_the_image_are_named():
    with pytest.raises(ValueError, match='patch_size: expected a divisor of 4 and 5, got 2'):
        PatchEmbedding(3, 2).init(jax.random.key(0), jnp.zeros((1, 4, 5, 1)))
