"""How many points a clustering puts with their class, under the best naming of the clusters."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


@functools.partial(jax.jit, static_argnames=('num_classes', 'num_clusters'))
def clustering_accuracy(
    labels: Int[Array, 'n'], clusters: Int[Array, 'n'], num_classes: int, num_clusters: int
) -> Float[Array, '']:
    """The share of points in the cluster that their class is matched with.

    Classes and clusters are matched one to one so that the share is largest (Hungarian method); a
    class or a cluster that is left over counts as wrong. 0 for no points.

    Args:
      labels, clusters: from 0.
      num_classes, num_clusters: how many there may be of each.

    >>> import jax.numpy as jnp
    >>> labels, clusters = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 1])
    >>> clustering_accuracy(labels, clusters, 2, 2).item()
    0.75

    Source: Xie 2016 (DEC), equation 10, https://arxiv.org/abs/1511.06335.
    """
    n = len(labels)
    size = max(num_classes, num_clusters)
    pairs = labels.astype(jnp.int32) * size + clusters.astype(jnp.int32)
    table = jnp.zeros(size * size, jnp.int32).at[pairs].add(1).reshape(size, size)
    rows, columns = optax.assignment.hungarian_algorithm(n - table.astype(jnp.float32))
    return jnp.sum(table[rows, columns]) / max(n, 1)
