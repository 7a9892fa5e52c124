"""How well sources were separated, in dB: exact, in float64 numpy.

Evaluation code; what can be differentiated is in `jaxsep.losses.separation`.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.signal
from jaxtyping import Float, Int

SMALLEST = 1e-10
"""Mean squares are at least this in `sdr`."""


class BssEval(NamedTuple):
    """Of n sources, each [n], in dB; inf where there is no such error.

    Attributes:
      sdr: signal to distortion of any kind.
      sir: signal to interference by other sources.
      sar: signal to artifacts.
      permutation: which estimate belongs to each reference.
    """

    sdr: Float[np.ndarray, 'n']
    sir: Float[np.ndarray, 'n']
    sar: Float[np.ndarray, 'n']
    permutation: Int[np.ndarray, 'n']


def sdr(
    references: Float[np.ndarray, '*b t'], estimates: Float[np.ndarray, '...']
) -> Float[np.ndarray, '*b']:
    """Plain SDR: 10 log10(mean s^2 / mean (e - s)^2), no scaling, no permutation.

    Both mean squares are at least 1e-10, so silence and perfection are finite.
    """
    s, e = (np.asarray(x, np.float64) for x in (references, estimates))
    if s.shape != e.shape or not s.shape[-1]:
        raise ValueError(f'estimates: expected samples as the references {s.shape}, got {e.shape}')
    signal = np.maximum(np.mean(s**2, axis=-1), SMALLEST)
    error = np.maximum(np.mean((e - s) ** 2, axis=-1), SMALLEST)
    return np.asarray(10 * np.log10(signal / error))


def sdr_improvement(
    references: Float[np.ndarray, '*b t'],
    estimates: Float[np.ndarray, '*b t'],
    mixtures: Float[np.ndarray, '*b t'],
) -> Float[np.ndarray, '*b']:
    """SDRi: the SDR of the estimates above that of the mixtures themselves."""
    return np.asarray(sdr(references, estimates) - sdr(references, mixtures))


def si_sdr(
    references: Float[np.ndarray, '*b t'], estimates: Float[np.ndarray, '...']
) -> Float[np.ndarray, '*b']:
    """SI-SDR: 10 log10(|a s|^2 / |e - a s|^2) with a = <e, s> / |s|^2; means are kept.

    Both energies are at least 1e-10 of the samples' number, as in `sdr`.
    """
    s, e = (np.asarray(x, np.float64) for x in (references, estimates))
    if s.shape != e.shape or not s.shape[-1]:
        raise ValueError(f'estimates: expected samples as the references {s.shape}, got {e.shape}')
    energy = np.sum(s**2, axis=-1, keepdims=True)
    scale = np.sum(e * s, axis=-1, keepdims=True) / np.where(energy > 0, energy, 1.0)
    return sdr(scale * s, e)


def bss_eval(
    references: Float[np.ndarray, 'n t'],
    estimates: Float[np.ndarray, '...'],
    *,
    filter_length: int = 512,
    permute: bool = True,
) -> BssEval:
    """BSS-eval, version 3: an estimate may be a filtered reference, the rest is error.

    With P_j the projection on the reference j delayed by 0 .. L - 1 samples and P on all references
    delayed so: the estimate e, with L - 1 zeros after it, is P_j e (target) + (P e - P_j e)
    (interference) + (e - P e) (artifacts). SDR compares the target with both errors, SIR with
    interference; SAR compares P e with the artifacts.

    Args:
      filter_length: L; 512 as in mir_eval, 1 for scale-invariant ratios.
      permute: assign estimates to references at the largest mean SIR.

    Raises:
      ValueError: for shapes that do not fit and for silent references or estimates.

    Vincent, Gribonval, Fevotte, Performance measurement in blind audio source separation, 2006.
    """
    s, e = (np.asarray(x, np.float64) for x in (references, estimates))
    if s.ndim != 2 or s.shape != e.shape or 0 in s.shape:
        raise ValueError(f'estimates: expected [n, t] as the references {s.shape}, got {e.shape}')
    if filter_length < 1:
        raise ValueError(f'filter_length: expected at least 1, got {filter_length}')
    for name, signals in (('references', s), ('estimates', e)):
        if not np.any(signals, axis=1).all():
            raise ValueError(f'{name}: expected no silent signal')
    n = len(s)
    alone = [Delays(s[j : j + 1], filter_length) for j in range(n)]
    together = Delays(s, filter_length)
    table = np.zeros((3, n, n))  # criterion, estimate, reference
    for i in range(n):
        padded = np.pad(e[i], (0, filter_length - 1))
        everything = together.project(e[i])
        artifacts = padded - everything
        for j in range(n):
            if i != j and not permute:
                continue
            target = alone[j].project(e[i])
            table[:, i, j] = (
                energy_ratio(target, padded - target),
                energy_ratio(target, everything - target),
                energy_ratio(everything, artifacts),
            )
    order = np.arange(n)
    if permute:
        bounded = np.clip(table[1], -1e6, 1e6)
        order = scipy.optimize.linear_sum_assignment(bounded.T, maximize=True)[1]
    chosen = table[:, order, np.arange(n)]
    return BssEval(*chosen, order)


class Delays:
    """Projections on the span of signals [n, t], each delayed by 0 .. L - 1 samples.

    The inner products of delayed signals depend on the difference of the delays only: their matrix has
    n x n Toeplitz blocks, from correlations by fast Fourier transform.
    """

    def __init__(self, signals: Float[np.ndarray, 'n t'], length: int):
        n = len(signals)
        self.signals, self.length = signals, length
        gram = np.empty((n, length, n, length))
        for i in range(n):
            for j in range(n):
                after, before = (
                    correlations(signals[a], signals[b], length) for a, b in ((i, j), (j, i))
                )
                gram[i, :, j, :] = scipy.linalg.toeplitz(after, before)
        self.gram = gram.reshape(n * length, n * length)

    def project(self, signal: Float[np.ndarray, 't']) -> Float[np.ndarray, 'm']:
        """The nearest point of the span to a signal with L - 1 zeros after it."""
        inner = np.concatenate([correlations(x, signal, self.length) for x in self.signals])
        try:
            filters = np.linalg.solve(self.gram, inner)
        except np.linalg.LinAlgError:
            filters = np.linalg.lstsq(self.gram, inner, rcond=None)[0]
        filters = filters.reshape(len(self.signals), self.length)
        return sum(
            scipy.signal.fftconvolve(x, taps) for x, taps in zip(self.signals, filters, strict=True)
        )


def correlations(
    x: Float[np.ndarray, 't'], y: Float[np.ndarray, 't'], length: int
) -> Float[np.ndarray, 'a']:
    """sum_u x[u] y[u + a] for a = 0 .. length - 1: x delayed by a, times y."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    size = scipy.fft.next_fast_len(len(x) + length, real=True)
    spectrum = np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size)
    return np.fft.irfft(spectrum, size)[:length]


