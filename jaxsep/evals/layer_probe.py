"""Linear probes of several named outputs, fitted on a few labelled rows of each class."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxsep.evals import linear_probe
from jaxsep.evals.columns import Splits, classes, column

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    outputs: Sequence[str],
    label: str = 'label',
    per_class: int = 20,
    draws: int = 3,
    seed: int = 0,
    l2: float = 1e-2,
) -> dict[str, float]:
    """The accuracy of `jaxsep.evals.linear_probe` on each output, layer by layer.

    All outputs are probed with the same labelled rows; the accuracy on the whole test split is
    the mean over `draws` choices of them. Gidaris et al. 2018, section 3.1: the layers of
    one network compared, and few labels.

    Args:
      splits: 'train' and 'test', each a dict of columns.
      outputs: the named outputs that are probed.
      label: the label column to predict.
      per_class: labelled training rows of each class; all of a class that has fewer. 0 takes the
        whole training split, once.
      draws: how many times the rows are drawn.
      seed: of the draws.
      l2: weight decay of the probes.

    Returns:
      '<output>_probe_accuracy' for each output.
    """
    for name, value, least in (('per_class', per_class, 0), ('draws', draws, 1)):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    if not outputs:
        raise ValueError('outputs: expected at least one name, got none')
    (labels,), _ = classes(splits, NEEDS[:1], label)
    rng = np.random.default_rng(seed)
    chosen = [few_rows(labels, per_class, rng) for _ in range(draws if per_class else 1)]
    found = {}
    for output in outputs:
        features, test = column(splits, 'train', output), splits['test']
        accuracies = []
        for rows in chosen:
            train = {output: features[rows], label: np.asarray(splits['train'][label])[rows]}
            results = linear_probe.evaluate(
                {'train': train, 'test': test}, label=label, output=output, l2=l2
            )
            accuracies.append(results['linear_probe_accuracy'])
        found[f'{output}_probe_accuracy'] = float(np.mean(accuracies))
    return found


def few_rows(
    labels: Int[np.ndarray, 'n'], per_class: int, rng: np.random.Generator
) -> Int[np.ndarray, 'm']:
    """Rows drawn without repetition, `per_class` of each class, in ascending order; 0 takes all.

    >>> few_rows(np.array([0, 0, 0, 1]), 2, np.random.default_rng(0)).size
    3
    """
    if not per_class:
        return np.arange(len(labels))
    shuffled = rng.permutation(len(labels))
    rows = [shuffled[labels[shuffled] == value][:per_class] for value in np.unique(labels)]
    return np.sort(np.concatenate(rows)) if rows else shuffled
