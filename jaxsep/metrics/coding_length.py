"""How many nats describe points that are divided into clusters: which number of clusters is best."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32
from jaxsep.ops.log_determinants import log_det_of_groups


@functools.partial(jax.jit, static_argnames=('num_clusters', 'squared_precision'))
def coding_length(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_clusters: int,
    squared_precision: float = 0.1,
) -> Float[Array, '']:
    """The length of a code for points cluster by cluster, with the names of the clusters.

    sum_c (m_c + d)/2 log det(I + d / (eps^2 m_c) X_c^T X_c) - m_c log(m_c / n), m_c the points of
    cluster c. More clusters have shorter codes for their points, but longer ones for the names and
    a share d of each for its directions: the best number has the smallest sum. Clusters without
    points cost nothing, no points at all 0.

    Args:
      labels: from 0 to num_clusters - 1; points with other labels are left out, but for n.
      squared_precision: epsilon squared, 0.1 in the original.

    >>> import jax.numpy as jnp
    >>> two_lines = jnp.repeat(jnp.eye(2), 50, axis=0)
    >>> one, both = jnp.zeros(100, int), jnp.repeat(jnp.arange(2), 50)
    >>> bool(coding_length(two_lines, both, 2) < coding_length(two_lines, one, 2))
    True

    Source: Ma 2007, Segmentation of multivariate mixed data via lossy coding; Chu 2023 (CPP),
    https://arxiv.org/abs/2306.05272.
    """
    if not squared_precision > 0:
        raise ValueError(f'squared_precision: expected a positive number, got {squared_precision}')
    x = in_float32(x)
    n, d = x.shape
    members = (labels[None, :] == jnp.arange(num_clusters)[:, None]).astype(x.dtype)
    sizes = jnp.sum(members, axis=1)
    filled = jnp.maximum(sizes, 1.0)
    rates = log_det_of_groups(x, members, d / (squared_precision * filled), 16)
    lengths = (sizes + d) / 2 * rates - sizes * jnp.log(filled / max(n, 1))
    return jnp.sum(jnp.where(sizes > 0, lengths, 0.0))
