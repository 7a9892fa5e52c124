import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.blocks.mobile import (
    InvertedResidual,
    Normalized,
    SeparableBlock,
    SqueezeExcite,
    depthwise,
)
from jaxsep.ops.cost import count_parameters

rng = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def random_variables(module, x):
    """Variables of the module's shapes; variances positive."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    draws = jax.tree.map(lambda s: draw(*s.shape), shapes)
    stats = jax.tree_util.tree_map_with_path(
        lambda path, v: jnp.abs(v) + 0.5 if path[-1].key == 'var' else v,
        draws.get('batch_stats', {}),
    )
    return {'params': draws['params'], 'batch_stats': stats}


def conv(x, kernel, stride=1):
    """A convolution, grouped where the kernel has one input."""
    groups = x.shape[-1] if kernel.shape[2] == 1 else 1
    margin = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((margin, margin),) * 2,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=groups,
    )  # fmt: skip


def normed(variables, name, x):
    p, s = variables['params'][name]['norm'], variables['batch_stats'][name]['norm']
    scaled = (np.asarray(x) - np.asarray(s['mean'])) / np.sqrt(np.asarray(s['var']) + 1e-5)
    return scaled * np.asarray(p['scale']) + np.asarray(p['bias'])


def test_an_even_depthwise_kernel_is_refused():
    with pytest.raises(ValueError, match='kernel_size: expected an odd number, got 4'):
        depthwise(4, kernel_size=4)


@pytest.mark.parametrize('stride', [1, 2])
def test_the_separable_block_is_its_two_convolutions_normed(stride):
    module, x = SeparableBlock(6, stride), draw(2, 5, 4, 4)
    v = random_variables(module, x)
    y = conv(x, v['params']['depthwise']['kernel'], stride)
    y = np.maximum(normed(v, 'depthwise_norm', y), 0) @ np.asarray(
        v['params']['pointwise']['kernel']
    )
    found = jax.jit(module.apply)(v, x)
    np.testing.assert_allclose(
        found, np.maximum(normed(v, 'pointwise_norm', y), 0), rtol=1e-4, atol=1e-4
    )
    assert count_parameters(v['params']) == module.cost(4, 5, 4).parameters


@pytest.mark.parametrize(
    'options', [dict(), dict(stride=2), dict(width=6), dict(hidden=4, expand=False, kernel_size=5)]
)
def test_the_inverted_residual_widens_filters_narrows_and_adds_where_shapes_are_equal(options):
    options = dict(hidden=12, width=4) | options
    module, x = InvertedResidual(**options), draw(2, 6, 5, 4)
    v = random_variables(module, x)
    p, y, bounded = v['params'], np.asarray(x), lambda y: np.clip(y, 0, 6)
    if options.get('expand', True):
        y = bounded(normed(v, 'expand_norm', y @ np.asarray(p['expand']['kernel'])))
    y = conv(jnp.asarray(y, jnp.float32), p['depthwise']['kernel'], options.get('stride', 1))
    y = bounded(normed(v, 'depthwise_norm', y)) @ np.asarray(p['project']['kernel'])
    y = normed(v, 'project_norm', y)
    if y.shape == x.shape:
        y = y + np.asarray(x)
    np.testing.assert_allclose(jax.jit(module.apply)(v, x), y, rtol=1e-4, atol=1e-4)
    assert count_parameters(p) == module.cost(4, 6, 5).parameters


def test_squeeze_excite_weights_channels_by_their_means_and_goes_into_the_residual():
    module, x = SqueezeExcite(2), draw(2, 3, 3, 4)
    params = random_variables(module, x)['params']
    y = np.asarray(x, np.float64).mean((1, 2))
    squeeze, excite = (jax.tree.map(np.asarray, params[name]) for name in ('squeeze', 'excite'))
    y = np.maximum(y @ squeeze['kernel'] + squeeze['bias'], 0)
    gate = 1 / (1 + np.exp(-(y @ excite['kernel'] + excite['bias'])))
    np.testing.assert_allclose(
        module.apply({'params': params}, x), np.asarray(x) * gate[:, None, None], rtol=1e-4
    )
    with_gate = InvertedResidual(8, 4, squeeze=functools.partial(SqueezeExcite, 2))
    shapes = jax.eval_shape(with_gate.init, jax.random.key(0), x)['params']
    assert set(shapes['squeeze']) == {'squeeze', 'excite'}


def test_norms_learn_from_the_batch_in_training_only():
    module, x = Normalized(None, momentum=0.9), 3 + draw(4, 2, 2, 3)
    v = random_variables(module, x)
    y, changed = module.apply(v, x, train=True, mutable=['batch_stats'])
    p, s = v['params']['norm'], changed['batch_stats']['norm']
    values = np.asarray(x, np.float64).reshape(-1, 3)
    scaled = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)
    expected = scaled * np.asarray(p['scale']) + np.asarray(p['bias'])
    np.testing.assert_allclose(y.reshape(-1, 3), expected, rtol=1e-3, atol=1e-3)
    before = v['batch_stats']['norm']
    np.testing.assert_allclose(s['mean'], 0.9 * before['mean'] + 0.1 * values.mean(0), rtol=1e-4)
    np.testing.assert_allclose(s['var'], 0.9 * before['var'] + 0.1 * values.var(0), rtol=1e-3)


def test_without_expansion_the_channels_are_those_of_the_input():
    with pytest.raises(ValueError, match='hidden: expected 4, the channels of the input, got 8'):
        InvertedResidual(8, 4, expand=False).init(jax.random.key(0), jnp.zeros((1, 2, 2, 4)))
