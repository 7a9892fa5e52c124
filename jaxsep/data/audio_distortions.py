"""Banks of distorted copies of a sound: what a listener still takes for the same source.

Two banks, as MAPSS needs them. `ps_bank` distorts a whole signal with fixed levels; `pm_bank` distorts
each frame of 20 ms for itself, with levels tied to the frame. They run on the host in float64 numpy:
their filters are recursive, and they are computed once per reference. All frames, and all noises, are
filtered at once.

Ivry, Cornell, Watanabe, 2025, https://arxiv.org/abs/2509.09212; the levels are those of distortions.py
of https://github.com/Amir-Ivry/MAPSS-measures. Deviations: its noise comes from numpy's global
generator; pitch is changed with another resampler (scipy's); cut-offs that no filter has (0, the
Nyquist frequency) are left out where it stops with an error.
"""

from collections.abc import Collection, Iterator

import numpy as np
import scipy.signal
from jaxtyping import Float

from jaxsep.data.stretching import pitch_shift, time_stretch

FRAME_SECONDS = 0.02
LEAST_LEVEL = 1e-4
"""Peak, rms and quantile of a frame are at least this."""
COMB = ((2.5, 0.4), (5.0, 0.5), (7.5, 0.6), (10.0, 0.7), (12.5, 0.9))
"""Milliseconds and gain; a sixth delay of the code, 15 ms, has no gain and is dropped there too."""
NOISES = tuple(
    (color, snr)
    for snr in range(-15, 30, 5)
    for color in ('white', 'pink', 'brown')
    if color != 'white' or snr >= 0
)
LARGEST_NOISE_SNR = 15
"""In frames, noise is never weaker than this, whatever its level says."""
SEMITONES = (-4.0, -2.0, 2.0, 4.0)
MOST_NOTCHES = 20
NOTCH_SPACING = 300.0
KINDS = (
    'notch', 'comb', 'tremolo', 'noise', 'harmonic', 'reverb', 'noisegate',
    'pitch_shift', 'lowpass', 'highpass', 'echo', 'clipping', 'vibrato',
)  # fmt: skip
"""The order in which a bank has them."""
FAST_KINDS = tuple(kind for kind in KINDS if kind not in ('pitch_shift', 'vibrato'))
"""Without the two that need a phase vocoder."""
MOST_OF_A_KIND = dict(
    notch=MOST_NOTCHES, comb=5, tremolo=4, noise=len(NOISES), harmonic=4, noisegate=4,
    pitch_shift=4, lowpass=4, highpass=4, clipping=3, vibrato=3,
)  # fmt: skip
"""Largest number of copies in `pm_bank`, which has no reverb and no echo."""


def check_kinds(kinds: Collection[str]) -> None:
    """Raises ValueError for an unknown kind of distortion, for the same twice and for none."""
    if not kinds or set(kinds) - set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(f'kinds: expected some of {", ".join(KINDS)}, each once, got {kinds}')


def ps_bank(
    reference: Float[np.ndarray, 't'],
    rate: int = 16_000,
    kinds: Collection[str] = KINDS,
    seed: int = 0,
) -> Float[np.ndarray, 'n t']:
    """Distorted copies of a whole signal, in the order of KINDS, float64.

    Copies that the rate or the length does not allow (cut-offs at half the rate, delays as long as the
    signal) are left out.

    Args:
      rate: samples a second.
      kinds: of distortions, from KINDS.
      seed: of the noise; give each source of a mixture its own.
    """
    check_kinds(kinds)
    x = signal_of(reference)
    makers = {
        'notch': lambda: (
            notched(x, rate, centre, 50.0) for centre in (500.0, 1000.0, 2000.0, 4000.0, 8000.0)
        ),
        'comb': lambda: combs(x, rate),
        'tremolo': lambda: whole_tremolos(x, rate),
        'noise': lambda: whole_noises(x, np.random.default_rng(seed)),
        'harmonic': lambda: tones(x, rate, (0.02, 0.03, 0.05, 0.08)),
        'reverb': lambda: reverberations(x, rate),
        'noisegate': lambda: (gated(x, level) for level in (0.005, 0.01, 0.02, 0.04)),
        'pitch_shift': lambda: (pitch_shift(x, steps) for steps in SEMITONES),
        'lowpass': lambda: filters(x, rate, (2000, 3000, 4000, 6000), 'low', 4),
        'highpass': lambda: filters(x, rate, (100, 300, 500, 800), 'high', 4),
        'echo': lambda: echoes(x, rate),
        'clipping': lambda: (np.clip(x, -level, level) for level in (0.3, 0.5, 0.7)),
        'vibrato': lambda: whole_vibratos(x, rate),
    }
    return together(makers, kinds, x)


