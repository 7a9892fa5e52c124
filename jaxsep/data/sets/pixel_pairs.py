"""Digits as a table: each field is a pair of neighbouring pixels, the label is whether they are odd."""

import numpy as np
from jaxtyping import Int

from jaxsep.data.sets.sklearn_sets import digits, divide
from jaxsep.data.source import Source, take_all
from jaxsep.data.splits import check_fraction
from jaxsep.data.tables import number_known

LEVELS = 8
NAMES = ('even', 'odd')


def load(*, num_fields: int = 39, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """scikit-learn's 1,797 digits as `categories` int32 [num_fields], `label` (odd) and `digit`.

    Grey comes in 8 levels, and the field of two horizontal neighbours a, b holds the value 8 a + b.
    The values of a field are numbered from 1 in ascending order, over training and test; 0,
    'unknown', does not occur. Of the 56 pairs those are taken whose two pixels both vary most; the
    39 of the default have 2,148 values.

    Args:
      num_fields: how many pairs, in reading order.
      test_fraction: share of the rows that is kept for test; both labels are divided alike.
      seed: of the division.
    """
    check_fraction(test_fraction)
    rows = [take_all(split) for split in digits().splits.values()]
    image, digit = (np.concatenate([r[name] for r in rows]) for name in ('image', 'label'))
    grey = np.rint(image[..., 0] * (16 / 255)).astype(np.int64)
    values = pairs(np.minimum(grey // 2, LEVELS - 1), num_fields)
    numbered = [number_known(column, column) for column in values.T]
    categories = np.stack([column for column, _ in numbered], axis=1)
    columns = {'categories': categories, 'digit': digit.astype(np.int32)}
    content = 'pairs of neighbouring pixels of handwritten digits, odd or even'
    source = divide(columns, digit % 2, NAMES, test_fraction, seed, content)
    labels = source.labels | {'digit': tuple(str(d) for d in range(10))}
    return source._replace(labels=labels, field_sizes=tuple(size for _, size in numbered))


def pairs(levels: Int[np.ndarray, 'n h w'], num_fields: int) -> Int[np.ndarray, 'n f']:
    """8 a + b of the horizontal neighbours a, b that vary most, in reading order.

    How much a pair varies is the standard deviation of that of its pixels which varies less.
    """
    deviation = levels.std(axis=0)
    least = np.minimum(deviation[:, :-1], deviation[:, 1:]).reshape(-1)
    if not 1 <= num_fields <= len(least):
        raise ValueError(f'num_fields: expected 1 to {len(least)}, got {num_fields}')
    kept = np.sort(np.argsort(-least, kind='stable')[:num_fields])
    both = LEVELS * levels[:, :, :-1] + levels[:, :, 1:]
    return both.reshape(len(levels), -1)[:, kept]
