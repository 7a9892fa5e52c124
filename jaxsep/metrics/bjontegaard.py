"""Bjontegaard deltas: two rate-distortion curves compared in one number."""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

Numbers = Sequence[float | int] | np.ndarray
FITS = ('cubic', 'pchip', 'akima')


def bd_rate(
    anchor_rate: Numbers,
    anchor_quality: Numbers,
    test_rate: Numbers,
    test_quality: Numbers,
    *,
    fit: str = 'pchip',
) -> float:
    """How much more rate the test curve needs for the same quality, in percent; negative saves.

    100 (10^a - 1), where a is the mean over the qualities that both curves reach of the difference
    of log10 rate.

    Args:
      anchor_rate, test_rate: positive; any order, the same as the qualities.
      anchor_quality, test_quality: accuracy, PSNR: must rise or fall with the rate, no two equal.
      fit: of log10 rate over quality: 'cubic' (a polynomial of degree 3 by least squares, as in
        the source), or through all points 'pchip' (monotone) or 'akima'.

    Raises:
      ValueError: for curves of fewer than 4 points (2 for pchip), of unequal lengths, not
        monotone, or that share no interval of quality.

    Source: Bjontegaard 2001, VCEG-M33

    >>> round(bd_rate([1, 2, 4, 8], [1, 2, 3, 4], [0.5, 1, 2, 4], [1, 2, 3, 4]), 6)
    -50.0
    """
    rates = [_log_rates(name, r) for name, r in (('anchor', anchor_rate), ('test', test_rate))]
    mean = _mean_difference((anchor_quality, test_quality), rates, fit, 'quality')
    return float((10.0**mean - 1.0) * 100.0)


def bd_quality(
    anchor_rate: Numbers,
    anchor_quality: Numbers,
    test_rate: Numbers,
    test_quality: Numbers,
    *,
    fit: str = 'pchip',
) -> float:
    """How much more quality the test curve has at the same rate, in units of quality.

    The mean over the common log10 rates of the difference of the qualities, fitted over log10
    rate; qualities may fall and repeat, rates may not. Arguments and errors as `bd_rate`.

    >>> round(bd_quality([1, 2, 4, 8], [1, 2, 3, 4], [1, 2, 4, 8], [1.5, 2.5, 3.5, 4.5]), 6)
    0.5
    """
    rates = [_log_rates(name, r) for name, r in (('anchor', anchor_rate), ('test', test_rate))]
    return float(_mean_difference(rates, (anchor_quality, test_quality), fit, 'rate'))


def _log_rates(name, rate):
    rate = np.asarray(rate, np.float64)
    if not np.all(rate > 0):
        raise ValueError(f'{name}_rate: expected positive rates, got {rate.tolist()}')
    return np.log10(rate)


def _mean_difference(xs, ys, fit, what):
    """Mean over the common interval of x of (test - anchor), each fitted."""
    if fit not in FITS:
        raise ValueError(f'fit: expected one of {FITS}, got {fit!r}')
    curves, least = [], 2 if fit == 'pchip' else 4
    for name, x, y in zip(('anchor', 'test'), xs, ys, strict=True):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if x.ndim != 1 or x.shape != y.shape or len(x) < least:
            raise ValueError(
                f'{name}: expected rates and qualities of one length, at least {least} points '
                f'for {fit}, got shapes {x.shape} and {y.shape}'
            )
        order = np.argsort(x)
        x, y = x[order], y[order]
        if np.any(np.diff(x) <= 0):
            raise ValueError(f'{name}_{what}: expected different values, got {x.tolist()}')
        if what == 'quality' and not (np.all(np.diff(y) > 0) or np.all(np.diff(y) < 0)):
            raise ValueError(f'{name}_rate: expected rates that rise or fall with the quality')
        curves.append((x, y))
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if not low < high:
        raise ValueError(f'test_{what}: the curves share no interval of {what}')
    anchor, test = (_integral(x, y, low, high, fit) for x, y in curves)
    return (test - anchor) / (high - low)


def _integral(x, y, low, high, fit):
    if fit == 'cubic':
        whole = np.polynomial.Polynomial.fit(x, y, 3).integ()
        return whole(high) - whole(low)
    made = {'pchip': PchipInterpolator, 'akima': Akima1DInterpolator}[fit](x, y)
    return made.integrate(low, high)
