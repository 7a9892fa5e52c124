"""How well two partitions of the same points agree."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def normalized_mutual_information(
    a: Int[Array, 'n'],
    b: Int[Array, 'n'],
    num_a: int,
    num_b: int,
    present: Bool[Array, 'n'] | None = None,
) -> Float[Array, '']:
    """Mutual information of two labelings over the mean of their entropies, from 0 to 1.

    2 I(a; b) / (H(a) + H(b)), from the contingency table of the points that are present. 1 for
    the same partition under other names. A jit-able form of scikit-learn's function.

    Empty case: 1 where both have one class only, or without points, as in scikit-learn.

    Args:
      num_a, num_b: how many labels there may be; labels count from 0.
      present: points that count; all by default.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 0])
    >>> normalized_mutual_information(a, b, 2, 2).item()
    1.0

    Source: Strehl & Ghosh, Cluster ensembles (2002), with the arithmetic mean.
    """
    in_a = a[:, None] == jnp.arange(num_a)[None, :]
    if present is not None:
        in_a &= present[:, None]
    in_b = b[:, None] == jnp.arange(num_b)[None, :]
    table = jnp.matmul(in_a.astype(jnp.float32).T, in_b.astype(jnp.float32), precision='highest')
    table = table / jnp.maximum(jnp.sum(table), 1.0)
    entropy_a, entropy_b = _entropy(jnp.sum(table, axis=1)), _entropy(jnp.sum(table, axis=0))
    shared = jnp.maximum(entropy_a + entropy_b - _entropy(table), 0.0)
    mean = (entropy_a + entropy_b) / 2
    return jnp.where(mean > 1e-7, shared / jnp.where(mean > 1e-7, mean, 1.0), 1.0)


def _entropy(probabilities):
    positive = probabilities > 0
    return -jnp.sum(
        jnp.where(positive, probabilities * jnp.log(jnp.where(positive, probabilities, 1.0)), 0.0)
    )
