"""The mel scale, on which equal steps sound equally far apart."""

import numpy as np
from jaxtyping import Float


def mel_filters(
    sample_rate: int, n_fft: int, num_bands: int, lowest: float = 50.0, highest: float = 0.0
) -> Float[np.ndarray, 'f k']:
    """Triangles of height 1 that overlap by half, equally wide on the mel scale.

    mel = 2595 log10(1 + hz / 700). A spectrogram of power [m, f] times these is one of bands [m, k].
    Where a triangle falls between two frequencies of the transform, the nearest one stands for it, so
    no band is empty.

    Args:
      n_fft: f = n_fft // 2 + 1 frequencies from 0 to half the rate.
      lowest, highest: hertz at which the first band begins and the last ends; 0 for half the rate.

    >>> mel_filters(8000, 256, 10).shape
    (129, 10)
    """
    highest = highest or sample_rate / 2
    if not 0 <= lowest < highest <= sample_rate / 2:
        raise ValueError(
            f'lowest, highest: expected rising within 0 to {sample_rate / 2} Hz, '
            f'got {lowest} and {highest}'
        )
    if num_bands < 1:
        raise ValueError(f'num_bands: expected at least 1, got {num_bands}')
    hertz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    ends = 2595 * np.log10(1 + np.array([lowest, highest]) / 700)
    corners = 700 * (10 ** (np.linspace(*ends, num_bands + 2) / 2595) - 1)
    left, middle, right = (corners[i : i + num_bands][None, :] for i in range(3))
    rising = (hertz[:, None] - left) / (middle - left)
    falling = (right - hertz[:, None]) / (right - middle)
    filters = np.maximum(np.minimum(rising, falling), 0.0)
    nearest = np.argmin(np.abs(hertz[:, None] - middle), axis=0)
    empty = ~filters.any(axis=0)
    filters[nearest[empty], np.flatnonzero(empty)] = 1.0
    return filters
