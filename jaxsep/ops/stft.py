"""Short-time Fourier transform and its inverse, in the conventions of torch.stft.

Spectra are [*b, m, f]: frames, then the n_fft // 2 + 1 frequencies from 0 to half the
sampling rate. Papers that have frequencies first swap the last two axes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from jaxsep.ops.geometry import in_float32

PADDINGS = ('reflect', 'constant')
NO_WINDOW = 1e-11
"""Sums of squared windows up to this are none: the sample is 0."""


class Polar(NamedTuple):
    """A spectrum as magnitude and the cosine and sine of its phase, each [*b, m, f]."""

    magnitude: Float[Array, '*b m f']
    cos: Float[Array, '*b m f']
    sin: Float[Array, '*b m f']


def hann(window_length: int, n_fft: int) -> Float[np.ndarray, 'n']:
    """The periodic Hann window with zeros on both sides up to `n_fft`, in float64.

    w[n] = 0.5 - 0.5 cos(2 pi n / window_length); (n_fft - window_length) // 2 zeros before it.

    >>> hann(4, 4).round(6).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    if not 1 <= window_length <= n_fft:
        raise ValueError(f'window_length: expected 1 to n_fft={n_fft}, got {window_length}')
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / window_length)
    left = (n_fft - window_length) // 2
    return np.pad(window, (left, n_fft - window_length - left))


