"""How far units of two networks are the same: matchings and sparse maps measured on test rows."""

import numpy as np

from jaxsep.evals.columns import Splits, column

NEEDS = ('test',)


def evaluate(splits: Splits, *, high: float = 0.8, low: float = 0.5) -> dict[str, float]:
    """Correlations of units with their partners, and what linear maps explain, on new rows.

    Partners and maps were found on the training rows; see
    `jaxsep.methods.separability.convergent_learning` for the outputs. Every place of a
    convolutional layer is a sample. Units that are constant over the test rows take no part in
    the means, neither those of the first network (correlations) nor of the second (R2).

    Args:
      splits: 'test' with columns `first`, `matched`, `semi_matched`, `second`, `nearest` and, for
        some penalties x, `predicted/x` and `nonzeros/x`.
      high, low: bounds of a good and a poor match.

    Returns:
      'matched_correlation' and 'semi_correlation': mean over the units of the first network;
      'share_high', 'share_low': of them, matched above `high` and below `low`; 'nearest_r2', mean
      squared correlation of the units of the second network and their nearest one of the first;
      'r2/x' and 'nonzeros/x' for every penalty x, the mean over the units of the second network of
      the variance explained, and from how many units; 'live_units', of the first network.
    """
    a, b = samples(splits, 'first'), samples(splits, 'second')
    live_a, live_b = np.ptp(a, axis=0) > 0, np.ptp(b, axis=0) > 0
    matched = own_correlations(a, samples(splits, 'matched'))[live_a]
    shared = own_correlations(a, samples(splits, 'semi_matched'))[live_a]
    nearest = own_correlations(samples(splits, 'nearest'), b)[live_b]
    found = {
        'matched_correlation': mean(matched),
        'semi_correlation': mean(shared),
        'share_high': mean(matched > high),
        'share_low': mean(matched < low),
        'nearest_r2': mean(nearest**2),
        'live_units': float(live_a.sum()),
    }
    for name in splits['test']:
        kind, _, penalty = name.partition('/')
        if kind == 'predicted':
            found[f'r2/{penalty}'] = mean(explained(b, samples(splits, name))[live_b])
            counts = column(splits, 'test', f'nonzeros/{penalty}')[0]
            found[f'nonzeros/{penalty}'] = mean(counts[live_b])
    return found


def samples(splits: Splits, name: str) -> np.ndarray:
    """A column of the test rows with every place as a sample, [n, units]."""
    values = column(splits, 'test', name)
    return values.reshape(-1, values.shape[-1])


def own_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of each column of `a` with the same column of `b`; 0 where one is constant."""
    scaled = [np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64) for x in (a, b)]
    sizes = [np.linalg.norm(x, axis=0) for x in scaled]
    varies = (np.ptp(a, axis=0) > 0) & (np.ptp(b, axis=0) > 0)
    products = np.sum(scaled[0] * scaled[1], axis=0)
    return np.where(varies, products / np.where(varies, sizes[0] * sizes[1], 1.0), 0.0)


def explained(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """R2 of each column: 1 - squared error / squared deviation from the mean; 0 if constant."""
    left = np.sum(np.square(truth - told, dtype=np.float64), axis=0)
    total = np.sum(np.square(truth - np.mean(truth, axis=0), dtype=np.float64), axis=0)
    varies = np.ptp(truth, axis=0) > 0
    return np.where(varies, 1.0 - left / np.where(varies, total, 1.0), 0.0)


def mean(values: np.ndarray) -> float:
    """The mean, 0 without values."""
    return float(np.mean(values)) if len(values) else 0.0
