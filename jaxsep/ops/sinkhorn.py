"""Assigning items to prototypes in equal parts (Sinkhorn and Knopp)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def sinkhorn(
    scores: Float[Array, 'b k'],
    *,
    eps: float = 0.05,
    num_iterations: int = 3,
    axis_name: str | None = None,
) -> Float[Array, 'b k']:
    """Soft assignments of b items to k prototypes that use all prototypes alike.

    Starts from exp(scores/eps); each iteration scales the columns to equal sums, then the
    rows to sum 1, all in logarithms, so that no scores overflow. Every row sums to 1 after
    any number of iterations, every column to b/k after many. With `axis_name` each device
    holds its own rows and the columns are summed over all devices. No gradient flows through.

    Empty case: without rows, or without prototypes, the empty array.

    >>> import jax.numpy as jnp
    >>> print(sinkhorn(jnp.array([[1.0, 0.0], [1.0, 0.0]])))
    [[0.5 0.5]
     [0.5 0.5]]

    Source: Caron 2020 (SwAV), appendix A, https://arxiv.org/abs/2006.09882; Cuturi 2013.
    """
    if not eps > 0:
        raise ValueError(f'eps must be positive, got {eps}')
    if num_iterations < 1:
        raise ValueError(f'num_iterations must be at least 1, got {num_iterations}')
    logits = jax.lax.stop_gradient(in_float32(scores))
    if scores.size == 0:
        return logits

    def balance(_, logits):
        logits = logits - _column_logsumexp(logits, axis_name)
        return jax.nn.log_softmax(logits, axis=1)

    return jnp.exp(jax.lax.fori_loop(0, num_iterations, balance, logits / eps))


def _column_logsumexp(logits, axis_name):
    largest = jnp.max(logits, axis=0, keepdims=True)
    if axis_name is None:
        return jnp.log(jnp.sum(jnp.exp(logits - largest), axis=0, keepdims=True)) + largest
    largest = jax.lax.pmax(largest, axis_name)
    total = jnp.sum(jnp.exp(logits - largest), axis=0, keepdims=True)
    return jnp.log(jax.lax.psum(total, axis_name)) + largest