def pm_bank(
    reference: Float[np.ndarray, 't'],
    rate: int = 16_000,
    kinds: Collection[str] = KINDS,
    seed: int = 0,
) -> Float[np.ndarray, 'n m']:
    """Copies whose frames of 20 ms are distorted one by one, in the order of KINDS, float64.

    The signal is padded with zeros to whole frames, m samples. How many copies there are depends on its
    spectrum: up to 20 strongest bins, 300 Hz apart, are notched, and cut-offs that round to the same
    100 Hz are one; at most MOST_OF_A_KIND. Reverb and echo would be longer than a frame and are never
    made.

    Args:
      rate, kinds, seed: as for `ps_bank`.
    """
    check_kinds(kinds)
    x = signal_of(reference)
    size = int(FRAME_SECONDS * rate)
    padded = np.pad(x, (0, -len(x) % size))
    frames = padded.reshape(-1, size)
    magnitude = np.abs(np.fft.rfft(padded))
    frequencies = np.fft.rfftfreq(len(padded), 1 / rate)
    low, high = energy_cutoffs(magnitude, frequencies)
    level = np.abs(frames)
    peak = np.maximum(level.max(axis=1, keepdims=True), LEAST_LEVEL)
    rms = np.maximum(np.sqrt(np.mean(frames**2, axis=1, keepdims=True)), LEAST_LEVEL)
    loud = np.maximum(np.percentile(level, 95, axis=1, keepdims=True), LEAST_LEVEL)
    makers = {
        'notch': lambda: (
            notched(frames, rate, centre, 60.0)
            for centre in strongest_bins(magnitude, frequencies, rate)
        ),
        'comb': lambda: combs(frames, rate),
        'tremolo': lambda: frame_tremolos(frames, rate),
        'noise': lambda: frame_noises(frames, rate, np.random.default_rng(seed)),
        'harmonic': lambda: tones(frames, rate, [a * rms for a in (0.4, 0.6, 0.8, 1.0)]),
        'noisegate': lambda: (gated(frames, share * loud) for share in (0.05, 0.1, 0.2, 0.4)),
        'pitch_shift': lambda: (pitch_shift(frames, steps) for steps in SEMITONES),
        'lowpass': lambda: filters(frames, rate, [f for f in low if f < 0.495 * rate], 'low', 6),
        'highpass': lambda: filters(frames, rate, [f for f in high if f > 20], 'high', 6),
        'clipping': lambda: (
            np.clip(frames, -share * loud, share * loud) for share in (0.7, 0.5, 0.3)
        ),
        'vibrato': lambda: frame_vibratos(frames, rms / peak),
    }
    return together(makers, kinds, padded)


def most_copies(kinds: Collection[str]) -> int:
    """The largest number of copies that `pm_bank` makes of these kinds.

    >>> most_copies(('comb', 'reverb'))
    5
    """
    return sum(MOST_OF_A_KIND.get(kind, 0) for kind in kinds)


def signal_of(reference: Float[np.ndarray, 't']) -> Float[np.ndarray, 't']:
    """The signal in float64; ValueError unless it is one of at least two samples, all finite."""
    x = np.asarray(reference, np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f'reference: expected one finite signal [t], got shape {x.shape}')
    return x


