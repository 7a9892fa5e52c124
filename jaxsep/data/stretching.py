"""Sounds made longer, or higher, by a phase vocoder; float64 numpy on the host."""

import numpy as np
import scipy.signal
from jaxtyping import Float

LARGEST_WINDOW = 2048


def time_stretch(
    x: Float[np.ndarray, '*b t'], rate: float | Float[np.ndarray, '*b']
) -> Float[np.ndarray, '*b t']:
    """The signals at `rate` times the speed and the same pitch, cut or padded to their length.

    The short-time spectrum, Hann windows of min(2048, t / 2) samples with hops of a quarter, is read at
    every `rate`-th place. Magnitudes are interpolated linearly, phases go on as they did between
    neighbouring frames. Flanagan and Golden, Phase vocoder, 1966; as in librosa.

    Args:
      rate: one number above 0, or one for each signal.
    """
    x = np.asarray(x, np.float64)
    rates = np.broadcast_to(np.asarray(rate, np.float64), x.shape[:-1])
    if np.any(rates <= 0):
        raise ValueError(f'rate: expected more than 0, got {rate}')
    if x.shape[-1] < 16:
        raise ValueError(f'x: expected at least 16 samples, got {x.shape[-1]}')
    flat = x.reshape(-1, x.shape[-1])
    stretched = np.zeros_like(flat)
    for speed in np.unique(rates):
        rows = rates.reshape(-1) == speed
        stretched[rows] = vocoded(flat[rows], float(speed), x.shape[-1])
    return stretched.reshape(x.shape)


def vocoded(x: Float[np.ndarray, 'n t'], rate: float, length: int) -> Float[np.ndarray, 'n m']:
    """The signals at `rate` times the speed, the first `length` samples of it, zeros at the end."""
    size = min(LARGEST_WINDOW, x.shape[-1] // 2)
    hop = size // 4
    spectrum = short_time_spectrum(x, size, hop)
    frames = spectrum.shape[1]
    places = np.arange(0, frames, rate)
    before = places.astype(int)
    share = (places - before)[None, :, None]
    spectrum = np.pad(spectrum, ((0, 0), (0, 2), (0, 0)))
    first, second = spectrum[:, before], spectrum[:, before + 1]
    magnitude = (1 - share) * np.abs(first) + share * np.abs(second)
    expected = np.pi * hop * np.arange(spectrum.shape[2]) / (spectrum.shape[2] - 1)
    turned = np.angle(second) - np.angle(first) - expected
    turned = expected + turned - 2 * np.pi * np.round(turned / (2 * np.pi))
    phase = np.angle(spectrum[:, :1]) + np.cumsum(turned, axis=1) - turned
    wanted = min(round(x.shape[-1] / rate), length)
    sound = from_spectrum(magnitude * np.exp(1j * phase), size, hop)[:, :wanted]
    return np.pad(sound, ((0, 0), (0, length - sound.shape[1])))


def short_time_spectrum(x: Float[np.ndarray, 'n t'], size: int, hop: int) -> np.ndarray:
    """[n, frames, frequencies], the frames centred, with zeros beyond the ends."""
    padded = np.pad(x, ((0, 0), (size // 2, size // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::hop]
    return np.fft.rfft(frames * scipy.signal.get_window('hann', size))


def from_spectrum(spectrum: np.ndarray, size: int, hop: int) -> Float[np.ndarray, 'n t']:
    """The signals whose windowed frames overlap and add; the inverse of `short_time_spectrum`."""
    window = scipy.signal.get_window('hann', size)
    frames = np.fft.irfft(spectrum, n=size) * window
    length = size + hop * (frames.shape[1] - 1)
    sound, weight = np.zeros((len(frames), length)), np.zeros(length)
    for place in range(frames.shape[1]):
        sound[:, place * hop : place * hop + size] += frames[:, place]
        weight[place * hop : place * hop + size] += window**2
    return (sound / np.where(weight > 1e-11, weight, 1))[:, size // 2 :]


def pitch_shift(x: Float[np.ndarray, '*b t'], semitones: float) -> Float[np.ndarray, '*b t']:
    """The signals higher by so many semitones, at the same speed: stretched in time, then resampled.

    Resampling is by Fourier transform.
    """
    x = np.asarray(x, np.float64)
    if x.shape[-1] < 16:
        raise ValueError(f'x: expected at least 16 samples, got {x.shape[-1]}')
    rate = 2.0 ** (-semitones / 12)
    length = round(x.shape[-1] / rate)
    longer = vocoded(x.reshape(-1, x.shape[-1]), rate, length)
    return scipy.signal.resample(longer, x.shape[-1], axis=1).reshape(x.shape)
