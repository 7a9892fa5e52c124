import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.data.patches import mask_patches, num_patches

mask = jax.jit(mask_patches, static_argnames=('patch_size', 'ratio'))


def test_the_patches_of_the_original_are_hidden(golden):
    a = golden('mrdd')
    images = jnp.asarray(np.moveaxis(a['mask/image'], 1, -1))
    uniform = jnp.asarray(a['mask/uniform'], jnp.float32)
    got = mask(images, uniform, patch_size=int(a['mask/patch']), ratio=float(a['mask/ratio']))
    np.testing.assert_array_equal(np.moveaxis(np.asarray(got), -1, 1), a['mask/masked'])


@pytest.mark.parametrize('ratio', [0.0, 0.5, 0.7, 1.0])
def test_the_share_of_whole_patches_is_hidden_and_the_rest_untouched(ratio):
    rng = np.random.default_rng(0)
    images = rng.uniform(0.1, 1, (5, 4, 6, 2)).astype(np.float32)
    hidden = mask(images, rng.uniform(size=(5, 6)).astype(np.float32), patch_size=2, ratio=ratio)
    blocks = np.asarray(hidden).reshape(5, 2, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4, 5)
    blocks = blocks.reshape(5, 6, -1)
    zero, whole = (blocks == 0).all(-1), (blocks != 0).all(-1)
    assert (zero | whole).all()
    np.testing.assert_array_equal(zero.sum(1), int(ratio * 6))
    shown = np.asarray(hidden) != 0
    np.testing.assert_array_equal(np.asarray(hidden)[shown], images[shown])


def test_wrong_options_are_named():
    images, uniform = jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 4))
    with pytest.raises(ValueError, match='patch_size: expected a divisor of 4 and 4, got 3'):
        mask_patches(images, uniform, patch_size=3, ratio=0.5)
    with pytest.raises(ValueError, match='uniform: expected 16 numbers an image, got 4'):
        mask_patches(images, uniform, patch_size=1, ratio=0.5)
    with pytest.raises(ValueError, match='between 0 and 1, got 1.5'):
        mask_patches(images, uniform, patch_size=2, ratio=1.5)
    assert num_patches((4, 4, 1), 2) == 4
