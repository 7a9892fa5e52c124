import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.recognition.dhvt import Classifier
from jaxsep.models.dhvt import (
    Affine,
    AggregationFeedForward,
    HeadInteraction,
    OverlappingEmbedding,
    make_dhvt,
)
from jaxsep.ops.cost import count_parameters

rng = np.random.default_rng(0)
# The original computes in float32 as we do; a whole network gathers more rounding than a layer.
close = lambda a, b, tolerance=2e-5: np.testing.assert_allclose(  # noqa: E731
    a, b, rtol=10 * tolerance, atol=tolerance
)


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


class Weights:
    """The original's arrays of one case, by torch's names, in the shapes of flax."""

    def __init__(self, golden, case):
        self.arrays = {
            k.removeprefix(f'{case}/w/'): jnp.asarray(v)
            for k, v in golden('dhvt').items()
            if k.startswith(f'{case}/w/')
        }

    def conv(self, name):
        found = {'kernel': self.arrays[f'{name}.weight'].transpose(2, 3, 1, 0)}
        return found | (
            {'bias': self.arrays[f'{name}.bias']} if f'{name}.bias' in self.arrays else {}
        )

    def pointwise(self, name):
        kernel = self.arrays[f'{name}.weight'][:, :, 0, 0].T
        return {'kernel': kernel, 'bias': self.arrays[f'{name}.bias']}

    def dense(self, name):
        return {'kernel': self.arrays[f'{name}.weight'].T, 'bias': self.arrays[f'{name}.bias']}

    def norm(self, name):
        return {'scale': self.arrays[f'{name}.weight'], 'bias': self.arrays[f'{name}.bias']}

    def statistics(self, name):
        return {
            'mean': self.arrays[f'{name}.running_mean'],
            'var': self.arrays[f'{name}.running_var'],
        }

    def affine(self, name):
        return {
            'scale': self.arrays[f'{name}alpha'].ravel(),
            'offset': self.arrays[f'{name}beta'].ravel(),
        }

    def aggregation(self, at=''):
        norms = [(f'norm_{i}', f'{at}bn{i + 1}') for i in range(3)]
        params = {
            'expand': self.pointwise(f'{at}conv1'),
            'depthwise': self.conv(f'{at}conv2'),
            'project': self.pointwise(f'{at}conv3'),
            'compress': self.dense(f'{at}compress'),
            'excite': self.dense(f'{at}excitation'),
            **{ours: self.norm(theirs) for ours, theirs in norms},
        }
        return params, {ours: self.statistics(theirs) for ours, theirs in norms}

    def interaction(self, at=''):
        return {
            'head_positions': self.arrays[f'{at}pos_embed'],
            'qkv': self.dense(f'{at}qkv'),
            'output': self.dense(f'{at}proj'),
            'head_tokens': self.dense(f'{at}ht_proj'),
            'head_norm': self.norm(f'{at}ht_norm'),
        }

    def embedding(self, number, at=''):
        names = [(i, f'{at}proj.{2 * i}') for i in range(number)]
        params = {
            'before': self.affine(f'{at}pre_affine.'),
            'after': self.affine(f'{at}post_affine.'),
            **{f'conv_{i}': self.conv(f'{name}.0') for i, name in names},
            **{f'norm_{i}': self.norm(f'{name}.1') for i, name in names},
        }
        return params, {f'norm_{i}': self.statistics(f'{name}.1') for i, name in names}


def test_the_affine_layer_agrees_with_the_original(golden):
    data, weights = golden('dhvt'), Weights(golden, 'affine')
    x = jnp.asarray(data['affine/x'].transpose(0, 2, 3, 1))
    found = Affine().apply({'params': weights.affine('')}, x)
    close(found.transpose(0, 3, 1, 2), data['affine/y'])


@pytest.mark.parametrize('patch', [2, 4])
def test_the_embedding_agrees_with_the_original(golden, patch):
    data, weights = golden('dhvt'), Weights(golden, f'sope_p{patch}')
    x, y = (data[f'sope_p{patch}/{name}'] for name in 'xy')
    params, stats = weights.embedding(int(math.log2(patch)))
    module = OverlappingEmbedding(y.shape[-1], patch)
    found = jax.jit(module.apply)({'params': params, 'batch_stats': stats}, x.transpose(0, 2, 3, 1))
    close(found.reshape(y.shape), y)


