"""Groups of units of two networks that go with each other: many to many."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.algorithms.spectral_clustering import normalized_laplacian
from jaxsep.ops.geometry import in_float32, l2_normalize


def joint_adjacency(correlation: Float[Array, 'p q']) -> Float[Array, 'm m']:
    """The graph of the units of both networks, m = p + q, with edges between networks only.

    [[0, |C|], [|C|^T, 0]]: the units of the first network come first.

    >>> import jax.numpy as jnp
    >>> joint_adjacency(jnp.array([[-0.5]])).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    between = jnp.abs(in_float32(correlation))
    p, q = between.shape
    above = jnp.concatenate([jnp.zeros((p, p), between.dtype), between], axis=1)
    below = jnp.concatenate([between.T, jnp.zeros((q, q), between.dtype)], axis=1)
    return jnp.concatenate([above, below], axis=0)


def joint_embedding(
    correlation: Float[Array, 'p q'], k: int
) -> tuple[Float[Array, 'm k'], Float[Array, 'k']]:
    """The k leading eigenvectors of the normalised Laplacian of `joint_adjacency`, and eigenvalues.

    Those of `jaxsep.algorithms.spectral_clustering.spectral_embedding`, but for units without any
    correlation (constant ones): there each is a part of its own, with an eigenvalue of 0 that
    would take the place of a cluster; here their rows are 0, or come last.
    """
    adjacency = joint_adjacency(correlation)
    alone = jnp.sum(adjacency, axis=1) == 0
    # Above 2, the largest eigenvalue there is.
    last = jnp.diag(jnp.where(alone, 3.0, 0.0).astype(adjacency.dtype))
    eigenvalues, vectors = jnp.linalg.eigh(normalized_laplacian(adjacency) + last)
    return vectors[:, :k], eigenvalues[:k]


@functools.partial(jax.jit, static_argnames='k')
def joint_spectral_clusters(correlation: Float[Array, 'p q'], k: int) -> Int[Array, 'm']:
    """K clusters of the units of two networks by spectral clustering of their correlations.

    k-means from farthest-first seeds on the rows of `joint_embedding`, scaled to unit length
    (von Luxburg, A tutorial on spectral clustering, 2007). As each unit is joined to units of
    the other network only, a cluster is a set of units of one that goes with a set of units of
    the other. Units without any correlation are in no cluster, -1.

    Args:
      correlation: of units of the first (rows) with units of the second network.
      k: number of clusters, at most p + q.

    Returns:
      the cluster of every unit, those of the first network first.

    >>> import jax.numpy as jnp
    >>> joint_spectral_clusters(jnp.array([[0.9, 0.1], [0.1, -0.9]]), 2).tolist()
    [0, 1, 0, 1]
    """
    units = sum(correlation.shape)
    if not 1 <= k <= units:
        raise ValueError(f'k: expected between 1 and the {units} units, got {k}')
    rows = l2_normalize(joint_embedding(correlation, k)[0])
    joined = jnp.sum(joint_adjacency(correlation), axis=1) > 0
    weights = joined.astype(rows.dtype)
    labels = kmeans(rows, rows[maximin_seeds(rows, k, weights=weights)], weights=weights).labels
    return jnp.where(joined, labels, -1)
