"""Drawings with their English names: icons or emoji, for learning from images and texts at once."""

import numpy as np

from jaxsep.data.sets import emoji4, icons4
from jaxsep.data.source import Arrays, Source, take_all
from jaxsep.data.tokenizers import check_kind, tokenize

DRAWINGS = {'icons4': icons4.load, 'emoji4': emoji4.load}


def load(
    *,
    drawings: str = 'icons4',
    image_size: int = 32,
    layout: str = 'rows',
    tokens: str = 'wordpiece',
    num_tokens: int = 8_192,
    max_length: int = 16,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """The rows of icons4 or emoji4, and `tokens` of what each of them shows, in English.

    2,087 icons ('airplanemode active', in grey) or 1,594 emoji ('grinning face with smiling
    eyes', in colour), each drawn in 4 styles; licences, columns and labels are those of
    `jaxsep.data.sets.icons4` and `jaxsep.data.sets.emoji4`. All drawings of an item have the same tokens, and
    the items of test are not in training. The evaluation of retrieval with `label='item'` tells
    how often a drawing finds its name.

    Args:
      drawings: 'icons4', or 'emoji4', which needs the extra `jaxsep[data]`.
      image_size: pixels.
      layout: 'rows': one drawing a row, `image`; 'views': one item a row, `views` [4, ...].
      tokens: 'wordpiece', for the encoder minilm, or 'hashed'; see `jaxsep.data.tokenizers`.
      num_tokens: how many ids there are where words are hashed.
      max_length: places of `tokens`.
      test_fraction: share of the items that is kept for test.
      seed: of the division of the items.
    """
    check_kind(tokens)
    if drawings not in DRAWINGS:
        raise ValueError(f'drawings: expected {" or ".join(DRAWINGS)}, got {drawings!r}')
    source = DRAWINGS[drawings](
        image_size=image_size, layout=layout, test_fraction=test_fraction, seed=seed
    )
    names = [name.replace('_', ' ') for name in source.labels['item']]
    captions = tokenize(names, kind=tokens, num_tokens=num_tokens, max_length=max_length)
    return source._replace(
        splits={name: with_captions(split, captions) for name, split in source.splits.items()},
        content=f'{source.content}, with their names',
    )


def with_captions(split, captions: np.ndarray) -> Arrays:
    """The rows of a split and the captions [n, t] of their items as `tokens`."""
    rows = take_all(split)
    del rows['index']
    return Arrays(rows | {'tokens': captions[rows['item']]})
