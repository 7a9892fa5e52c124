"""Encoders that read a query and an item together: one number for the pair (Yadav et al., 2022)."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32


class Pair(NamedTuple):
    """What a cross-encoder makes of a query and an item.

    Attributes:
      score: how well they go together.
      query, item: their vectors, each of which depends on both.
    """

    score: Float[Array, 'b']
    query: Float[Array, 'b d']
    item: Float[Array, 'b d']


def at_marker(
    stream: Float[Array, 'b t d'], tokens: Int[Array, 'b t'], marker: int
) -> Float[Array, 'b d']:
    """What stands at the first token `marker` of each row; 0 in a row without it.

    >>> import jax.numpy as jnp
    >>> at_marker(jnp.array([[[1.0], [2.0], [3.0]]]), jnp.array([[5, 7, 7]]), 7).tolist()
    [[2.0]]
    """
    here = tokens == marker
    place = jnp.argmax(here, axis=1)
    found = jnp.take_along_axis(stream, place[:, None, None], axis=1)[:, 0]
    return jnp.where(jnp.any(here, axis=1)[:, None], found, 0.0)


def marked_pair(
    stream: Float[Array, 'b t d'], tokens: Int[Array, 'b t'], *, start: int, end: int, title: int
) -> Pair:
    """The score of [emb]-CE: <query, item>, both read off the stream of the pair at markers.

    The query is the mean of what stands at the two markers around it, the item what stands at the
    marker behind its title. The matrix of such scores has a spectrum that falls faster than that of
    scores read from [CLS], so that fewer anchors approximate it (`jaxsep.algorithms.cur`).

    Args:
      stream: of a transformer that has read both.
      tokens: its tokens; each row holds each marker once, a missing one counts as 0.
      start, end: ids of the markers before and behind the query.
      title: id of the marker behind the title of the item.

    Source: Yadav et al., Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix
    Factorization (2022), section 2.3, and its code, CrossBertWEmbedsWrapper
    """
    stream = in_float32(stream)
    query = 0.5 * (at_marker(stream, tokens, start) + at_marker(stream, tokens, end))
    item = at_marker(stream, tokens, title)
    return Pair(jnp.sum(query * item, axis=1), query, item)


class CrossEncoder(nn.Module):
    """A transformer over pairs, and the score it gives them.

    Attributes:
      encoder: tokens [b, t] and types [b, t] -> stream [b, t, d], such as `jaxsep.models.bert.Bert`.
      head: 'markers', see `marked_pair`, or 'linear', a linear layer on the first token, [CLS].
      start, end, title: ids of the markers, for 'markers'.
      separator: id of the token that ends the query; what follows its first one is of type 1.
    """

    encoder: nn.Module
    head: str = 'markers'
    start: int = 1
    end: int = 2
    title: int = 3
    separator: int = 102

    @nn.compact
    def __call__(self, tokens: Int[Array, 'b t']) -> Float[Array, 'b']:
        if self.head not in ('markers', 'linear'):
            raise ValueError(f"head: expected 'markers' or 'linear', got {self.head!r}")
        behind = jnp.cumsum(tokens == self.separator, axis=1) - (tokens == self.separator) > 0
        stream = self.encoder(tokens, (behind & (tokens != 0)).astype(jnp.int32))
        if self.head == 'linear':
            return nn.Dense(1, name='score')(stream[:, 0])[:, 0]
        return marked_pair(stream, tokens, start=self.start, end=self.end, title=self.title).score
