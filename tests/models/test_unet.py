"""The U-Net: sizes, what a place sees, and an oracle of its smallest form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.blocks.unet import DoubleConv, UNet


@pytest.mark.parametrize('shape', [(8, 8), (9, 7), (5, 12)])
def test_the_result_has_the_size_of_the_image(shape):
    x = jnp.ones((2, *shape, 3))
    net = UNet((4, 6, 8), features=5)
    found = jax.eval_shape(lambda x: net.apply(net.init(jax.random.key(0), x), x), x)
    assert found.shape == (2, *shape, 5)
    open_net = UNet((4, 6))
    found = jax.eval_shape(lambda x: open_net.apply(open_net.init(jax.random.key(0), x), x), x)
    assert found.shape == (2, *shape, 4)


def convolved(x, params):
    """A 3x3 convolution with padding, pixel by pixel."""
    h, w, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(params['kernel'], np.float64)
    found = [[np.einsum('ijc,ijcd->d', padded[i : i + 3, j : j + 3], kernel) for j in range(w)]
             for i in range(h)]  # fmt: skip
    return np.array(found) + np.asarray(params['bias'])


def test_a_pair_of_convolutions_agrees_with_loops_in_training():
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    pair = DoubleConv(3)
    variables = pair.init(jax.random.key(0), jnp.asarray(x, jnp.float32))
    found, _ = pair.apply(variables, jnp.asarray(x, jnp.float32), True, mutable=['batch_stats'])
    y = x[0]
    for index in range(2):
        y = convolved(y, variables['params'][f'Conv_{index}'])
        y = (y - y.mean((0, 1))) / np.sqrt(y.var((0, 1)) + 1e-5)
        y = np.maximum(y, 0)
    np.testing.assert_allclose(found[0], y, rtol=1e-4, atol=1e-5)


def test_fine_maps_reach_the_result_past_the_bottom_and_coarse_ones_from_afar():
    net = UNet((8, 8, 8), features=2)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 16, 16, 1)), jnp.float32)
    variables = net.init(jax.random.key(0), x)
    centre = jax.grad(lambda x: jnp.sum(net.apply(variables, x)[0, 8, 8]))(x)[0, ..., 0]
    # Without the bottom only the two pairs of the finest level are left: 4 pixels around.
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if 'double_0' in str(path) else leaf, variables
    )
    near = jax.grad(lambda x: jnp.sum(net.apply(silent, x)[0, 8, 8]))(x)[0, ..., 0]
    assert near[8, 8] != 0
    outside = np.abs(np.mgrid[0:16, 0:16] - 8).max(0) > 4
    np.testing.assert_array_equal(near[outside], 0)
    assert np.abs(centre[outside]).max() > 0


def test_more_levels_than_halvings_are_refused():
    net = UNet((2, 2, 2, 2))
    with pytest.raises(ValueError, match='widths: expected .* images of 4 x 6 can be halved'):
        net.init(jax.random.key(0), jnp.ones((1, 4, 6, 1)))
