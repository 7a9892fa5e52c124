"""From texts to rows of token ids: the two ways that the sources of texts offer."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxsep.data import text, wordpiece

KINDS = ('wordpiece', 'hashed')


def check_kind(kind: str) -> None:
    """Raises ValueError unless there is such a way to make tokens."""
    if kind not in KINDS:
        raise ValueError(f'tokens: expected {" or ".join(KINDS)}, got {kind!r}')


def tokenize(
    texts: Sequence[str], *, kind: str, num_tokens: int, max_length: int
) -> Int[np.ndarray, 'n t']:
    """Token ids of every text, int32 [n, max_length], 0 behind its end.

    Args:
      kind: 'wordpiece', what the encoder minilm reads, see `jaxsep.data.wordpiece`, which
        needs an 84 MB archive; 'hashed' words, which need nothing, see `jaxsep.data.text`.
      num_tokens: how many ids there are where words are hashed; word pieces are 30,522.
      max_length: places per row.
    """
    check_kind(kind)
    if kind == 'wordpiece':
        return wordpiece.tokenize(texts, max_length=max_length)
    return text.tokenize(texts, num_tokens=num_tokens, max_length=max_length)
