"""Whether stems of branches that are not in a mixture are silent, and the others are not."""

from collections.abc import Sequence

import numpy as np

from jaxsep.evals.columns import Splits, column

NEEDS = ('test',)
QUIET = 1e-6


def evaluate(
    splits: Splits,
    *,
    branches: Sequence[Sequence[int]],
    output: str = 'stems',
    label: str = 'true_classes',
) -> dict[str, float]:
    """Shares of absent stems that are silent, and of present ones that are not.

    A stem is silent where no sample is above 1e-6 in size; its branch is present where one of the
    mixture's classes belongs to it.

    Args:
      branches: the classes of each branch, in the order of the stems.
      output: column [b, g, t].
      label: column [b, n] with the classes in the mixture, -1 for none.

    Returns:
      'absent_silent', 'present_heard', and their mean 'branches_right'; of a kind that
      does not occur, 1.
    """
    stems, classes = column(splits, 'test', output), column(splits, 'test', label)
    if stems.ndim != 3 or stems.shape[1] != len(branches):
        raise ValueError(
            f'output {output!r}: expected [b, {len(branches)}, t], one stem for each branch, '
            f'got {stems.shape}'
        )
    present = np.stack([np.isin(classes, list(b)).any(axis=1) for b in branches], axis=1)
    silent = np.max(np.abs(stems), axis=2, initial=0.0) <= QUIET
    absent_silent = float(np.mean(silent[~present])) if not present.all() else 1.0
    present_heard = float(np.mean(~silent[present])) if present.any() else 1.0
    return {
        'absent_silent': absent_silent,
        'present_heard': present_heard,
        'branches_right': (absent_silent + present_heard) / 2,
    }
