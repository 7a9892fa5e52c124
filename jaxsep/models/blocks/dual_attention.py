"""Attention among the places and among the channels of a map (DANet: Fu et al., 2019).

https://arxiv.org/abs/1809.02983. Both modules add what they found to their input, times a number
gamma that starts at 0: at first they are the identity.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, matmul


def position_attention(
    query: Float[Array, 'b n k'],
    key: Float[Array, 'b n k'],
    value: Float[Array, 'b n c'],
    *,
    chunk: int = 0,
) -> tuple[Float[Array, 'b n c'], Float[Array, 'b n']]:
    """What each place takes from all places, and how much each place is taken from.

    a_ij = softmax_j(<q_i, k_j>), not scaled; place i takes sum_j a_ij v_j, and place j has the mean
    over i of a_ij. In float32 for half precision.

    Args:
      chunk: so many queries at a time, 0 for all: memory is n * chunk in place of n * n, also in the
        gradient, where each block is computed once more. The result is the same.

    Source: Fu 2019, equations 1 and 2
    """
    if chunk < 0:
        raise ValueError(f'chunk: expected 0 or more, got {chunk}')
    b, n, k = query.shape
    query, key, value = in_float32(query), in_float32(key), in_float32(value)
    transposed = jnp.swapaxes(key, 1, 2)

    def of_queries(queries, counted):
        weights = jax.nn.softmax(matmul(queries, transposed))
        return matmul(weights, value), jnp.sum(weights * counted[None, :, None], axis=1)

    if not 0 < chunk < n:
        taken, received = of_queries(query, jnp.ones(n))
        return taken, received / n
    blocks = jnp.pad(query, ((0, 0), (0, -n % chunk), (0, 0))).reshape(b, -1, chunk, k)
    counted = (jnp.arange(blocks.shape[1] * chunk) < n).astype(query.dtype).reshape(-1, chunk)
    block = jax.checkpoint(lambda given: of_queries(*given))
    taken, received = jax.lax.map(block, (jnp.swapaxes(blocks, 0, 1), counted))
    taken = jnp.swapaxes(taken, 0, 1).reshape(b, -1, value.shape[-1])[:, :n]
    return taken, jnp.sum(received, axis=0) / n


def channel_attention(x: Float[Array, 'b n c']) -> Float[Array, 'b n c']:
    """What each channel takes from all channels, most from the ones that are least like it.

    e = x^T x; channel i takes sum_j softmax_j(max_j e_ij - e_ij) x_j. The row's largest, which the code
    of the paper takes the energies from, changes nothing in a softmax but keeps it from
    overflowing, which `jax.nn.softmax` does by itself. In float32 for half precision.

    Source: Fu 2019, equations 3 and 4, with the sign of the published code
    """
    x = in_float32(x)
    energy = matmul(jnp.swapaxes(x, 1, 2), x)
    weights = jax.nn.softmax(-energy)
    return matmul(x, jnp.swapaxes(weights, 1, 2))


class PositionAttention(nn.Module):
    """x + gamma * (what each place takes from all), queries and keys narrower than the values.

    Attributes:
      reduction: channels of the input over those of queries and keys, of which there is at least one.
      chunk: as in `position_attention`.

    Returns the new map, and how much each place is attended to, which sums to 1.
    """

    reduction: int = 8
    chunk: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c']
    ) -> tuple[Float[Array, 'b h w c'], Float[Array, 'b h w']]:
        b, h, w, c = x.shape
        flat = x.reshape(b, h * w, c)
        narrow = max(c // self.reduction, 1)
        query, key = (nn.Dense(narrow, name=name)(flat) for name in ('query', 'key'))
        value = nn.Dense(c, name='value')(flat)
        taken, received = position_attention(query, key, value, chunk=self.chunk)
        gamma = self.param('gamma', nn.initializers.zeros, ())
        return gamma * taken.reshape(x.shape) + x, received.reshape(b, h, w)


class ChannelAttention(nn.Module):
    """x + gamma * (what each channel takes from all); no other parameter."""

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
        b, h, w, c = x.shape
        taken = channel_attention(x.reshape(b, h * w, c))
        return self.param('gamma', nn.initializers.zeros, ()) * taken.reshape(x.shape) + x