def together(makers, kinds: Collection[str], x: Float[np.ndarray, 't']) -> Float[np.ndarray, 'n t']:
    """The copies of all kinds that a bank makes, frames put one after the other."""
    made = [
        copy.reshape(-1) for kind in KINDS if kind in kinds and kind in makers for copy in makers[kind]()
    ]  # fmt: skip
    return np.stack(made) if made else np.zeros((0, len(x)))


def notched(x: Float[np.ndarray, '*b t'], rate: int, centre: float, width: float):
    """The signals without their frequencies nearer than `width` to `centre`, in Hz."""
    spectrum = np.fft.rfft(x)
    frequencies = np.fft.rfftfreq(x.shape[-1], 1 / rate)
    spectrum[..., np.abs(frequencies - centre) < width] = 0
    return np.fft.irfft(spectrum, n=x.shape[-1])


def combs(x: Float[np.ndarray, '*b t'], rate: int) -> Iterator[np.ndarray]:
    """x[t] + gain x[t + delay]: the later sound comes earlier, as in the code."""
    for milliseconds, gain in COMB:
        delay = int(rate * milliseconds / 1000)
        if delay < x.shape[-1]:
            later = np.zeros_like(x)
            later[..., : x.shape[-1] - delay] = x[..., delay:]
            yield x + gain * later


def echoes(x: Float[np.ndarray, 't'], rate: int) -> Iterator[np.ndarray]:
    """x[t] + gain x[t - delay]."""
    for milliseconds, gain in ((5, 0.3), (10, 0.5), (15, 0.7)):
        delay = int(rate * milliseconds / 1000)
        if delay < len(x):
            yield x + gain * np.pad(x, (delay, 0))[: len(x)]


def whole_tremolos(x: Float[np.ndarray, 't'], rate: int) -> Iterator[np.ndarray]:
    """The loudness swings at 1, 2, 4, 6 Hz, between 1 - depth and 1."""
    time = np.arange(len(x)) / rate
    for frequency, depth in ((1, 0.3), (2, 0.5), (4, 0.8), (6, 1.0)):
        yield x * (1 - depth + depth * (1 + np.sin(2 * np.pi * frequency * time)) / 2)


def frame_tremolos(frames: Float[np.ndarray, 'f t'], rate: int) -> Iterator[np.ndarray]:
    """Each frame with the gain that a full tremolo has at its centre."""
    number, size = frames.shape
    time = (np.arange(number)[:, None] + 0.5) * size / rate
    for frequency in (1, 2, 4, 6):
        yield frames * (1 + np.sin(2 * np.pi * frequency * time)) / 2


def noise(rng: np.random.Generator, shape: tuple[int, ...], color: str) -> np.ndarray:
    """White noise, or its sums (pink) or the sums' sums (brown), these two divided by their peak."""
    drawn = rng.standard_normal(shape)
    if color == 'white':
        return drawn
    for _ in range({'pink': 1, 'brown': 2}[color]):
        drawn = np.cumsum(drawn, axis=-1)
    return drawn / np.maximum(np.max(np.abs(drawn), axis=-1, keepdims=True), 1e-12)


