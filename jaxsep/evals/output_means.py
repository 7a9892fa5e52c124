"""The mean of outputs that hold one number per row, such as a method's own accuracy."""

from collections.abc import Sequence

import numpy as np

from jaxsep.evals.columns import Splits, vectors

NEEDS = ('test',)


def evaluate(splits: Splits, *, outputs: Sequence[str]) -> dict[str, float]:
    """The mean over the test rows of each named output, under the output's own name.

    Args:
      splits: 'test', a dict of columns.
      outputs: names of outputs with one number per row.
    """
    found = {}
    for output in outputs:
        values = vectors(splits, 'test', output)
        if values.shape[1] != 1:
            raise ValueError(
                f'output {output!r}: expected one number per row, got {values.shape[1]}'
            )
        found[output] = float(np.mean(values, dtype=np.float64))
    return found
