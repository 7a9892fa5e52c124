"""A small transformer that reads token ids."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PADDING = 0
_INIT = nn.initializers.normal(0.02)  # embeddings, as in BERT and GPT-2


class TextBlock(nn.Module):
    """Self-attention, then two linear layers with GELU, each added to a normalised input.

    x + attention(norm(x)), then x + mlp(norm(x)): the pre-norm order, which trains without
    warm-up (Xiong et al., 2020, https://arxiv.org/abs/2002.04745).

    Attributes:
      num_heads: divides the width.
      expansion: width of the hidden layer over that of the input.
    """

    num_heads: int
    expansion: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, 'b t d'], mask: Bool[Array, 'b t']) -> Float[Array, 'b t d']:
        attention = nn.MultiHeadDotProductAttention(self.num_heads, deterministic=True)
        x = x + attention(nn.LayerNorm()(x), mask=mask[:, None, None, :])
        hidden = nn.gelu(nn.Dense(self.expansion * x.shape[-1])(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(hidden)


class TextEncoder(nn.Module):
    """A transformer encoder (Vaswani et al., 2017) whose row is the mean over the words.

    Token and position embeddings are learnt; blocks are pre-norm; after a last layer norm the
    mean is taken over the places that hold a word. Padding (id 0) is attended to by nobody and
    not averaged, so it changes nothing and gets no gradient; a row of padding only gives 0.
    There is no dropout. https://arxiv.org/abs/1706.03762

    Attributes:
      num_tokens: ids are 0 .. num_tokens - 1; a larger id gives NaN, which stops a run.
      width: size of the embeddings and of the result.
      depth: number of blocks.
      num_heads: attention heads per block; divides width.
      axis_name: of no use here; every encoder has it.
    """

    num_tokens: int
    width: int = 128
    depth: int = 2
    num_heads: int = 4
    axis_name: str | None = None

    def __post_init__(self):
        if self.width % self.num_heads:
            raise ValueError(
                f'num_heads: expected a divisor of width {self.width}, got {self.num_heads}'
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, tokens: Int[Array, 'b t'], train: bool = False) -> Float[Array, 'b d']:
        del train
        mask = tokens != PADDING
        positions = self.param('positions', _INIT, (tokens.shape[1], self.width))
        x = nn.Embed(self.num_tokens, self.width, embedding_init=_INIT, name='tokens')(tokens)
        x = x + positions[None]
        for _ in range(self.depth):
            x = TextBlock(self.num_heads)(x, mask)
        return masked_mean(nn.LayerNorm()(x), mask)


def masked_mean(x: Float[Array, 'b t d'], mask: Bool[Array, 'b t']) -> Float[jax.Array, 'b d']:
    """The mean over the places of each row where the mask is True; 0 where there is none.

    >>> masked_mean(jnp.array([[[2.0], [4.0], [9.0]]]), jnp.array([[True, True, False]]))
    Array([[3.]], dtype=float32)
    """
    count = jnp.sum(mask, axis=1, keepdims=True)
    return jnp.sum(jnp.where(mask[..., None], x, 0), axis=1) / jnp.maximum(count, 1)