def whole_noises(x: Float[np.ndarray, 't'], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The signal and noise; the level of coloured noise is that of its peak, not of its energy."""
    rms = np.sqrt(np.mean(x**2))
    for color, snr in NOISES:
        yield x + rms * 10 ** (-snr / 20) * noise(rng, x.shape, color)


def frame_noises(
    frames: Float[np.ndarray, 'f t'], rate: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Each frame and noise from 20 Hz to 0.45 of the rate, at an SNR of at most 15 dB."""
    edges = 20 / (rate / 2), min(20_000 / (rate / 2), 0.9)
    band = scipy.signal.butter(5, edges, btype='band')
    rms = np.sqrt(np.mean(frames**2, axis=1, keepdims=True))
    for color, snr in NOISES:
        filtered = scipy.signal.lfilter(*band, noise(rng, frames.shape, color), axis=1)
        found = np.sqrt(np.mean(filtered**2, axis=1, keepdims=True)) + 1e-12
        yield frames + filtered * (rms / found) * 10 ** (-min(snr, LARGEST_NOISE_SNR) / 20)


def tones(x: Float[np.ndarray, '*b t'], rate: int, amplitudes) -> Iterator[np.ndarray]:
    """The signals and a tone of 100, 500, 1000 or 4000 Hz."""
    time = np.arange(x.shape[-1]) / rate
    for frequency, amplitude in zip((100, 500, 1000, 4000), amplitudes, strict=True):
        yield x + amplitude * np.sin(2 * np.pi * frequency * time)


def reverberations(x: Float[np.ndarray, 't'], rate: int) -> Iterator[np.ndarray]:
    """The signal through impulse responses exp(-3 u) gain, u from 0 to 1."""
    for milliseconds, gain in ((5, 0.3), (10, 0.5), (15, 0.7), (20, 0.9)):
        length = int(rate * milliseconds / 1000)
        if length < len(x):
            response = np.exp(-np.linspace(0, 3, length)) * gain
            yield scipy.signal.fftconvolve(x, response)[: len(x)]


def gated(x: Float[np.ndarray, '*b t'], level) -> np.ndarray:
    """The signals with zeros where they are below the level."""
    return np.where(np.abs(x) < level, 0, x)


def filters(
    x: Float[np.ndarray, '*b t'], rate: int, cutoffs: Collection[int], side: str, order: int
) -> Iterator[np.ndarray]:
    """The signals through Butterworth filters, forwards and backwards."""
    for cutoff in cutoffs:
        if 0 < cutoff < rate / 2:
            yield scipy.signal.filtfilt(
                *scipy.signal.butter(order, cutoff / (rate / 2), side), x, axis=-1
            )


def whole_vibratos(x: Float[np.ndarray, 't'], rate: int) -> Iterator[np.ndarray]:
    """The signal stretched in time by the mean of a vibrato, which is next to nothing; as the code has it."""
    time = np.arange(len(x)) / rate
    for frequency, depth in ((3, 0.001), (5, 0.002), (7, 0.003)):
        yield time_stretch(x, 1 + float(np.mean(np.sin(2 * np.pi * frequency * time) * depth)))


def frame_vibratos(
    frames: Float[np.ndarray, 'f t'], flatness: Float[np.ndarray, 'f 1']
) -> Iterator[np.ndarray]:
    """Each frame faster by 1 to 5 per cent, more where its level is flat; cut or padded to its length."""
    for scale in (1.0, 1.3, 1.6):
        yield time_stretch(frames, 1 + np.clip(0.03 * flatness[:, 0] * scale, 0.01, 0.05))


def strongest_bins(
    magnitude: Float[np.ndarray, 'f'], frequencies: Float[np.ndarray, 'f'], rate: int
) -> list[float]:
    """Of the 60 strongest bins from 80 Hz to 0.45 of the rate, those 300 Hz apart, the strongest first."""
    valid = (frequencies > 80) & (frequencies < 0.45 * rate)
    magnitude, frequencies = magnitude[valid], frequencies[valid]
    chosen = []
    for place in np.argsort(magnitude)[-60:][::-1]:
        if all(abs(frequencies[place] - other) > NOTCH_SPACING for other in chosen):
            chosen.append(float(frequencies[place]))
    return chosen[:MOST_NOTCHES]


def energy_cutoffs(
    magnitude: Float[np.ndarray, 'f'], frequencies: Float[np.ndarray, 'f']
) -> tuple[list[int], list[int]]:
    """Where a share of the energy lies below (0.5 to 0.95) or above (0.05 to 0.5), to 100 Hz."""
    power = magnitude**2
    last = len(power) - 1

    def rounded(power, shares, place):
        cumulative = np.cumsum(power)
        found = (np.searchsorted(cumulative, share * cumulative[-1]) for share in shares)
        return sorted({round(frequencies[place(min(i, last))] / 100) * 100 for i in found})

    low = rounded(power, (0.5, 0.7, 0.85, 0.95), lambda i: i)
    high = rounded(power[::-1], (0.05, 0.15, 0.3, 0.5), lambda i: last - i)
    return low, high
