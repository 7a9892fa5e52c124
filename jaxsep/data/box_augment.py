"""Random changes of an image together with its boxes: pure functions for `jax.vmap`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def flip(
    key: Key[Array, ''],
    image: Float[Array, 'h w c'],
    boxes: Float[Array, 'm 4'],
    probability: float = 0.5,
) -> tuple[Float[Array, 'h w c'], Float[Array, 'm 4']]:
    """Image and boxes mirrored left to right, with the given probability; boxes of zeros stay."""
    width = image.shape[1]
    left, right = width - boxes[:, 2], width - boxes[:, 0]
    mirrored = jnp.stack([left, boxes[:, 1], right, boxes[:, 3]], axis=1)
    mirrored = jnp.where((boxes[:, 2] > boxes[:, 0])[:, None], mirrored, boxes)
    turn = jax.random.bernoulli(key, probability)
    return jnp.where(turn, image[:, ::-1], image), jnp.where(turn, mirrored, boxes)
