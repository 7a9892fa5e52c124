"""The log loss of click-through rates with its small summand, and the penalty on weights beside it."""

import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def log_loss(
    logits: Float[Array, 'b'],
    labels: Bool[Array, 'b'] | Int[Array, 'b'],
    mask: Bool[Array, 'b'] | None = None,
    *,
    epsilon: float = 1e-7,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean of -log(p + epsilon) where the label is 1, -log(1 - p + epsilon) where it is 0.

    p = sigmoid(logit). Computed as -log(exp(log p) + exp(log epsilon)), so that neither p nor
    1 - p is rounded to 0. The summand bounds the loss of a row by -log epsilon, 16.1 at 1e-7, and
    takes the gradient of a row away as its loss comes near that: a row that is wrong by a
    logit of 16 has half its gradient left, one that is wrong by 25 has nothing. With epsilon 0
    it is binary cross-entropy.

    Empty case: no row in the mask gives 0 with zero gradient.

    Args:
      labels: positive where not 0.
      epsilon: 1e-7 is that of TensorFlow's `losses.log_loss`.
      axis_name: as in `jaxsep.losses.contrastive`.

    >>> import jax.numpy as jnp
    >>> round(log_loss(jnp.array([0.0, 100.0]), jnp.array([1, 0])).item(), 4)
    8.4056
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f'epsilon: expected a number from 0 to below 1, got {epsilon}')
    logits = in_float32(logits)
    log_likelihood = jax.nn.log_sigmoid(jnp.where(labels != 0, logits, -logits))
    if epsilon:
        log_likelihood = jnp.logaddexp(log_likelihood, math.log(epsilon))
    mask = jnp.ones(labels.shape, bool) if mask is None else mask
    kept = jnp.sum(jnp.where(mask, -log_likelihood, 0.0)), jnp.sum(mask)
    sum_of_losses, count = devices.total(kept, axis_name)
    return sum_of_losses / jnp.maximum(count, 1)


def half_squared_norm(weights: Iterable[Float[Array, '...']]) -> Float[Array, '']:
    """0.5 sum w^2 over all entries of all arrays, TensorFlow's L2 penalty; 0 without arrays.

    >>> import jax.numpy as jnp
    >>> half_squared_norm([jnp.array([3.0]), jnp.array([[4.0]])]).item()
    12.5
    """
    squares = [jnp.sum(jnp.square(in_float32(w))) for w in weights]
    return 0.5 * sum(squares, start=jnp.zeros(()))
