"""Affinities between points whose rows and columns sum to 1, by Sinkhorn's iteration.

Beside `jaxsep.ops.sinkhorn`, which divides items among prototypes and lets no gradient through.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.devices import varying_like
from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize

# Parts of the original layer: when to stop early, and which column scales are forgotten.
_TOLERANCE = 1e-12
_TOO_LARGE = 9e8


def sinkhorn_affinity(
    similarity: Float[Array, 'n n'], *, temperature: float = 0.175, half_steps: int = 5
) -> Float[Array, 'n n']:
    """The doubly stochastic matrix nearest to similarities, with entropy: n exp((A + u + v) / eta).

    From u = v = 0, half steps alternate, beginning with the rows:

        even: u <- eta (log(1/n) - logsumexp_j((A + u + v) / eta)) + u
        odd:  v <- eta (log(1/n) - logsumexp_i((A + u + v) / eta)) + v

    It ends early when a step of the rows changed u by less than 1e-12 in total. After an odd
    number of half steps the rows sum to 1 exactly and the columns nearly, after an even number
    the reverse. A small temperature gives the identity (or a permutation), a large one 1/n.

    The gradient flows through the last step of the rows alone, v being held fixed: that of a row
    softmax of (A + v) / eta.

    Masks: entries of -inf stay out; a row of them only is 0. Empty case: no points, no entries.

    Args:
      similarity: A, any real numbers.
      temperature: eta, the weight of the entropy.
      half_steps: at most so many, at least 1.

    >>> import jax.numpy as jnp
    >>> print(sinkhorn_affinity(jnp.zeros((2, 2))))
    [[0.5 0.5]
     [0.5 0.5]]

    Source: Ding 2023 (MLC), https://arxiv.org/abs/2301.01805; half steps and gradient as
    in https://github.com/LeslieTrue/CPP (model/sink_distance.py).
    """
    if not temperature > 0:
        raise ValueError(f'temperature: expected a positive number, got {temperature}')
    if half_steps < 1:
        raise ValueError(f'half_steps: expected at least 1, got {half_steps}')
    similarity = in_float32(similarity)
    n = similarity.shape[0]
    if n == 0:
        return similarity
    log_share = -jnp.log(jnp.asarray(n, similarity.dtype))

    def balanced(logits, axis):
        """What to add to all logits of a row (axis 1) or column so that they sum to 1/n."""
        empty = jnp.max(logits, axis=axis, keepdims=True) == -jnp.inf
        total = jax.nn.logsumexp(jnp.where(empty, 0.0, logits), axis=axis)
        return temperature * jnp.where(jnp.squeeze(empty, axis), 0.0, log_share - total)

    def logits(a, u, v):
        return (a + u[:, None] + v[None, :]) / temperature

    fixed = jax.lax.stop_gradient(similarity)

    def unfinished(state):
        i, _, _, _, change = state
        return (i < half_steps) & (change >= _TOLERANCE)

    def half_step(state):
        i, u, v, v_of_u, change = state

        def rows():
            new = balanced(logits(fixed, u, v), 1) + u
            return i + 1, new, v, v, jnp.sum(jnp.abs(new - u))

        def columns():
            new = balanced(logits(fixed, u, v), 0) + v
            return i + 1, u, jnp.where(new > _TOO_LARGE, 0.0, new), v_of_u, change

        return jax.lax.cond(i % 2 == 0, rows, columns)

    zeros = jnp.zeros_like(fixed[0])
    start = (jnp.int32(0), zeros, zeros, zeros, jnp.asarray(jnp.inf, fixed.dtype))
    start = varying_like(start, fixed)
    _, _, v, v_of_u, _ = jax.lax.while_loop(unfinished, half_step, start)
    u = balanced((similarity + v_of_u[None, :]) / temperature, 1)
    return n * jnp.exp(logits(similarity, u, v))


def absolute_cosines(x: Float[Array, 'n d']) -> Float[Array, 'n n']:
    """|cos(x_i, x_j)|: 1 for points on one line through 0, 0 for orthogonal or zero points."""
    x = l2_normalize(x)
    return jnp.abs(inner_products(x, x))
