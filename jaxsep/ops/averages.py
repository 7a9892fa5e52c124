"""Moving averages of networks: teachers and targets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cosine_momentum(
    step: int | Int[Array, ''], start: float, num_steps: int
) -> float | Float[Array, '']:
    """The share of the old average in the new one, rising from `start` to 1 as a cosine.

    1 - (1 - start) (1 + cos(pi step / num_steps)) / 2, and 1 from num_steps on. A constant
    `start` for num_steps = 0.

    Source: Grill 2020 (BYOL), section 3.3, https://arxiv.org/abs/2006.07733
    """
    if not num_steps:
        return start
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(step / num_steps, 1.0)))


def average(old, new, momentum: float | Float[Array, '']):
    """The mix momentum old + (1 - momentum) new, leaf by leaf; at momentum 1 exactly the old tree."""
    return jax.tree.map(lambda a, b: a + (1.0 - momentum) * (b - a), old, new)
