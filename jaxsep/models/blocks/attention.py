"""Attention with several heads: the softmax in float32, the weights given out."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def attend(
    query: Float[Array, 'b q d'],
    key: Float[Array, 'b n d'],
    value: Float[Array, 'b n d'],
    num_heads: int,
    *,
    mask: Bool[Array, 'b n'] | None = None,
    scaling: bool = True,
    change: Sequence = (),
) -> tuple[Float[Array, 'b q d'], Float[Array, 'b h q n']]:
    """What each query takes from all places, by the attention of each head.

    a_h(i, j) = softmax_j(<q_i, k_j> / sqrt(d / h)) within the h-th of the contiguous chunks of
    channels; query i takes sum_j a_h(i, j) v_j. Scores and softmax are float32 for half
    precision inputs, and the result has the precision of the values.

    Empty case: a row whose mask is False everywhere attends to all places alike.

    Args:
      num_heads: h, divides d.
      mask: places that may be attended to; all by default.
      scaling: divide by sqrt(d / h), else by 1.
      change: functions that the weights pass before they are used, as dropout.

    Returns:
      the new tokens, chunks side by side, and a, before `change`.

    Source: Vaswani 2017, equation 1, https://arxiv.org/abs/1706.03762
    """
    width = query.shape[-1]
    if width % num_heads:
        raise ValueError(f'num_heads: expected a divisor of the width {width}, got {num_heads}')
    # Head by head: products of [b, n, c] need no transposition of the tokens, which on CPU would
    # cost as much as the attention itself.
    heads = list(zip(*(jnp.split(x, num_heads, axis=-1) for x in (query, key, value)), strict=True))
    root = math.sqrt(width // num_heads) if scaling else 1.0
    wide, weights = jnp.promote_types(query.dtype, jnp.float32), []
    for q, k, _ in heads:
        scores = jnp.einsum('bic,bjc->bij', q, k, preferred_element_type=wide) / root
        if mask is not None:
            # Finite, so that a row without places gives numbers, which the caller masks, no NaN.
            scores = jnp.where(mask[:, None, :], scores, jnp.finfo(wide).min)
        weights.append(jax.nn.softmax(scores))
    attention = jnp.stack(weights, axis=1)
    if change:
        changed = attention
        for function in change:
            changed = function(changed)
        weights = [changed[:, h] for h in range(num_heads)]
    taken = [
        jnp.einsum('bij,bjc->bic', a.astype(v.dtype), v)
        for a, (_, _, v) in zip(weights, heads, strict=True)
    ]
    return jnp.concatenate(taken, axis=-1), attention
