"""The four rotations of an image by multiples of 90 degrees: transposes and flips, exact."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped

NUM_ROTATIONS = 4


def rotate4(
    images: Shaped[Array, '*b h w c'],
) -> tuple[
    Shaped[Array, '*b h w c'],
    Shaped[Array, '*b w h c'],
    Shaped[Array, '*b h w c'],
    Shaped[Array, '*b w h c'],
]:
    """The images turned counter-clockwise by 0, 90, 180 and 270 degrees.

    As `numpy.rot90(image, k)` for k = 0, 1, 2, 3. Nothing is interpolated: a network could tell
    the angle from the traces of that. Any dtype; no images give four empty arrays.
    Gidaris et al. 2018, section 2.2.

    >>> [x[..., 0].tolist() for x in rotate4(jnp.array([[[1], [2]]]))]
    [[[1, 2]], [[2], [1]], [[2, 1]], [[1], [2]]]
    """
    transposed = jnp.swapaxes(images, -3, -2)
    upside_down = jnp.flip(images, axis=-3)
    return (
        images,
        jnp.flip(transposed, axis=-3),
        jnp.flip(upside_down, axis=-2),
        jnp.swapaxes(upside_down, -3, -2),
    )


def rotation_batch(
    images: Shaped[Array, 'b h w c'],
) -> tuple[Shaped[Array, '4*b h w c'], Int[Array, '4*b']]:
    """All four rotations of every image in one batch, and the number of each one's rotation.

    The copies of an image stand together: row 4 i + k is image i turned by 90 k degrees,
    its label is k. Batch statistics are then those of all rotations, as they have to be.
    Gidaris et al. 2018, section 2.2 (all four copies in the same batch).

    Raises:
      ValueError: for images that are not square; their rotations differ in shape.

    >>> images, labels = rotation_batch(jnp.zeros((2, 5, 5, 1)))
    >>> images.shape, labels.tolist()
    ((8, 5, 5, 1), [0, 1, 2, 3, 0, 1, 2, 3])
    """
    b, h, w, c = images.shape
    if h != w:
        raise ValueError(f'images: expected square ones, got {h} x {w} pixels')
    rotated = jnp.stack(rotate4(images), axis=1).reshape(NUM_ROTATIONS * b, h, w, c)
    return rotated, jnp.tile(jnp.arange(NUM_ROTATIONS, dtype=jnp.int32), b)
