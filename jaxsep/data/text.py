"""Sentences as token ids by hashing words: no vocabulary to learn, to ship or to lose."""

import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

PADDING = 0
WORD = re.compile(r'\w+|[^\w\s]')


def words(text: str | bytes) -> list[str]:
    """The lower-case words of a text; each punctuation mark is a word of its own.

    Bytes are read as UTF-8. Composed and decomposed accents are one word (Unicode NFC).

    >>> words("It's 9 o'clock, no?")
    ['it', "'", 's', '9', 'o', "'", 'clock', ',', 'no', '?']
    """
    if isinstance(text, bytes):
        text = text.decode('utf-8', errors='replace')
    return WORD.findall(unicodedata.normalize('NFC', text).lower())


def check_sizes(num_tokens: int, max_length: int) -> None:
    """Raises ValueError unless there is room for padding, one word and one place."""
    if num_tokens < 2:
        raise ValueError(f'num_tokens: expected at least 2 (padding and words), got {num_tokens}')
    if max_length < 1:
        raise ValueError(f'max_length: expected at least 1, got {max_length}')


def tokenize(
    texts: Sequence[str | bytes], *, num_tokens: int, max_length: int
) -> Int[np.ndarray, 'n t']:
    """One row of token ids per text, int32 [n, max_length].

    id(word) = 1 + crc32(word) mod (num_tokens - 1), so ids are 1 .. num_tokens - 1 and the same
    on every machine and in every run. 0 is padding, behind the words; an empty text is all
    padding. What lies beyond max_length words is cut off.

    This is the hashing trick (Weinberger et al., 2009, https://arxiv.org/abs/0902.2206, without
    signs) and no subword tokenizer: forms of a word ('film', 'films') share nothing; of v words
    a share of about v / num_tokens has the id of another word too; there is no way back from
    ids to words; languages without spaces between words come out poorly.

    Args:
      num_tokens: how many ids there are, padding included: rows of an embedding table.
      max_length: places per row.

    >>> tokenize(['Good film', 'good'], num_tokens=1000, max_length=3)
    array([[627, 933,   0],
           [627,   0,   0]], dtype=int32)
    """
    check_sizes(num_tokens, max_length)
    ids = np.full((len(texts), max_length), PADDING, np.int32)
    for row, text in zip(ids, texts, strict=True):
        found = words(text)[:max_length]
        row[: len(found)] = [1 + zlib.crc32(word.encode()) % (num_tokens - 1) for word in found]
    return ids
