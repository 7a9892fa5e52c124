"""PS and PM of MAPSS for any method that separates: perceptual separation and perceptual match."""

from collections.abc import Sequence

import numpy as np

from jaxsep.algorithms.mapss import FAST_KINDS, mapss
from jaxsep.evals.columns import Splits, column
from jaxsep.metrics.separation import si_sdr

NEEDS = ('test',)
SCORES = ('ps', 'pm', 'ps_bias', 'ps_prob', 'pm_bias', 'pm_prob')


def evaluate(
    splits: Splits,
    *,
    output: str = 'waveform',
    target: str = 'true_waveform',
    rate: int = 16_000,
    every: int = 3,
    kinds: Sequence[str] = FAST_KINDS,
    encoder: str = 'raw',
    max_rows: int = 0,
    label: str = '',
) -> dict[str, float]:
    """Means over all scored frames and sources of the test rows, with radii, and SI-SDR beside them.

    Computed in float64 from estimates and targets, both [b, n, t]; or, where the method is MAPSS itself
    (audio/mapss) and the table has its outputs, from them. Only frames in which at least two sources
    are active count. Ivry et al. 2025, https://arxiv.org/abs/2509.09212.

    Args:
      splits: 'test', a dict of columns.
      output, target: names of estimates and targets, sources in the same order.
      rate: samples a second of both; other than 16 kHz is resampled.
      every: take each k-th frame of 20 ms.
      kinds: of distortions; by default all but pitch shift and vibrato, which are slow.
      encoder: of frames, 'raw' or 'log_mel'.
      max_rows: take the first rows only; 0 for all. A row of 1.5 s takes about a second.
      label: a column of classes, one for each row; the means of PS, PM and SI-SDR are given for each too.

    Returns:
      'ps', 'pm', 'ps_bias', 'ps_prob', 'pm_bias', 'pm_prob'; 'frames', how many (frame, source) were scored;
      'si_sdr', the mean in dB over rows and sources; with a label 'ps_class_<k>', 'pm_class_<k>',
      'si_sdr_class_<k>'.

    Raises:
      ValueError: for wrong shapes, and where no frame is scored.
    """
    if max_rows < 0:
        raise ValueError(f'max_rows: expected 0 or more, got {max_rows}')
    targets, estimates = column(splits, 'test', target), column(splits, 'test', output)
    if targets.ndim != 3 or targets.shape != estimates.shape:
        raise ValueError(
            f'output {output!r}: expected [b, n, t] as {target!r} {targets.shape}, got {estimates.shape}'
        )
    number = min(max_rows or len(targets), len(targets))
    targets, estimates = targets[:number], estimates[:number]
    if {*SCORES, 'frames'} <= set(splits['test']):
        frames = column(splits, 'test', 'frames')[:number].astype(np.float64)
        sums = {
            name: np.sum(column(splits, 'test', name)[:number] * frames, axis=1) for name in SCORES
        }
        frames = np.sum(frames, axis=1)
    else:
        found = [
            mapss(truth, guess, rate=rate, every=every, kinds=kinds, encoder=encoder)
            for truth, guess in zip(targets, estimates, strict=True)
        ]
        sums = {name: np.array([np.nansum(getattr(row, name)) for row in found]) for name in SCORES}
        frames = np.array([np.sum(row.scored) for row in found], np.float64)
    ratios = np.mean(si_sdr(targets, estimates), axis=1)
    results = {
        **means(sums, frames, np.ones(number, bool)),
        'frames': float(np.sum(frames)),
        'si_sdr': float(np.mean(ratios)),
    }
    if label:
        classes = column(splits, 'test', label)[:number]
        if classes.shape != (number,):
            raise ValueError(f'label {label!r}: expected a class for each row, got {classes.shape}')
        shown = {name: sums[name] for name in ('ps', 'pm')}
        for k in np.unique(classes):
            rows = classes == k
            found = {**means(shown, frames, rows), 'si_sdr': float(np.mean(ratios[rows]))}
            results |= {f'{name}_class_{k}': value for name, value in found.items()}
    return results


def means(sums: dict[str, np.ndarray], frames: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Sums over the frames of each row as means over all frames; ValueError without frames."""
    number = np.sum(frames[rows])
    if number == 0:
        raise ValueError('no frame has two active sources: there is nothing to score')
    return {name: float(np.sum(value[rows]) / number) for name, value in sums.items()}