def test_the_feed_forward_layer_agrees_with_the_original_in_evaluation_and_training(golden):
    data = golden('dhvt')
    params, stats = Weights(golden, 'daff_eval').aggregation()
    module = AggregationFeedForward(params['expand']['bias'].size)

    @jax.jit
    def both(x):
        variables = {'params': params, 'batch_stats': stats}
        trained, _ = module.apply(variables, x, (3, 3), train=True, mutable=['batch_stats'])
        return module.apply(variables, x, (3, 3)), trained

    evaluated, trained = both(data['daff_eval/x'])
    close(evaluated, data['daff_eval/y'])
    close(trained, data['daff_train/y'])


def test_the_attention_agrees_with_the_original_in_value_and_gradient(golden):
    data, params = golden('dhvt'), Weights(golden, 'hi_mhsa').interaction()
    module = HeadInteraction(len(params['head_positions'][0]))

    @jax.jit
    def both(x):
        y, pull, weights = jax.vjp(lambda x: module.apply({'params': params}, x), x, has_aux=True)
        return y, pull(data['hi_mhsa/cotangent'])[0], weights

    y, grad, weights = both(data['hi_mhsa/x'])
    close(y, data['hi_mhsa/y'])
    close(grad, data['hi_mhsa/grad_x'])
    assert weights.shape == (2, 3, 13, 13)


def test_the_network_agrees_with_the_original_in_class_token_and_logits(golden):
    data, weights = golden('dhvt'), Weights(golden, 'model')
    params, stats = {'class_token': weights.arrays['cls_token'], 'norm': weights.norm('norm')}, {}
    params['embedding'], stats['embedding'] = weights.embedding(2, 'patch_embed.')
    for i in range(2):
        feed_forward, of_block = weights.aggregation(f'blocks.{i}.mlp.')
        stats[f'block_{i}'] = {'feed_forward': of_block}
        params[f'block_{i}'] = {
            'attention_norm': weights.norm(f'blocks.{i}.norm1'),
            'feed_forward_norm': weights.norm(f'blocks.{i}.norm2'),
            'attention': weights.interaction(f'blocks.{i}.attn.'),
            'feed_forward': feed_forward,
        }
    model = Classifier(make_dhvt(width=8, depth=2, num_heads=2, expansion=2, patch_size=4), 5)
    variables = {
        'params': {'encoder': params, 'head': weights.dense('head')},
        'batch_stats': {'encoder': stats},
    }
    found = jax.jit(model.apply)(variables, data['model/x'].transpose(0, 2, 3, 1))
    close(found['embedding'], data['model/cls'], 5e-5)
    close(found['logits'], data['model/logits'], 5e-5)
    assert found['attention'].shape == (2, 3, 3)


@pytest.mark.parametrize(
    'options, size, classes, number',
    [
        (dict(), 32, 100, 6_008_650),
        (dict(width=384, num_heads=8), 32, 100, 23_425_450),
        (dict(num_heads=3, patch_size=16), 224, 1000, 6_267_334),
    ],
)
def test_parameters_are_as_many_as_those_of_the_original(options, size, classes, number):
    model = Classifier(make_dhvt(**options), classes)
    images = jnp.zeros((1, size, size, 3))
    params = jax.eval_shape(model.init, jax.random.key(0), images)['params']
    assert count_parameters(params) == number


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def dense(params, x):
    return x @ np.asarray(params['kernel'], np.float64) + np.asarray(params['bias'])


def random_variables(module, x, *given):
    shapes = jax.eval_shape(lambda key: module.init(key, x, *given), jax.random.key(0))
    draws = jax.tree.map(lambda s: draw(*s.shape), shapes)
    positive = lambda path, v: jnp.abs(v) + 0.5 if path[-1].key == 'var' else v  # noqa: E731
    return jax.tree_util.tree_map_with_path(positive, draws)


