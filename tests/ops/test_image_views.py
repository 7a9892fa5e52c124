import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import image_views
from jaxsep.ops.image_views import make_views, spatial_boxes, spatial_patches

augment16 = jax.jit(image_views.augment16)


def test_boxes_are_those_of_the_golden_fixture(golden):
    g = golden('off_the_shelf')
    np.testing.assert_allclose(spatial_boxes(2), g['spatial/boxes_query'])
    np.testing.assert_allclose(spatial_boxes(3), g['spatial/boxes_ref'])


def test_patches_show_their_boxes():
    image = jnp.asarray(np.random.default_rng(0).random((6, 6, 2)), jnp.float32)
    patches = spatial_patches(image, 2)
    assert patches.shape == (5, 6, 6, 2)
    np.testing.assert_allclose(patches[0], image, atol=1e-6)
    # Of 4 x 4 of the 6 x 6 pixels; what lies beside a box is seen by its outermost pixels only.
    steps = jnp.zeros((6, 6, 1)).at[:4, 2:].set(1.0)
    np.testing.assert_allclose(spatial_patches(steps, 2)[2, 1:-1, 1:-1], 1.0, atol=1e-6)
    assert spatial_patches(steps, 2)[3].min() == 0


def test_sixteen_views_are_crops_turns_and_their_mirrors():
    image = jnp.asarray(np.random.default_rng(1).random((9, 9, 1)), jnp.float32)
    views = augment16(image)
    assert views.shape == (16, 9, 9, 1)
    np.testing.assert_allclose(views[0], image, atol=1e-6)
    np.testing.assert_allclose(views[8:], views[:8, :, ::-1], atol=1e-6)
    # Crops of 6 x 6 of the 9 x 9 pixels, in the corners and in the middle.
    for view, (top, left) in enumerate(((0, 0), (0, 3), (3, 0), (3, 3), (1.5, 1.5)), 1):
        marked = (
            jnp.zeros((9, 9, 1))
            .at[int(top + 2) : int(top + 5), int(left + 2) : int(left + 5)]
            .set(1.0)
        )
        shown = augment16(marked)[view, ..., 0]
        assert shown[4, 4] == pytest.approx(1.0, abs=1e-5) and shown[0, 0] == 0
    # A bar to the right of the middle goes up for the one rotation and down for the other.
    bar = jnp.zeros((9, 9, 1)).at[4, 7].set(1.0)
    up, down = (augment16(bar)[i, ..., 0] for i in (6, 7))
    np.testing.assert_allclose(up, down[::-1], atol=1e-5)
    assert up[:4].sum() > 0.5 > up[5:].sum()


def test_views_of_a_batch_are_those_of_each_image():
    images = jnp.asarray(np.random.default_rng(2).random((2, 9, 9, 1)), jnp.float32)
    views = jax.jit(make_views(name='augment16'))(images)
    np.testing.assert_allclose(views[1], augment16(images[1]), atol=1e-6)
    patches = make_views(name='spatial', levels=3)(images)
    np.testing.assert_allclose(patches[1], spatial_patches(images[1], 3), atol=1e-6)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="views.name: expected one of .*, got 'ten'"):
        make_views(name='ten')
    with pytest.raises(ValueError, match='levels: expected at least 1, got 0'):
        make_views(name='spatial', levels=0)
