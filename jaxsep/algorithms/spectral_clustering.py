"""Clusters of a graph from the eigenvectors of its Laplacian.

The graph comes as a dense matrix of non-negative weights between all pairs of its n vertices:
examples compared with each other, or the units of two networks. An edge from a vertex to itself
says nothing about clusters and is ignored.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.metrics.coding_length import coding_length
from jaxsep.ops.geometry import in_float32, l2_normalize

TRIMS = (0.0, 0.02, 0.1)


class SpectralClusters(NamedTuple):
    """Clusters of the vertices of a graph.

    Attributes:
      labels: int32 [n], from 0 to k - 1.
      embedding: [n, k], the rows that were clustered.
    """

    labels: Array
    embedding: Array


def symmetrize(affinity: Float[Array, 'n n']) -> Float[Array, 'n n']:
    """(A + A^T) / 2: the undirected graph of a directed one."""
    return (affinity + affinity.T) / 2


def normalized_laplacian(adjacency: Float[Array, 'n n']) -> Float[Array, 'n n']:
    """The symmetric normalised Laplacian I - D^-1/2 W D^-1/2, D = diag(W 1).

    W is the adjacency without its diagonal. Eigenvalues lie between 0 and 2, and as many are 0 as
    the graph has parts that no edge connects. A vertex without edges is not a part here (SciPy
    makes its diagonal 0): a few dead units should not use up all clusters.

    Args:
      adjacency: symmetric, non-negative.

    >>> import jax.numpy as jnp
    >>> normalized_laplacian(jnp.array([[5.0, 2.0], [2.0, 0.0]])).round(3).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]

    Source: von Luxburg, A tutorial on spectral clustering (2007), section 3.2,
    https://arxiv.org/abs/0711.0189.
    """
    weights = in_float32(adjacency)
    same = jnp.eye(len(weights), dtype=bool)
    weights = jnp.where(same, 0.0, weights)
    degrees = jnp.sum(weights, axis=1)
    connected = degrees > 0
    scale = jnp.where(connected, jax.lax.rsqrt(jnp.where(connected, degrees, 1.0)), 0.0)
    return jnp.where(same, 1.0, -scale[:, None] * weights * scale[None, :])


@functools.partial(jax.jit, static_argnames='k')
def spectral_embedding(adjacency: Float[Array, 'n n'], k: int) -> Float[Array, 'n k']:
    """The eigenvectors of the k smallest eigenvalues of the symmetric normalised Laplacian.

    Orthonormal columns, smallest eigenvalue first; where eigenvalues coincide only the space that
    their vectors span is determined. The largest entry of each column is positive, so that the
    sign does not depend on the machine. Time grows with n^3, memory with n^2.

    Args:
      adjacency: symmetric, non-negative; see `normalized_laplacian`.
      k: from 1 to n.
    """
    n = len(adjacency)
    if not 1 <= k <= n:
        raise ValueError(f'k: expected between 1 and the n = {n} vertices, got k = {k}')
    vectors = jnp.linalg.eigh(normalized_laplacian(adjacency))[1][:, :k]
    largest = jnp.argmax(jnp.abs(vectors), axis=0)[None, :]
    signs = jnp.take_along_axis(vectors, largest, axis=0)
    return vectors * jnp.where(signs < 0, -1.0, 1.0)


@functools.partial(jax.jit, static_argnames='k')
def spectral_clustering(affinity: Float[Array, 'n n'], k: int) -> SpectralClusters:
    """K clusters of the vertices of a graph (Ng, Jordan and Weiss).

    The affinity is symmetrised, its `spectral_embedding` scaled to rows of unit length (zero rows
    stay zero), and these are clustered by k-means: the best of three deterministic starts, which
    are farthest-first and pass over none, 2 % and 10 % of the outermost points.

    Args:
      affinity: non-negative, need not be symmetric.
      k: number of clusters, from 1 to n.

    >>> import jax.numpy as jnp
    >>> two_parts = jnp.kron(jnp.eye(2), jnp.ones((3, 3)))
    >>> labels = spectral_clustering(two_parts, 2).labels
    >>> (labels == labels[0]).tolist()
    [True, True, True, False, False, False]

    Source: Ng et al., On spectral clustering: analysis and an algorithm (2001).
    """
    rows = l2_normalize(spectral_embedding(symmetrize(affinity), k))
    return SpectralClusters(best_kmeans(rows, k), rows)


@functools.partial(jax.jit, static_argnames='k')
def best_kmeans(
    rows: Float[Array, 'n d'], k: int, active: Bool[Array, 'k'] | None = None
) -> Int[Array, 'n']:
    """The labels of least inertia of k-means from three farthest-first starts.

    Args:
      active: clusters that may have points, the first ones; all by default.
    """
    starts = jnp.stack([rows[maximin_seeds(rows, k, trim=trim)] for trim in TRIMS])
    found = jax.vmap(lambda start: kmeans(rows, start, active=active))(starts)
    return found.labels[jnp.argmin(found.inertia)]


def coding_lengths(
    features: Float[Array, 'n d'],
    affinity: Float[Array, 'n n'],
    candidates: Sequence[int],
    squared_precision: float = 0.1,
) -> Float[Array, 'c']:
    """For each number of clusters, the `coding_length` of features in so many spectral clusters.

    The best number is the one with the smallest length. One eigendecomposition serves all.

    Args:
      features: what is coded.
      affinity: what is clustered.
      candidates: numbers of clusters, from 1 to n.

    Source: Chu 2023 (CPP), https://arxiv.org/abs/2306.05272, where features are learnt once.
    """
    if not candidates or min(candidates) < 1:
        raise ValueError(f'candidates: expected numbers of clusters from 1, got {candidates}')
    most = max(candidates)
    vectors = spectral_embedding(symmetrize(affinity), most)

    def length(k):
        active = jnp.arange(most) < k
        rows = l2_normalize(jnp.where(active[None, :], vectors, 0.0))
        return coding_length(features, best_kmeans(rows, most, active), most, squared_precision)

    return jax.lax.map(length, jnp.asarray(candidates))