def energy_ratio(signal: Float[np.ndarray, 't'], error: Float[np.ndarray, 't']) -> float:
    """10 log10(|signal|^2 / |error|^2); inf without an error."""
    above, below = (float(np.sum(np.asarray(x, np.float64) ** 2)) for x in (signal, error))
    if below == 0:
        return np.inf
    return float(10 * np.log10(above / below)) if above > 0 else -np.inf


def segmental_snr(
    reference: Float[np.ndarray, 't'],
    estimate: Float[np.ndarray, '...'],
    rate: int,
    smallest: float = -10.0,
    largest: float = 35.0,
) -> float:
    """SSNR: the mean over short frames of their SNR in dB, each cut to [smallest, largest].

    Frames of 30 ms, one every quarter of it, under a Hann window without its zero ends; the last frame
    is left out. Frame: 10 log10(|w s|^2 / (|w (s - e)|^2 + eps) + eps), eps of float64.

    Hansen and Pellom, An effective quality evaluation protocol for speech enhancement algorithms,
    1998; the conventions of pysepm.
    """
    s, e = (np.asarray(x, np.float64) for x in (reference, estimate))
    if s.ndim != 1 or s.shape != e.shape:
        raise ValueError(f'estimate: expected [t] as the reference {s.shape}, got {e.shape}')
    size = round(0.03 * rate)
    hop = int(0.25 * 0.03 * rate)
    number = (len(s) - (size - hop)) // hop if hop > 0 else 0
    if number < 2:
        raise ValueError(f'reference: expected two frames of {size} samples, got {len(s)} samples')
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, size + 1) / (size + 1)))
    places = np.arange(number - 1)[:, None] * hop + np.arange(size)[None, :]
    eps = np.finfo(np.float64).eps
    signal = np.sum((s[places] * window) ** 2, axis=1)
    noise = np.sum(((s - e)[places] * window) ** 2, axis=1)
    return float(np.clip(10 * np.log10(signal / (noise + eps) + eps), smallest, largest).mean())
