"""Finding equal rows."""

import numpy as np
from jaxtyping import Int, Shaped


def first_of_each(rows: Shaped[np.ndarray, 'n *d']) -> Int[np.ndarray, 'm']:
    """The rows that equal no earlier row bit by bit, in ascending order.

    >>> first_of_each(np.array([[1, 2], [3, 4], [1, 2]])).tolist()
    [0, 1]
    """
    first = {}
    for i, row in enumerate(rows):
        first.setdefault(row.tobytes(), i)
    return np.fromiter(first.values(), np.int64, len(first))
