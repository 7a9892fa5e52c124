import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.data.box_augment import flip


def test_what_is_in_a_box_stays_in_it_and_padding_stays_padding():
    image = np.zeros((6, 8, 1), np.float32)
    image[1:3, 5:8] = 1.0
    boxes = jnp.array([[5.0, 1, 8, 3], [0, 0, 0, 0]])
    same, unchanged = flip(jax.random.key(0), jnp.asarray(image), boxes, 0.0)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(unchanged, boxes)
    turned, moved = flip(jax.random.key(0), jnp.asarray(image), boxes, 1.0)
    np.testing.assert_array_equal(moved, [[0, 1, 3, 3], [0, 0, 0, 0]])
    assert turned[1:3, 0:3].sum() == image.sum() == 6
    np.testing.assert_array_equal(flip(jax.random.key(1), turned, moved, 1.0)[0], image)


def test_about_half_of_the_images_are_turned():
    image, boxes = jnp.arange(4.0).reshape(1, 4, 1), jnp.array([[0.0, 0, 1, 1]])
    turned, moved = jax.vmap(flip, (0, None, None))(
        jax.random.split(jax.random.key(0), 400), image, boxes
    )
    first = np.asarray(turned[:, 0, 0, 0]) == 3
    assert 150 < first.sum() < 250
    np.testing.assert_array_equal(np.asarray(moved[:, 0, 0]) == 3, first)
