"""Loudness as broadcasters measure it (ITU-R BS.1770-4), and signals brought to one loudness."""

import numpy as np
import scipy.signal
from jaxtyping import Float

BLOCK_SECONDS = 0.4
OVERLAP = 0.75
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
OFFSET = -0.691


def integrated_loudness(waveforms: Float[np.ndarray, '*b t'], rate: int) -> Float[np.ndarray, '*b']:
    """Loudness of signals of one channel in LUFS, -inf for silence.

    The signals are filtered as the head and the ear do (K-weighting). The mean square z of blocks of
    0.4 s, one every 0.1 s, has the loudness -0.691 + 10 log10 z. Blocks under -70 LUFS are left out,
    then those 10 under the loudness of the rest; the result is the loudness of the mean z of what
    remains.

    Raises:
      ValueError: for signals shorter than one block.
    """
    waveforms = np.asarray(waveforms, np.float64)
    length = waveforms.shape[-1]
    if length < BLOCK_SECONDS * rate:
        raise ValueError(
            f'waveforms: expected at least {BLOCK_SECONDS} s, '
            f'{BLOCK_SECONDS * rate:.0f} samples, got {length}'
        )
    filtered = waveforms
    for numerator, denominator in k_weighting(rate):
        filtered = scipy.signal.lfilter(numerator, denominator, filtered, axis=-1)
    step = 1 - OVERLAP
    count = int(np.round((length / rate - BLOCK_SECONDS) / (BLOCK_SECONDS * step))) + 1
    block = np.arange(count)
    begin = (BLOCK_SECONDS * (block * step) * rate).astype(int)
    end = np.minimum((BLOCK_SECONDS * (block * step + 1) * rate).astype(int), length)
    before = np.concatenate(
        [np.zeros((*filtered.shape[:-1], 1)), np.cumsum(np.square(filtered), axis=-1)], axis=-1
    )
    energy = (before[..., end] - before[..., begin]) / (BLOCK_SECONDS * rate)
    loudness = decibels(energy)
    loud = loudness >= ABSOLUTE_GATE
    gate = decibels(mean_where(energy, loud)) + RELATIVE_GATE
    kept = (loudness > gate[..., None]) & (loudness > ABSOLUTE_GATE)
    return decibels(mean_where(energy, kept))


def decibels(energy: Float[np.ndarray, '*b']) -> Float[np.ndarray, '*b']:
    """-0.691 + 10 log10 of mean squares; -inf for 0 and below, which rounding may give."""
    positive = energy > 0
    return np.where(positive, OFFSET + 10 * np.log10(np.where(positive, energy, 1)), -np.inf)


def mean_where(values: Float[np.ndarray, '*b n'], mask: np.ndarray) -> Float[np.ndarray, '*b']:
    """The mean of the last axis where the mask is True; 0 if nowhere."""
    total = np.sum(np.where(mask, values, 0), axis=-1)
    return np.asarray(total / np.maximum(np.sum(mask, axis=-1), 1))


def k_weighting(rate: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numerators and denominators of both filters: 4 dB more above 1500 Hz, little under 38 Hz.

    Second-order shelf (Q = 1/sqrt 2) and high-pass (Q = 1/2) of Bristow-Johnson's cookbook, by which the
    filters that BS.1770 gives at 48 kHz are had at any rate; as in pyloudnorm.
    """
    gain = 10 ** (4 / 40)
    cosine, alpha = np.cos(2 * np.pi * 1500 / rate), np.sin(2 * np.pi * 1500 / rate) / np.sqrt(2)
    up, down, root = gain + 1, gain - 1, 2 * np.sqrt(gain) * alpha
    shelf = (
        gain * np.array([up + down * cosine + root, -2 * (down + up * cosine), up + down * cosine -
        root]), np.array([up - down * cosine + root, 2 * (down - up * cosine), up - down * cosine -
        root]),
    )  # fmt: skip
    cosine, alpha = np.cos(2 * np.pi * 38 / rate), np.sin(2 * np.pi * 38 / rate)
    high_pass = (
        np.array([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2]),
        np.array([1 + alpha, -2 * cosine, 1 - alpha]),
    )
    return [(b / a[0], a / a[0]) for b, a in (shelf, high_pass)]


def normalize_loudness(
    waveforms: Float[np.ndarray, '*b t'], rate: int, target: float = -23.0
) -> Float[np.ndarray, '*b t']:
    """The signals at `target` LUFS, float64; divided by their peak where that is above 1.

    A signal that the measure takes for silence stays as it is.
    """
    waveforms = np.asarray(waveforms, np.float64)
    loudness = integrated_loudness(waveforms, rate)
    measured = np.isfinite(loudness)
    gain = np.where(measured, 10 ** ((target - np.where(measured, loudness, target)) / 20), 1)
    louder = waveforms * gain[..., None]
    peak = np.max(np.abs(louder), axis=-1, keepdims=True, initial=0)
    return np.clip(louder / np.maximum(peak, 1), -1, 1)
