"""The columns of a batch that hold vectors, as flat float rows."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32

NAMES = ('embedding', 'features', 'image')


def feature_rows(batch: Mapping, name: str | None = None) -> Float[Array, 'b d']:
    """One flat float row per example: of the named column, or of the first of `NAMES` there is.

    uint8, which images are, is divided by 255.

    Raises ValueError naming the columns there are.

    >>> feature_rows({'image': jnp.full((1, 2, 1, 1), 255, jnp.uint8)}).tolist()
    [[1.0, 1.0]]
    """
    names = (name,) if name else NAMES
    for wanted in names:
        if wanted in batch:
            x = jnp.asarray(batch[wanted])
            x = x.reshape(x.shape[0], math.prod(x.shape[1:]))
            if x.dtype == jnp.uint8:
                return x / jnp.float32(255.0)
            return in_float32(x) if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
    raise ValueError(
        f'input: expected one of the columns {sorted(batch)}, got {" or ".join(names)}'
    )
