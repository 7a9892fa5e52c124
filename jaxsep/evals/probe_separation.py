"""Which of two representations knows the common factor, and which the salient one."""

import numpy as np

from jaxsep.evals import linear_probe
from jaxsep.evals.columns import Splits, column

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    common: str = 'common',
    salient: str = 'salient',
    target: str = 'target',
    common_output: str = 'common_embedding',
    salient_output: str = 'salient_embedding',
    balanced: bool = False,
    l2: float = 1e-4,
) -> dict[str, float]:
    """Accuracies of four linear probes, two factors read from two representations.

    Each is the logistic regression of `jaxsep.evals.linear_probe`, fitted on train and
    measured on test. In a perfect separation a probe of the wrong representation is no
    better than chance. After Louiset et al. 2024, https://arxiv.org/abs/2402.11928.

    Args:
      splits: 'train' and 'test', each a dict of columns.
      common, salient: label columns.
      target: only rows where this label column is not 0 are used, since the background has
        no salient factor; '' for all rows.
      common_output, salient_output: named outputs.
      balanced: the mean of the accuracies on each class, in place of the accuracy.
      l2: weight decay of the probes.

    Returns:
      'common_from_common', 'salient_from_common', 'common_from_salient',
      'salient_from_salient': what is predicted, and from which output;
      'separation': the right minus the wrong ones, between -2 and 2.
    """
    rows = {name: _targets(splits, name, target) if target else splits[name] for name in splits}
    key = 'linear_probe_balanced_accuracy' if balanced else 'linear_probe_accuracy'
    found = {}
    for source, output in (('common', common_output), ('salient', salient_output)):
        for factor, label in (('common', common), ('salient', salient)):
            results = linear_probe.evaluate(rows, label=label, output=output, l2=l2)
            found[f'{factor}_from_{source}'] = results[key]
    right = found['common_from_common'] + found['salient_from_salient']
    wrong = found['salient_from_common'] + found['common_from_salient']
    return {**found, 'separation': right - wrong}


def _targets(splits: Splits, split: str, target: str) -> dict[str, np.ndarray]:
    """The columns of a split at its target rows; ValueError if there are none."""
    rows = np.flatnonzero(column(splits, split, target))
    if len(rows) == 0:
        raise ValueError(f'target: column {target!r} of split {split!r} marks no row')
    return {name: np.asarray(values)[rows] for name, values in splits[split].items()}