def stft(
    waveform: Float[Array, '*b t'],
    *,
    n_fft: int,
    hop: int,
    window_length: int | None = None,
    center: bool = True,
    padding: str = 'reflect',
) -> Complex[Array, '*b m f']:
    """The Fourier transforms of windowed frames, unscaled.

    S[m, f] = sum_n w[n] x[m hop + n] exp(-2 pi i f n / n_fft), with `hann` as w. With `center`, x has
    n_fft // 2 samples more on both sides, so frame m has its middle at sample m hop, and there
    are 1 + t // hop frames; without, 1 + (t - n_fft) // hop. float32, or float64 as it came.

    Raises:
      ValueError: naming the argument, also for a waveform that is too short.

    >>> stft(jnp.ones((2, 100)), n_fft=16, hop=4).shape
    (2, 26, 9)
    """
    check_sizes(n_fft, hop)
    if padding not in PADDINGS:
        raise ValueError(f'padding: expected one of {PADDINGS}, got {padding!r}')
    window = hann(window_length or n_fft, n_fft)
    waveform = in_float32(waveform)
    shortest = n_fft if not center else n_fft // 2 + 1 if padding == 'reflect' else 1
    if waveform.shape[-1] < shortest:
        raise ValueError(
            f'waveform: expected at least {shortest} samples for n_fft={n_fft}, '
            f'got {waveform.shape[-1]}'
        )
    if center:
        sides = [(0, 0)] * (waveform.ndim - 1) + [(n_fft // 2, n_fft // 2)]
        waveform = jnp.pad(waveform, sides, mode=padding)
    parts = frames(waveform, n_fft, hop)
    return jnp.fft.rfft(parts * like(window, parts))


def istft(
    spectrum: Complex[Array, '*b m f'],
    *,
    n_fft: int,
    hop: int,
    length: int,
    window_length: int | None = None,
    center: bool = True,
) -> Float[Array, '*b t']:
    """The waveform whose frames are nearest to the spectrum's, by weighted overlap and add.

    x = sum_m w x_m / sum_m w^2, where x_m are the inverse transforms of the frames at their places;
    0 where no window reaches. It undoes `stft` wherever the windows leave no gap. Imaginary
    parts at the first frequency, and at the last of an even n_fft, do not count.

    Args:
      length: samples of the result; what the frames do not reach is 0.
    """
    check_sizes(n_fft, hop)
    if spectrum.shape[-1] != n_fft // 2 + 1:
        raise ValueError(
            f'spectrum: expected {n_fft // 2 + 1} frequencies for n_fft={n_fft}, '
            f'got {spectrum.shape[-1]}'
        )
    if length < 0:
        raise ValueError(f'length: expected 0 or more samples, got {length}')
    window = hann(window_length or n_fft, n_fft)
    parts = jnp.fft.irfft(spectrum, n=n_fft)
    waveform = overlap_add(parts * like(window, parts), hop)
    squares = np.broadcast_to(np.square(window), (spectrum.shape[-2], n_fft))
    total = overlap_add_squares(squares, hop)
    scale = np.where(total > NO_WINDOW, 1 / np.maximum(total, NO_WINDOW), 0.0)
    waveform = waveform * like(scale, waveform)
    begin = n_fft // 2 if center else 0
    waveform = waveform[..., begin : begin + length]
    missing = [(0, 0)] * (waveform.ndim - 1) + [(0, length - waveform.shape[-1])]
    return jnp.pad(waveform, missing)


def frames(waveform: Float[Array, '*b t'], size: int, hop: int) -> Float[Array, '*b m n']:
    """Windows of `size` samples, one every `hop`; what is left at the end is dropped.

    They are put together from blocks of `hop` samples: no gather forwards, no scatter backwards.

    >>> frames(jnp.arange(6.0), 3, 2).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    number = max((waveform.shape[-1] - size) // hop + 1, 0)
    shifts = -(-size // hop)
    num_blocks = number + shifts - 1
    length = num_blocks * hop
    sides = [(0, 0)] * (waveform.ndim - 1) + [(0, max(length - waveform.shape[-1], 0))]
    blocks = jnp.pad(waveform, sides)[..., :length]
    blocks = blocks.reshape(*waveform.shape[:-1], num_blocks, hop)
    parts = [blocks[..., shift : shift + number, :] for shift in range(shifts)]
    return jnp.concatenate(parts, axis=-1)[..., :size]


def overlap_add(parts: Float[Array, '*b m n'], hop: int) -> Float[Array, '*b t']:
    """The sum of frames at their places, one every `hop` samples: the transpose of `frames`.

    t = (m - 1) hop + n.

    >>> overlap_add(jnp.ones((2, 3)), 2).tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    number, size = parts.shape[-2:]
    if not number:
        return jnp.zeros((*parts.shape[:-2], 0), parts.dtype)
    shifts = -(-size // hop)
    before = [(0, 0)] * (parts.ndim - 1)
    blocks = jnp.pad(parts, [*before, (0, shifts * hop - size)])
    blocks = blocks.reshape(*parts.shape[:-1], shifts, hop)
    placed = [
        jnp.pad(blocks[..., shift, :], [*before[:-1], (shift, shifts - 1 - shift), (0, 0)])
        for shift in range(shifts)
    ]
    waveform = sum(placed).reshape(*parts.shape[:-2], (number + shifts - 1) * hop)
    return waveform[..., : (number - 1) * hop + size]


def overlap_add_squares(squares: Float[np.ndarray, 'm n'], hop: int) -> Float[np.ndarray, 't']:
    """`overlap_add` in numpy, for what is known before compilation."""
    number, size = squares.shape
    total = np.zeros(max((number - 1) * hop + size, 0) if number else 0)
    for frame, values in enumerate(squares):
        total[frame * hop : frame * hop + size] += values
    return total


def to_polar(spectrum: Complex[Array, '*b m f'], eps: float = 1e-10) -> Polar:
    """Magnitude and the cosine and sine of the phase, with finite gradients everywhere.

    magnitude = sqrt(max(re^2 + im^2, eps)), cos = re / magnitude, sin = im / magnitude. Where the
    spectrum is smaller than sqrt(eps), cosine and sine are smaller than those of a phase: the
    product is the spectrum still. The angle itself, whose gradient is infinite at 0, is not used.
    """
    re, im = jnp.real(spectrum), jnp.imag(spectrum)
    squared = re * re + im * im
    magnitude = jnp.sqrt(jnp.maximum(squared, eps))
    return Polar(magnitude, re / magnitude, im / magnitude)


def from_polar(polar: Polar) -> Complex[Array, '*b m f']:
    """The spectrum of magnitude (cos + i sin)."""
    return jax.lax.complex(polar.magnitude * polar.cos, polar.magnitude * polar.sin)


def check_sizes(n_fft: int, hop: int) -> None:
    """Raises ValueError unless both are positive and frames overlap or touch."""
    if n_fft < 1:
        raise ValueError(f'n_fft: expected at least 1 sample, got {n_fft}')
    if not 1 <= hop <= n_fft:
        raise ValueError(f'hop: expected 1 to n_fft={n_fft} samples, got {hop}')


def like(values: np.ndarray, x: Float[Array, '...']) -> Float[Array, '...']:
    """Constants in the precision and rank of x, along its last axis."""
    return jnp.asarray(values, x.dtype).reshape((1,) * (x.ndim - 1) + values.shape)
