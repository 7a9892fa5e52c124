import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.data.rotations import rotate4, rotation_batch


@pytest.mark.parametrize('case', ['rotate', 'rotate_rect'])
def test_agrees_with_the_original_to_the_bit(golden, case):
    a = golden('rotnet')
    found = rotate4(jnp.asarray(a[f'{case}/image']))
    for degrees, image in zip((0, 90, 180, 270), found, strict=True):
        np.testing.assert_array_equal(image, a[f'{case}/rot{degrees}'])


def test_is_numpys_rotation_and_undone_by_the_opposite_one():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), np.uint8)
    found = rotate4(jnp.asarray(images))
    for k, turned in enumerate(found):
        assert turned.dtype == np.uint8
        np.testing.assert_array_equal(turned, np.rot90(images, k, axes=(1, 2)))
        np.testing.assert_array_equal(rotate4(turned)[-k % 4], images)


def test_a_batch_holds_the_four_copies_of_each_image_together():
    images = np.random.default_rng(1).uniform(size=(3, 4, 4, 1)).astype(np.float32)
    rotated, labels = jax.jit(rotation_batch)(images)
    assert labels.dtype == np.int32
    for row in range(12):
        assert labels[row] == row % 4
        np.testing.assert_array_equal(rotated[row], np.rot90(images[row // 4], row % 4))


def test_no_images_give_an_empty_batch_and_oblong_ones_are_refused():
    rotated, labels = rotation_batch(jnp.zeros((0, 4, 4, 1)))
    assert rotated.shape == (0, 4, 4, 1) and labels.shape == (0,)
    with pytest.raises(ValueError, match='images: expected square ones, got 2 x 3 pixels'):
        rotation_batch(jnp.zeros((1, 2, 3, 1)))