def test_the_feed_forward_layer_is_its_equations_on_a_grid_that_is_no_square():
    module, x, (rows, columns) = AggregationFeedForward(6), draw(2, 7, 4), (2, 3)
    v = random_variables(module, x, (rows, columns))
    p, s = v['params'], v['batch_stats']

    def normed(name, y):
        scaled = (y - np.asarray(s[name]['mean'])) / np.sqrt(np.asarray(s[name]['var']) + 1e-5)
        return scaled * np.asarray(p[name]['scale']) + np.asarray(p[name]['bias'])

    found = jax.jit(lambda v, x: module.apply(v, x, (rows, columns)))(v, x)
    kernel = np.asarray(p['depthwise']['kernel'], np.float64)[:, :, 0]
    for given, row in zip(np.asarray(x, np.float64), found, strict=True):
        u = gelu(normed('norm_0', dense(p['expand'], given[1:]))).reshape(rows, columns, 6)
        mixed = np.zeros_like(u) + np.asarray(p['depthwise']['bias'])
        for i, j, a, b in np.ndindex(rows, columns, 3, 3):
            if 0 <= i + a - 1 < rows and 0 <= j + b - 1 < columns:
                mixed[i, j] += kernel[a, b] * u[i + a - 1, j + b - 1]
        t = normed('norm_2', dense(p['project'], u + gelu(normed('norm_1', mixed)))).reshape(-1, 4)
        weight = dense(p['excite'], gelu(dense(p['compress'], t.mean(0))))
        np.testing.assert_allclose(row[1:], t, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(row[0], given[0] * weight, rtol=1e-3, atol=1e-3)


def test_head_tokens_are_made_of_the_channels_of_each_head_and_end_in_the_class_token():
    module, x, heads = HeadInteraction(2), draw(2, 4, 6), 2
    params = random_variables(module, x)['params']
    found, _ = jax.jit(module.apply)({'params': params}, x)
    for given, row in zip(np.asarray(x, np.float64), found, strict=True):
        tokens = []
        for h in range(heads):
            own = dense(params['head_tokens'], given[:, 3 * h : 3 * h + 3].mean(0))
            chunks = []
            for chunk in own.reshape(heads, 3):  # normalised over a head's width each
                chunk = (chunk - chunk.mean()) / np.sqrt(chunk.var() + 1e-5)
                norm = params['head_norm']
                chunks.append(gelu(chunk * np.asarray(norm['scale']) + np.asarray(norm['bias'])))
            tokens.append(np.concatenate(chunks) + np.asarray(params['head_positions'])[0, h])
        everything = np.concatenate([given, tokens])
        q, k, v = np.split(dense(params['qkv'], everything), 3, axis=-1)
        taken = np.zeros_like(everything)
        for h in range(heads):
            part = slice(3 * h, 3 * h + 3)
            scores = q[:, part] @ k[:, part].T / np.sqrt(3)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            taken[:, part] = scores / scores.sum(-1, keepdims=True) @ v[:, part]
        y = dense(params['output'], taken)
        np.testing.assert_allclose(row[0], y[0] + y[4:].mean(0), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(row[1:], y[1:4], rtol=1e-3, atol=1e-3)


def test_patches_know_nothing_of_the_class_token_in_the_feed_forward_layer():
    module, x = AggregationFeedForward(6), draw(2, 5, 4)
    v = random_variables(module, x, (2, 2))
    both = jax.jit(lambda *xs: [module.apply(v, x, (2, 2)) for x in xs])
    a, b = both(x, x.at[:, 0].add(1.0))
    np.testing.assert_array_equal(a[:, 1:], b[:, 1:])
    assert np.abs(a[:, 0] - b[:, 0]).max() > 0


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(parts=('overlap', 'conv')), "parts: expected some of .*, got 'conv'"),
        (dict(num_heads=5), 'num_heads: expected a divisor of width 192, got 5'),
        (dict(depth=0), 'depth: expected at least 1, got 0'),
        (dict(rate=1.0), 'rate: expected a share from 0 to below 1, got 1.0'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_dhvt(**options)


@pytest.mark.parametrize(
    'module, given, message',
    [
        (OverlappingEmbedding(8, 6), ((1, 12, 12, 1),), 'patch_size: expected a power of two'),
        (OverlappingEmbedding(6, 16), ((1, 16, 16, 1),), 'width: expected a multiple of 8'),
        (HeadInteraction(4), ((1, 3, 6),), 'num_heads: expected a divisor of the width 6, got 4'),
    ],
)
def test_wrong_shapes_are_named(module, given, message):
    with pytest.raises(ValueError, match=message):
        module.init(jax.random.key(0), *(jnp.zeros(shape) for shape in given))


def test_a_grid_that_is_not_the_patches_is_named():
    with pytest.raises(ValueError, match=r'grid: expected 4 patches .*, got \(2, 3\)'):
        AggregationFeedForward(6).init(jax.random.key(0), jnp.zeros((1, 5, 4)), (2, 3))
