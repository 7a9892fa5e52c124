"""Digits as a table: each field is a pixel, the label is whether they are odd."""

import numpy as np

from jaxsep.data.sets.sklearn_sets import digits, divide
from jaxsep.data.source import Source, take_all
from jaxsep.data.splits import check_fraction

LEVELS = 4
NAMES = ('even', 'odd')


def load(*, num_fields: int = 48, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """scikit-learn's 1,797 digits as `categories` int32 [num_fields], `label` (odd) and `digit`.

    A small table in which fields have to be looked at together: what a single pixel says of the
    label is little. Grey comes in 4 levels, numbered from 1; 0, 'unknown', does not occur.
    Fields are the pixels that vary most, in reading order.

    Args:
      num_fields: how many pixels of the 64.
      test_fraction: share of the rows that is kept for test; both labels are divided alike.
      seed: of the division.
    """
    check_fraction(test_fraction)
    if not 1 <= num_fields <= 64:
        raise ValueError(f'num_fields: expected 1 to 64, got {num_fields}')
    rows = [take_all(split) for split in digits().splits.values()]
    image, digit = (np.concatenate([r[name] for r in rows]) for name in ('image', 'label'))
    grey = np.rint(image.reshape(len(image), -1) * (16 / 255)).astype(np.int64)
    kept = np.sort(np.argsort(-grey.std(axis=0), kind='stable')[:num_fields])
    levels = grey[:, kept] * LEVELS // 17  # 0-4, 5-8, 9-12, 13-16
    columns = {'categories': (levels + 1).astype(np.int32), 'digit': digit.astype(np.int32)}
    content = 'pixels of handwritten digits, odd or even'
    source = divide(columns, digit % 2, NAMES, test_fraction, seed, content)
    labels = source.labels | {'digit': tuple(str(d) for d in range(10))}
    return source._replace(labels=labels, field_sizes=(LEVELS + 1,) * num_fields)
