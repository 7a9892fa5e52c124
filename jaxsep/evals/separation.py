"""How well a method separates mixtures: SDR and SI-SDR, and what they gain on the mixture."""

from collections.abc import Sequence

import numpy as np

from jaxsep.evals.columns import Splits, column
from jaxsep.metrics.separation import sdr, si_sdr

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    outputs: Sequence[str] = ('waveform',),
    target: str = 'true_waveform',
    mixture: str = 'mixture',
    label: str = '',
) -> dict[str, float]:
    """Medians over the test rows of SDR, SDRi, SI-SDR and SI-SDRi, averaged over the sources.

    With `label`, sources are of classes: the median is that over all sources of one class, and the
    results are the means over the classes. Estimates are compared with targets as they stand, without
    permutation, and silent targets are left out.

    Args:
      outputs: estimates [b, n, t], as the targets; the first gives names without prefix.
      target, mixture: columns [b, n, t] and [b, t].
      label: column [b, n] with the class of each source, -1 for none; '' to go by position.

    Returns:
      'sdr', 'sdri', 'si_sdr', 'si_sdri', and with classes 'sdri_class_<k>'; for the second output on,
      each with '<output>_' before it.
    """
    targets = column(splits, 'test', target)
    mixtures = column(splits, 'test', mixture)
    if targets.ndim != 3 or mixtures.shape != (len(targets), targets.shape[2]):
        raise ValueError(
            f'columns {target!r}, {mixture!r}: expected [b, n, t] and [b, t], '
            f'got {targets.shape} and {mixtures.shape}'
        )
    groups = np.broadcast_to(np.arange(targets.shape[1])[None, :], targets.shape[:2])
    if label:
        groups = column(splits, 'test', label)
        if groups.shape != targets.shape[:2]:
            raise ValueError(
                f'column {label!r}: expected shape {targets.shape[:2]}, got {groups.shape}'
            )
    kept = np.any(targets, axis=2) & (groups >= 0)
    if not kept.any():
        raise ValueError(f'column {target!r}: every target is silent')
    truth, groups = targets[kept], groups[kept]
    mixed = np.broadcast_to(mixtures[:, None, :], targets.shape)[kept]
    results = {}
    for place, output in enumerate(outputs):
        estimates = column(splits, 'test', output)
        if estimates.shape != targets.shape:
            raise ValueError(
                f'output {output!r}: expected shape {targets.shape}, got {estimates.shape}'
            )
        prefix = f'{output}_' if place else ''
        values = {'sdr': sdr(truth, estimates[kept]), 'si_sdr': si_sdr(truth, estimates[kept])}
        values['sdri'] = values['sdr'] - sdr(truth, mixed)
        values['si_sdri'] = values['si_sdr'] - si_sdr(truth, mixed)
        for name, each in values.items():
            medians = {k: float(np.median(each[groups == k])) for k in np.unique(groups)}
            results[prefix + name] = float(np.mean(list(medians.values())))
            if label and name == 'sdri':
                results |= {f'{prefix}sdri_class_{k}': value for k, value in medians.items()}
    return results
