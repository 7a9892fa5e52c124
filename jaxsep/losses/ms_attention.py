"""The losses of the semantic guides (Sinha and Dolz, 2019, section 3.3).

https://arxiv.org/abs/1906.02849; src/main.py of https://github.com/sinAshish/Multi-Scale-Attention.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.sparse import mean_squared_error


def summed_squared_errors(
    first: Sequence[Float[Array, 'b ...']],
    second: Sequence[Float[Array, 'b ...']],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """sum_s mean (x_s - y_s)^2 over pairs of arrays, each of the mean over all its entries.

    Of the codes of both stages, scale by scale, it is the semantic loss; of the guides' inputs and
    what they made of them the reconstruction loss. No gradient is stopped, as in the original:
    the inputs move too, towards what can be reconstructed, and to be small would lower it.

    Empty case: no pairs, or arrays without rows, give 0 with zero gradient.

    Args:
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    >>> float(summed_squared_errors([jnp.array([1.0, 3.0])], [jnp.array([1.0, 1.0])]))
    2.0
    """
    total = jnp.zeros(())
    for x, y in zip(first, second, strict=True):
        if x.shape != y.shape:
            raise ValueError(f'second: expected arrays as in first, {x.shape}, got {y.shape}')
        flat = (z.reshape(len(z), math.prod(z.shape[1:])) for z in (x, y))
        total = total + mean_squared_error(*flat, axis_name=axis_name)
    return total
