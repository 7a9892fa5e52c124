"""Slices of one embedding, each the space of one learner."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import l2_normalize


def split_normalise(
    embeddings: Float[Array, 'b d'], learner_of_dim: Int[Array, 'd'], num_learners: int
) -> Float[Array, 'b d']:
    """Scales each learner's slice of a row to unit norm; a zero slice stays zero.

    y_id = x_id / ||x_i restricted to the dimensions of learner(d)||, so a row of K learners
    that have dimensions has norm sqrt(K). Dimensions stay where they are.

    Empty case: a learner without dimensions changes nothing.

    Args:
      num_learners: an upper bound of the numbers in `learner_of_dim`, exclusive.

    >>> import jax.numpy as jnp
    >>> slices = split_normalise(jnp.array([[6.0, 5.0, 8.0]]), jnp.array([0, 1, 0]), 2)
    >>> [round(x, 2) for x in slices[0].tolist()]
    [0.6, 1.0, 0.8]

    Source: Adiga V 2022 (Dynamic Subspace Learners), section III-B.
    """
    own = learner_of_dim[None, :] == jnp.arange(num_learners)[:, None]
    slices = jnp.where(own[None, :, :], embeddings[:, None, :], 0.0)
    return jnp.sum(l2_normalize(slices), axis=1)


def own_slice(
    embeddings: Float[Array, 'b d'],
    learner_of_dim: Int[Array, 'd'],
    learner_of_row: Int[Array, 'b'],
    whole: Bool[Array, ''] | bool = False,
) -> Float[Array, 'b d']:
    """Each row with only the dimensions of its own learner, 0 elsewhere.

    Distances between rows of the same learner are then those in that learner's space.

    Args:
      whole: keep all dimensions of all rows instead.

    Source: Adiga V 2022, section III-B.
    """
    own = learner_of_dim[None, :] == learner_of_row[:, None]
    return jnp.where(own | whole, embeddings, 0.0)
