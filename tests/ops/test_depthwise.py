import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops.depthwise import depthwise_convolution

rng = np.random.default_rng(0)


def grouped(x, kernel, stride):
    """The convolution with as many groups as channels."""
    margin = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((margin, margin),) * 2,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=x.shape[-1],
        precision='highest',
    )  # fmt: skip


@pytest.mark.parametrize('size, stride, shape', [(3, 1, (5, 4)), (3, 2, (5, 4)), (5, 2, (6, 7))])
def test_value_and_gradient_are_those_of_a_convolution_with_a_group_for_each_channel(
    size, stride, shape
):
    x = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, 1, 3)), jnp.float32)

    @jax.jit
    def both(x, kernel):
        found, pull = jax.vjp(lambda *a: depthwise_convolution(*a, stride), x, kernel)
        expected, pull_expected = jax.vjp(lambda *a: grouped(*a, stride), x, kernel)
        upstream = jnp.cos(expected)
        return (found, *pull(upstream)), (expected, *pull_expected(upstream))

    found, expected = both(x, kernel)
    assert found[0].shape == (2, -(-shape[0] // stride), -(-shape[1] // stride), 3)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_it_is_the_sum_over_the_window_in_double_precision(float64):
    x, kernel = rng.normal(size=(1, 4, 3, 2)), rng.normal(size=(3, 3, 1, 2))
    expected = np.zeros_like(x)
    for i, j, u, v, c in np.ndindex(4, 3, 3, 3, 2):
        if 0 <= i + u - 1 < 4 and 0 <= j + v - 1 < 3:
            expected[0, i, j, c] += kernel[u, v, 0, c] * x[0, i + u - 1, j + v - 1, c]
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    np.testing.assert_allclose(depthwise_convolution(x, kernel), expected, rtol=1e-12)
    check_grads(jax.jit(depthwise_convolution), (x, kernel), order=1, modes=['rev'])


@pytest.mark.parametrize(
    'kernel, stride, message',
    [
        ((2, 2, 1, 3), 1, 'kernel: expected an odd size, got 2'),
        ((3, 3, 1, 4), 1, 'kernel: expected 3 channels as the image has, got 4'),
        ((3, 3, 1, 3), 0, 'stride: expected at least 1, got 0'),
    ],
)
def test_wrong_arguments_are_named(kernel, stride, message):
    with pytest.raises(ValueError, match=message):
        depthwise_convolution(jnp.zeros((1, 4, 4, 3)), jnp.zeros(kernel), stride)
