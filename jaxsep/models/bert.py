"""BERT: a transformer that reads token ids in both directions (Devlin et al., 2018).

https://arxiv.org/abs/1810.04805
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.models.blocks.attention import attend

PADDING = 0


class Layer(nn.Module):
    """Self-attention and two linear layers with exact GELU, normalised after each addition.

    x = norm(x + attention(x)), then x = norm(x + mlp(x)): the post-norm order of BERT.

    Attributes:
      num_heads: divides the width.
      expansion: width of the hidden layer over that of the input.
    """

    num_heads: int
    expansion: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, 'b t d'], mask: Bool[Array, 'b t']) -> Float[Array, 'b t d']:
        d = x.shape[-1]
        projected = (nn.Dense(d, name=name)(x) for name in ('query', 'key', 'value'))
        mixed, _ = attend(*projected, self.num_heads, mask=mask)
        x = norm('attention_norm')(x + nn.Dense(d, name='attention_output')(mixed))
        hidden = nn.gelu(nn.Dense(self.expansion * d, name='hidden')(x), approximate=False)
        return norm('output_norm')(x + nn.Dense(d, name='output')(hidden))


def norm(name: str) -> nn.LayerNorm:
    """BERT's layer norm; the variance as mean((x - mean)^2), which does not cancel."""
    return nn.LayerNorm(epsilon=1e-12, use_fast_variance=False, name=name)


class Bert(nn.Module):
    """The residual stream [b, t, width] of token ids, after the last of `depth` layers.

    Depth 0 gives the sum of token, position and type embeddings, normalised. Padding (id 0) is
    attended to by nobody: what stands at other places does not depend on it, nor on how much
    of it there is. What stands at padding itself means nothing.

    Attributes:
      num_tokens: ids are 0 .. num_tokens - 1; a larger id gives NaN.
      width: of the stream.
      depth: number of layers.
      num_heads: attention heads per layer; divides width.
      max_length: the longest row there are positions for.
      num_types: kinds of segments that have an embedding each; 0 for none.
    """

    num_tokens: int
    width: int
    depth: int
    num_heads: int
    max_length: int
    num_types: int = 0

    @nn.compact
    def __call__(
        self, tokens: Int[Array, 'b t'], types: Int[Array, 'b t'] | None = None
    ) -> Float[Array, 'b t d']:
        if tokens.shape[1] > self.max_length:
            raise ValueError(
                f'tokens: expected at most {self.max_length} places a row, got {tokens.shape[1]}'
            )
        embed = nn.initializers.normal(0.02)
        positions = self.param('positions', embed, (self.max_length, self.width))
        x = nn.Embed(self.num_tokens, self.width, embedding_init=embed, name='tokens')(tokens)
        x = x + positions[None, : tokens.shape[1]]
        if self.num_types:
            of_type = nn.Embed(self.num_types, self.width, embedding_init=embed, name='types')
            x = x + of_type(jnp.zeros_like(tokens) if types is None else types)
        x = norm('norm')(x)
        for i in range(self.depth):
            x = Layer(self.num_heads, name=f'layer_{i}')(x, tokens != PADDING)
        return x
