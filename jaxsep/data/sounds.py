"""Reading recorded sounds from packages: wav and flac, mono, float32."""

import importlib
import io
import math
import wave

import numpy as np
import scipy.signal
from jaxtyping import Float, Int16

from jaxsep.archives import Archive, decoded, members

RATE = 8000
MUSIC = Archive(
    'deb',
    'asterisk-moh-opsound-wav=2.03-1.1',
    '8f9d808a729d305c2d3343993f21ca5e6829e411682618dc8ea7aa8bc24a566c',
)
SAMPLES = Archive(
    'deb',
    'sonic-pi-samples=3.2.2~repack-8',
    '25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d',
)


def music() -> dict[str, Float[np.ndarray, 't']]:
    """Name -> one of 5 pieces of instrumental music, 18.5 minutes together, 8 kHz.

    CC BY-SA 3.0, from the Debian package asterisk-moh-opsound-wav, 14 MB.
    """

    def decode():
        files = {name: read() for name, read in members(MUSIC).items() if name.endswith('.wav')}
        return {stem(name): read_wav(data) for name, data in sorted(files.items())}

    found = decoded([MUSIC], 'music-v1', decode)
    return {name: to_float(samples) for name, samples in found.items()}


def samples() -> dict[str, Float[np.ndarray, 't']]:
    """Name -> one of 165 samples of instruments and machines, at 8 kHz, the channels' mean.

    The part of a name before its first '_' is its kind: tabla, drum, bd, sn, elec, perc, ... CC0, from
    the Debian package sonic-pi-samples, 22 MB; reading it needs soundfile.
    """

    def decode():
        files = {name: read() for name, read in members(SAMPLES).items() if name.endswith('.flac')}
        return {stem(name): read_flac(data) for name, data in sorted(files.items())}

    return decoded([SAMPLES], 'samples-v1', decode)


def stem(name: str) -> str:
    """The name of a file without folders and ending."""
    return name.rsplit('/', 1)[-1].rsplit('.', 1)[0]


def read_wav(data: bytes) -> Int16[np.ndarray, 't']:
    """The samples of a wav file of 16 bits, one channel and 8 kHz; ValueError for any other."""
    with wave.open(io.BytesIO(data)) as file:
        found = file.getnchannels(), 8 * file.getsampwidth(), file.getframerate()
        if found != (1, 16, RATE):
            raise ValueError(f'data: expected 1 channel, 16 bits, {RATE} Hz, got {found}')
        return np.frombuffer(file.readframes(file.getnframes()), '<i2').astype(np.int16)


def read_flac(data: bytes) -> Float[np.ndarray, 't']:
    """The samples of a flac file, the mean of its channels, resampled to 8 kHz.

    ImportError naming the extra where soundfile is missing.
    """
    try:
        soundfile = importlib.import_module('soundfile')
    except ImportError:
        raise ImportError("flac is read with soundfile: pip install 'jaxsep[data]'") from None
    waveform, rate = soundfile.read(io.BytesIO(data), dtype='float32', always_2d=True)
    common = math.gcd(rate, RATE)
    mono = scipy.signal.resample_poly(waveform.mean(axis=1), RATE // common, rate // common)
    return mono.astype(np.float32)


def to_float(samples: Int16[np.ndarray, '*b']) -> Float[np.ndarray, '*b']:
    """16 bits to float32 from -1 to below 1.

    >>> to_float(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    return samples.astype(np.float32) / 32768


def onset(waveform: Float[np.ndarray, 't'], threshold: float = 0.02) -> int:
    """The first sample above `threshold` times the peak, less 10 ms; 0 for silence."""
    loud = np.abs(waveform) > threshold * np.max(np.abs(waveform), initial=0)
    return max(int(np.argmax(loud)) - RATE // 100, 0) if loud.any() else 0


def cut(waveform: Float[np.ndarray, 't'], length: int, begin: int = 0) -> Float[np.ndarray, 'n']:
    """`length` samples from `begin` on, zeros where the waveform is over.

    >>> cut(np.array([1.0, 2.0, 3.0]), 3, begin=1).tolist()
    [2.0, 3.0, 0.0]
    """
    piece = waveform[begin : begin + length]
    return np.pad(piece, (0, length - len(piece)))
