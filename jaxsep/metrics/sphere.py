"""How much the unit sphere of the embeddings tolerates semantically similar points.

Reference: Wang & Liu, Understanding the Behaviour of Contrastive Loss, 2021,
https://arxiv.org/abs/2012.09740, section 3.4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import l2_normalize


def _pair_sums(embeddings, labels):
    """Sums over ordered same-class pairs of cosine and of 1; over points of ||z||^2 and of 1."""
    directions = l2_normalize(embeddings)
    n = labels.shape[0]
    order = jnp.argsort(labels)
    ordered = labels[order]
    starts = jnp.concatenate([jnp.zeros((1,), jnp.int32), (ordered[1:] != ordered[:-1])])
    groups = jnp.cumsum(starts)  # labels as 0, 1, 2, ..., whatever integers they are
    sums = jax.ops.segment_sum(directions[order], groups, n, indices_are_sorted=True)
    counts = jax.ops.segment_sum(
        jnp.ones((n,), directions.dtype), groups, n, indices_are_sorted=True
    )
    return jnp.sum(sums * sums), jnp.sum(counts * counts), jnp.sum(directions * directions)


@jax.jit
def tolerance(embeddings: Float[Array, 'n d'], labels: Int[Array, 'n']) -> Float[Array, '']:
    """The mean cosine similarity over the pairs of distinct points of one class.

    mean over i != j with y_i = y_j of z_i . z_j, z = x / ||x||. This is what Wang & Liu
    describe ("the mean similarities of samples belonging to the same class"); their
    equation 11 as printed is `tolerance_all_pairs`. Larger classes give more pairs and
    so weigh more. 0 if no class has two points. Computed from the sum of z over each
    class, so memory and time grow with n d.

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> float(tolerance(z, jnp.array([7, 7, -1])))
      1.0
    """
    cosines, pairs, selves = _pair_sums(embeddings, labels)
    count = pairs - labels.shape[0]
    return jnp.where(count > 0, (cosines - selves) / jnp.maximum(count, 1), 0.0)


@jax.jit
def tolerance_all_pairs(
    embeddings: Float[Array, 'n d'], labels: Int[Array, 'n']
) -> Float[Array, '']:
    """Equation 11 of Wang & Liu as printed: the mean over ALL ordered pairs.

    mean over (i, j), i = j included, of z_i . z_j 1[y_i = y_j]. It falls with the number
    of classes, whatever the embedding: compare it only on one labelling.
    """
    cosines, _, _ = _pair_sums(embeddings, labels)
    return cosines / max(labels.shape[0], 1) ** 2
