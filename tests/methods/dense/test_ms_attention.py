"""The method: its loss is what its heads and guides say, its outputs, and its refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.dense import ms_attention

RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8),
    'true_mask': RNG.choice([0, 1, 2, 255], (4, 16, 16)).astype(np.uint8),
    'index': np.arange(4, dtype=np.int32),
}
SMALL = dict(
    num_classes=3, backbone={'name': 'conv', 'widths': (3, 4), 'depth': 1, 'levels': 2}, width=4
)


def everything(**options):
    """key, batch -> fresh parameters of a method, value, metrics, gradient and outputs with them."""
    method = ms_attention.make(**SMALL | options)

    def compute(key, batch):
        params, extra = method.init(key, batch)
        loss = jax.value_and_grad(method.loss, has_aux=True)
        (value, (_, metrics)), grads = loss(params, extra, batch, key)
        return params, value, metrics, grads, method.outputs(params, extra, batch)

    return compute


@functools.lru_cache
def compiled(**options):
    return jax.jit(everything(**options))


@functools.lru_cache
def run(**options):
    return compiled(**options)(jax.random.key(0), BATCH)


def test_the_loss_is_the_weighted_sum_of_what_is_logged():
    _, value, metrics, _, _ = run(semantic_weight=0.5, reconstruction_weight=2.0)
    expected = (
        metrics['cross_entropy'] + 0.5 * metrics['semantic'] + 2.0 * metrics['reconstruction']
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert metrics['semantic'] > 0 and metrics['reconstruction'] > 0
    # Two scales with a head before and one after attention: near log 3 each at first.
    assert 0.5 < metrics['cross_entropy'] / (4 * np.log(3)) < 2


def test_every_scale_has_weights_of_its_own():
    params, *_ = run(semantic_weight=0.5, reconstruction_weight=2.0)
    for part in ('gate', 'out'):
        first, second = params['network']['stage_1']['scales'][part]['kernel']
        assert np.abs(first - second).max() > 0.01


def test_outputs_are_masks_and_maps_of_the_size_of_the_image():
    *_, outputs = run(semantic_weight=0.5, reconstruction_weight=2.0)
    assert set(outputs) == {'mask', 'attention'}
    assert outputs['mask'].shape == (4, 16, 16) and outputs['mask'].dtype == jnp.int32
    assert outputs['mask'].min() >= 0 and outputs['mask'].max() <= 2
    assert outputs['attention'].shape == (4, 16, 16)
    # The 8 x 8 places sum to 1; each becomes four pixels.
    np.testing.assert_allclose(outputs['attention'].sum((1, 2)), 4, rtol=1e-5)


@pytest.mark.parametrize(
    'options, there, gone',
    [
        (dict(attention='none', num_stages=1, guide=False), (), ('stage_2', 'guide', 'pam')),
        (dict(attention='dual', num_stages=1, guide=False), ('pam', 'query'), ('stage_2', 'guide')),
        (dict(attention='convolutions', guide=False), ('pam', 'stage_2'), ('query', 'gamma')),
        (dict(network='unet', unet_widths=(3, 4)), ('double_0',), ('pam', 'backbone')),
    ],
)
def test_parts_are_switched_off(options, there, gone):
    params, *_, outputs = jax.eval_shape(everything(**options), jax.random.key(0), BATCH)
    names = {part.key for path, _ in jax.tree.leaves_with_path(params) for part in path}
    assert names.issuperset(there) and names.isdisjoint(gone)
    assert ('attention' in outputs) == (options.get('attention') == 'dual')


def test_without_guides_the_loss_is_the_cross_entropy():
    _, value, metrics, *_ = run(attention='none', num_stages=1, guide=False)
    assert metrics['semantic'] == metrics['reconstruction'] == 0
    np.testing.assert_allclose(value, metrics['cross_entropy'])


def test_the_gradient_is_finite_on_a_flat_image_without_labels():
    compute = compiled(semantic_weight=0.5, reconstruction_weight=2.0)
    flat = BATCH | {
        'image': np.zeros_like(BATCH['image']),
        'true_mask': np.full_like(BATCH['true_mask'], 255),
    }
    _, _, metrics, grads, _ = compute(jax.random.key(0), flat)
    assert metrics['cross_entropy'] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    'options, message',
    [
        ({'network': 'danet'}, "network: expected one of .*, got 'danet'"),
        ({'attention': 'position'}, "attention: expected one of .*, got 'position'"),
        ({'num_classes': 1}, 'num_classes: expected at least 2, got 1'),
        ({'width': 0}, 'width, unet_widths: expected at least 1, got 0'),
        ({'unet_widths': ()}, r'width, unet_widths: expected at least 1, got 4 and \(\)'),
        ({'num_stages': 0}, 'num_stages: expected at least 1, got 0'),
        ({'semantic_weight': -1.0}, 'semantic_weight, reconstruction_weight: .* got -1.0 and 0.1'),
        ({'chunk': -1}, 'chunk: expected 0 or more, got -1'),
        ({'backbone': {'name': 'vgg'}}, "backbone.name: expected one of .*, got 'vgg'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ms_attention.make(**SMALL | options)


def test_a_batch_that_does_not_fit_is_named():
    method = ms_attention.make(**SMALL)
    batch = {k: v for k, v in BATCH.items() if k != 'true_mask'}
    with pytest.raises(
        ValueError, match=r"label: no column 'true_mask'; there are \['image', 'ind"
    ):
        method.init(jax.random.key(0), batch)
    odd = BATCH | {'image': np.zeros((1, 10, 10, 3), np.uint8)}
    with pytest.raises(
        ValueError, match='guide: expected maps of even sides, at least 4, got 5 x 5'
    ):
        jax.eval_shape(method.init, jax.random.key(0), odd)
