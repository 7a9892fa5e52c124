import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.efficientnet_lite import (
    LITE0,
    EfficientNetLite,
    MBConv,
    Stage,
)

SMALL = EfficientNetLite(
    num_classes=4,
    specification=(Stage(1, 4, 3, 1, 1), Stage(2, 6, 5, 2, 2)),
    stem_width=4,
    head_width=8,
)


def same(size, kernel, stride):
    """Output length and padding in front, as TensorFlow's 'SAME'."""
    out = -(-size // stride)
    return out, max((out - 1) * stride + kernel - size, 0) // 2


def batch_norm(x, params, statistics):
    scaled = (x - statistics['mean']) / np.sqrt(statistics['var'] + 1e-3)
    return scaled * params['scale'] + params['bias']


def block_in_float64(x, params, statistics, kernel, stride):
    """One block of one image, pixel by pixel."""
    p, s = (jax.tree.map(lambda a: np.asarray(a, np.float64), t) for t in (params, statistics))
    relu6 = lambda z: np.clip(z, 0, 6)  # noqa: E731
    y = x
    if 'expand' in p:
        y = relu6(batch_norm(y @ p['expand']['kernel'][0, 0], p['expand_norm'], s['expand_norm']))
    (rows, top), (columns, left) = (same(n, kernel, stride) for n in y.shape[:2])
    z = np.zeros((rows, columns, y.shape[-1]))
    for u in range(rows):
        for v in range(columns):
            for i in range(kernel):
                for j in range(kernel):
                    a, b = u * stride + i - top, v * stride + j - left
                    if 0 <= a < y.shape[0] and 0 <= b < y.shape[1]:
                        z[u, v] += y[a, b] * p['depthwise']['kernel'][i, j, 0]
    z = relu6(batch_norm(z, p['depthwise_norm'], s['depthwise_norm']))
    z = batch_norm(z @ p['project']['kernel'][0, 0], p['project_norm'], s['project_norm'])
    return x + z if x.shape == z.shape else z


def disturbed(variables, seed=0):
    """Other numbers in place of the ones and zeros that norms start with."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(x + 0.3 * rng.random(x.shape), jnp.float32), variables
    )


@pytest.mark.parametrize(
    ('width', 'kernel', 'stride', 'expansion', 'residual'),
    [(4, 3, 1, 1, True), (4, 5, 1, 2, True), (4, 3, 2, 2, False), (6, 5, 2, 3, False)],
)
def test_a_block_is_its_equations_in_float64(width, kernel, stride, expansion, residual):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 5, 6, 4)), jnp.float32)
    block = MBConv(width, kernel, stride, expansion)
    variables = disturbed(block.init(jax.random.key(0), x))
    assert ('expand' in variables['params']) == (expansion > 1)
    expected = block_in_float64(
        np.asarray(x[0], np.float64), variables['params'], variables['batch_stats'], kernel, stride
    )
    found = np.asarray(block.apply(variables, x)[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    without = jax.tree.map(jnp.zeros_like, variables['params']['project_norm'])
    params = variables['params'] | {'project_norm': without}
    rest = block.apply({**variables, 'params': params}, x)
    np.testing.assert_array_equal(rest, x if residual else np.zeros_like(found)[None])


def test_every_stage_is_named_and_follows_from_the_one_before():
    x = jnp.asarray(np.random.default_rng(2).random((2, 9, 12, 3)), jnp.float32)
    variables = disturbed(jax.jit(SMALL.init)(jax.random.key(0), x))
    found = jax.jit(SMALL.apply)(variables, x)
    assert SMALL.stages == ('stage1', 'stage2')
    assert {name: array.shape for name, array in found.items()} == {
        'stem': (2, 5, 6, 4), 'stage1': (2, 5, 6, 4), 'stage2': (2, 3, 3, 6),
        'head': (2, 3, 3, 8), 'embedding': (2, 8), 'logits': (2, 4),
    }  # fmt: skip
    y = np.asarray(found['stage1'][0], np.float64)
    for i, stride in ((1, 2), (2, 1)):
        block = f'stage2_block{i}'
        y = block_in_float64(
            y, variables['params'][block], variables['batch_stats'][block], 5, stride
        )
    np.testing.assert_allclose(found['stage2'][0], y, rtol=1e-4, atol=1e-4)
    mean = np.asarray(found['head']).mean((1, 2))
    np.testing.assert_allclose(found['embedding'], mean, rtol=1e-5)
    dense = jax.tree.map(np.asarray, variables['params']['logits'])
    np.testing.assert_allclose(
        found['logits'], mean @ dense['kernel'] + dense['bias'], rtol=1e-4, atol=1e-5
    )
    bare = EfficientNetLite(0, SMALL.specification, 4, 8)
    assert 'logits' not in jax.eval_shape(bare.apply, variables, x)


def test_it_can_be_trained_batch_statistics_and_all():
    tiny = EfficientNetLite(2, (Stage(1, 4, 3, 2, 1),), 4, 4)
    x = jnp.asarray(np.random.default_rng(3).random((4, 8, 8, 3)), jnp.float32)
    variables = jax.jit(tiny.init)(jax.random.key(0), x)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params):
        found, new = tiny.apply(
            {**variables, 'params': params}, x, train=True, mutable=['batch_stats']
        )
        return jnp.mean(jnp.square(found['logits'] - 1.0)), new['batch_stats']

    (_, statistics), gradients = loss(variables['params'])
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradients))
    assert jnp.abs(gradients['stem']['kernel']).max() > 0
    # 0.99 of what was there, 0.01 of the batch.
    stem = tiny.apply(variables, x, capture_intermediates=True)[1]['intermediates']['stem']
    mean = np.asarray(stem['__call__'][0]).mean((0, 1, 2))
    np.testing.assert_allclose(statistics['stem_norm']['mean'], 0.01 * mean, rtol=1e-4, atol=1e-7)


def test_lite0_has_sixteen_blocks_and_the_weights_that_are_published():
    model = EfficientNetLite()
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    count = sum(np.prod(x.shape) for x in jax.tree.leaves(shapes['params']))
    assert sum(stage.depth for stage in LITE0) == 16
    assert count == 4_652_008  # 4.7 million in the table of the authors


def test_entered_after_a_stage_it_goes_on_as_from_the_image():
    x = jax.random.normal(jax.random.key(0), (2, 9, 9, 3))
    variables = disturbed(jax.jit(SMALL.init)(jax.random.key(1), x))

    @jax.jit
    def both(x):
        whole = SMALL.apply(variables, x)
        return whole, SMALL.apply(variables, whole['stage1'], after='stage1')

    whole, later = both(x)
    assert set(whole) - set(later) == {'stem', 'stage1'}
    for name, found in later.items():
        np.testing.assert_allclose(found, whole[name], rtol=1e-5, atol=1e-6, err_msg=name)
    with pytest.raises(ValueError, match="after: expected one of stage1, stage2, got 'stem'"):
        SMALL.apply(variables, x, after='stem')
