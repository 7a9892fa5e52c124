"""The convolution equals XLA's in value and in both gradients, however the kernel moves."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.test_util import check_grads

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.convolution import convolution

CASES = {
    'same': dict(),
    'strided': dict(window_strides=(2, 2)),
    'explicit padding': dict(padding=((1, 1), (0, 2)), window_strides=(2, 1)),
    'valid': dict(padding='VALID'),
    'dilated': dict(rhs_dilation=(2, 2)),
    'place by place': dict(size=(1, 1)),
    'even kernel': dict(size=(2, 4), padding='SAME_LOWER'),
    'seven by seven': dict(size=(7, 7), window_strides=(2, 2), padding=((3, 3), (3, 3))),
    'depthwise': dict(depthwise=True),
    'depthwise, strided': dict(depthwise=True, window_strides=(2, 2), padding=((1, 1), (1, 1))),
    'depthwise, dilated': dict(depthwise=True, rhs_dilation=(2, 1)),
}


def inputs(batch=6, height=9, width=7, channels=4, outputs=5, size=(3, 3), depthwise=False):
    rng = np.random.default_rng(0)
    shape = (*size, 1, channels) if depthwise else (*size, channels, outputs)
    x = rng.normal(size=(batch, height, width, channels)).astype(np.float32)
    return x, rng.normal(size=shape).astype(np.float32), (channels if depthwise else 1)


def native(x, kernel, window_strides=(1, 1), padding='SAME', rhs_dilation=(1, 1), groups=1):
    return jax.lax.conv_general_dilated(
        x, kernel, window_strides, padding, None, rhs_dilation, ('NHWC', 'HWIO', 'NHWC'), groups
    )


def both(x, kernel, groups, options):
    """(value, gradient of x, gradient of the kernel), ours and XLA's; the loss weights all outputs."""

    def of(convolve, group_option):
        def loss(x, kernel):
            out = convolve(x, kernel, **options, **{group_option: groups})
            weights = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)
            return jnp.sum(out.astype(jnp.float32) * weights), out

        (_, out), grads = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, kernel)
        return out, *grads

    return of(convolution, 'feature_group_count'), of(native, 'groups')


@pytest.mark.parametrize('case', CASES)
def test_value_and_gradients_are_those_of_xla(case):
    options = dict(CASES[case])
    shape = {key: options.pop(key) for key in ('size', 'depthwise') if key in options}
    x, kernel, groups = inputs(**shape)
    for ours, theirs in zip(*both(x, kernel, groups, options), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('depthwise', [False, True])
@pytest.mark.parametrize('batch', [1, 5, 16, 24])
def test_any_number_of_images_gives_the_sum_over_all(batch, depthwise):
    x, kernel, groups = inputs(batch=batch, depthwise=depthwise)
    for ours, theirs in zip(*both(x, kernel, groups, {}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)


def test_images_whose_patches_are_larger_than_a_block():
    x, kernel, groups = inputs(batch=8, height=96, width=96, channels=16, outputs=2)
    for ours, theirs in zip(*both(x, kernel, groups, {}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=5e-3)  # sums of 73,728 products


@pytest.mark.parametrize('depthwise', [False, True])
def test_half_precision_is_summed_in_float32(depthwise):
    """Compared with the float64 sum of the rounded inputs; bfloat16 sums would be off by 1e-1."""
    x, kernel, groups = inputs(batch=16, height=16, width=16, depthwise=depthwise)
    x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in (x, kernel))

    def loss(kernel):
        return jnp.sum(convolution(x, kernel, feature_group_count=groups).astype(jnp.float32))

    found = jax.grad(loss)(kernel)
    assert found.dtype == jnp.bfloat16
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    sums = np.array(
        [[padded[:, i : i + 16, j : j + 16].sum((0, 1, 2)) for j in range(3)] for i in range(3)]
    )
    expected = sums[:, :, None, :] if depthwise else np.repeat(sums[..., None], 5, -1)
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=5e-3, atol=1e-2)


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        arrays = inputs(batch=2, height=4, width=3, channels=2)[:2]
        x, kernel = (jnp.asarray(a, jnp.float64) for a in arrays)

        def convolve(x, kernel):
            return convolution(jnp.asarray(x), jnp.asarray(kernel))

        check_grads(convolve, (x, kernel), order=1, modes=['rev'], eps=1e-6)


def test_the_same_on_eight_devices():
    x, kernel, _ = inputs(batch=16)
    loss = jax.jit(jax.grad(lambda x, kernel: jnp.sum(jnp.sin(convolution(x, kernel))), (0, 1)))
    mesh = Mesh(np.array(jax.devices()[:8]), ('batch',))
    spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec('batch')))
    whole = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    for many, one in zip(loss(spread, whole), loss(x, kernel), strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5)


def test_it_can_be_mapped_and_run_eagerly():
    x, kernel, _ = inputs(batch=4)
    grad = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(convolution(x, kernel))), 1)
    each = jax.vmap(grad, (0, None))(x[:, None], kernel)
    assert each.shape == (4, *kernel.shape)
    np.testing.assert_allclose(each.sum(0), grad(x, kernel), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'options',
    [
        dict(features=6, kernel_size=(3, 3), strides=2),
        dict(features=4, kernel_size=(3, 3), feature_group_count=4, use_bias=False),
        dict(features=4, kernel_size=(3, 3), feature_group_count=2),
        dict(features=3, kernel_size=(3,), padding='CIRCULAR'),
    ],
)
def test_the_layer_is_that_of_flax(options):
    x = inputs()[0]
    x = x[:, :, 0] if options['kernel_size'] == (3,) else x
    ours, theirs = Conv(**options), nn.Conv(**options)
    variables = ours.init(jax.random.key(0), x)
    expected = theirs.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    np.testing.assert_allclose(
        ours.apply(variables, x), theirs.apply(variables, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(('size', 'stride'), [(3, 1), (5, 2), (1, 2), (3, 3)])
@pytest.mark.parametrize('shape', [(7, 6), (1, 2), (4, 9)])
def test_depthwise_in_images_smaller_than_the_kernel_and_with_large_strides(size, stride, shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(size, size, 1, 3)).astype(np.float32)
    for ours, theirs in zip(*both(x, kernel, 3, dict(window_strides=(stride,) * 2)), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_empty_batch_gives_an_empty_result():
    x, kernel, _ = inputs()
    assert convolution(x[:0], kernel).shape == (0, 9, 7, 5)


def test_negative_padding_is_refused():
    x, kernel, _ = inputs()
    with pytest.raises(ValueError, match='padding: expected numbers of at least 0'):
        convolution(x, kernel, padding=((-1, 1), (0, 0)))
