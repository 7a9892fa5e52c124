"""Distances between images of which several patches are known each."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, power_of_two, sqrt, squared_distances

REDUCTIONS = ('mean', 'sum', 'min')


@functools.partial(jax.jit, static_argnames=('reduction', 'chunk_size'))
def spatial_search_distances(
    queries: Float[Array, 'q p d'],
    references: Float[Array, 'n r d'],
    reduction: str = 'mean',
    chunk_size: int = 256,
) -> Float[Array, 'q n']:
    """How far the patches of each query are from the nearest patches of each reference.

    mean_p min_r ||query_p - reference_r||, not symmetric: every patch of the query looks for
    itself anywhere in the reference. Numbers of patches may differ. A difference below 3e-4 of the
    norms is lost to rounding (`squared_distances`).

    Args:
      reduction: over the query's patches: mean, sum or min.
      chunk_size: references that are held at a time, all pairs of patches with each query.

    Raises:
      ValueError: for another reduction, or without a patch.

    >>> import jax.numpy as jnp
    >>> query, reference = jnp.array([[[0.0], [4.0]]]), jnp.array([[[1.0], [9.0], [4.0]]])
    >>> spatial_search_distances(query, reference).item()
    0.5

    Source: Sharif Razavian et al., 2014, section 4, https://arxiv.org/abs/1403.6382
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction: expected one of {REDUCTIONS}, got {reduction!r}')
    (q, p, d), (n, r, _) = queries.shape, references.shape
    if not p or not r:
        raise ValueError(f'queries, references: expected patches, got {p} and {r}')
    reduce = {'mean': jnp.mean, 'sum': jnp.sum, 'min': jnp.min}[reduction]
    power = jnp.maximum(power_of_two(queries), power_of_two(references)).reshape(())
    rows = in_float32(queries).reshape(q * p, d) / power

    def distances(reference):
        nearest = jnp.min(squared_distances(rows, reference), axis=1)
        return reduce(power * sqrt(nearest).reshape(q, p), axis=1)

    chunk_size = max(min(chunk_size, n), 1)
    return jax.lax.map(distances, in_float32(references) / power, batch_size=chunk_size).T
