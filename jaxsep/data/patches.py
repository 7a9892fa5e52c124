"""Images in square patches, some of them hidden."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def num_patches(shape: tuple[int, ...], patch_size: int) -> int:
    """How many patches an image [h, w, ...] has; ValueError unless they fill it.

    >>> num_patches((8, 6, 1), 2)
    12
    """
    h, w = shape[:2]
    if patch_size < 1 or h % patch_size or w % patch_size:
        raise ValueError(f'patch_size: expected a divisor of {h} and {w}, got {patch_size}')
    return (h // patch_size) * (w // patch_size)


def mask_patches(
    images: Float[Array, 'b h w c'],
    uniform: Float[Array, 'b n'],
    *,
    patch_size: int,
    ratio: float,
) -> Float[Array, 'b h w c']:
    """Sets the floor(ratio n) patches of each image with the smallest random numbers to 0.

    Args:
      uniform: a random number for each patch, in raster order; equal ones go by place.
      ratio: share of the patches to hide, 0 to 1.

    >>> import jax.numpy as jnp
    >>> mask_patches(jnp.ones((1, 2, 2, 1)), jnp.array([[0.3, 0.1, 0.9, 0.2]]),
    ...              patch_size=1, ratio=0.5)[0, :, :, 0].tolist()
    [[1.0, 0.0], [1.0, 0.0]]

    Source: Ke 2024, https://arxiv.org/abs/2403.10897, after He 2022, https://arxiv.org/abs/2111.06377
    """
    n = num_patches(images.shape[1:], patch_size)
    if uniform.shape[1] != n:
        raise ValueError(f'uniform: expected {n} numbers an image, got {uniform.shape[1]}')
    if not 0 <= ratio <= 1:
        raise ValueError(f'ratio: expected a share between 0 and 1, got {ratio}')
    b, h, w, _ = images.shape
    rank = jnp.argsort(jnp.argsort(uniform, axis=-1), axis=-1)
    kept = (rank >= int(ratio * n)).reshape(b, h // patch_size, w // patch_size)
    kept = jnp.repeat(jnp.repeat(kept, patch_size, axis=1), patch_size, axis=2)
    return jnp.where(kept[..., None], images, 0.0)
