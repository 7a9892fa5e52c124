"""Training scores of query-item pairs: the right item against sampled wrong ones (Yadav et al., 2022)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def sampled_softmax(
    positive: Float[Array, 'b'], negatives: Float[Array, 'b k']
) -> Float[Array, '']:
    """Cross-entropy of the right item among itself and its negatives, mean over the queries.

    Empty case: 0 without queries, or without negatives.
    """
    scores = jnp.concatenate([in_float32(positive)[:, None], in_float32(negatives)], axis=1)
    losses = -jax.nn.log_softmax(scores, axis=1)[:, 0]
    return jnp.sum(losses) / max(len(losses), 1)


def pairwise_logistic(
    positive: Float[Array, 'b'], negatives: Float[Array, 'b k']
) -> Float[Array, '']:
    """Half the mean logistic loss of the right items plus half that of the negatives.

    (mean softplus(-positive) + mean softplus(negative)) / 2, so that the many negatives weigh as
    much as the few positives. Empty case: a side without scores gives 0.
    """
    right = jax.nn.softplus(-in_float32(positive))
    wrong = jax.nn.softplus(in_float32(negatives))
    return 0.5 * (jnp.sum(right) / max(right.size, 1) + jnp.sum(wrong) / max(wrong.size, 1))


def distillation(student: Float[Array, 'b k'], teacher: Float[Array, 'b k']) -> Float[Array, '']:
    """Cross-entropy of the student's softmax under the teacher's, mean over the queries.

    The scores are of the same selected items; no gradient flows into the teacher. Of a dual
    encoder that learns from a cross-encoder. Empty case: 0.
    """
    target = jax.lax.stop_gradient(jax.nn.softmax(in_float32(teacher), axis=1))
    losses = -jnp.sum(target * jax.nn.log_softmax(in_float32(student), axis=1), axis=1)
    return jnp.sum(losses) / max(len(losses), 1)
