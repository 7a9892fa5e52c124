"""Sounds that are computed: each kind a family with random parameters. 8 kHz, float32, about 1 loud.

Each function takes a random generator and the number of samples.
"""

from collections.abc import Callable

import numpy as np
import scipy.signal
from jaxtyping import Float

from jaxsep.data.sounds import RATE

Sound = Float[np.ndarray, 't']


def chirp(rng: np.random.Generator, length: int) -> Sound:
    """A tone that glides, up or down, by one to two octaves between 300 and 3,600 Hz."""
    low = 300 * 3 ** rng.random()
    high = min(low * 2 ** rng.uniform(1, 2), 3600)
    ends = (low, high) if rng.random() < 0.5 else (high, low)
    octaves = np.linspace(*np.log2(ends), length)
    phase = 2 * np.pi * np.cumsum(2**octaves) / RATE
    return np.sin(phase + rng.uniform(0, 2 * np.pi)).astype(np.float32)


def noise(rng: np.random.Generator, length: int) -> Sound:
    """White noise whose loudness goes up and down 4 to 12 times a second."""
    time = np.arange(length) / RATE
    swell = np.sin(2 * np.pi * (rng.uniform(4, 12) * time + rng.random()))
    return (0.5 * (1 + 0.9 * swell) * rng.normal(size=length)).astype(np.float32)


def pluck(rng: np.random.Generator, length: int) -> Sound:
    """Plucked strings by Karplus and Strong: two to four notes between 110 and 440 Hz."""
    count = rng.integers(2, 5)
    total = np.zeros(length)
    for begin in np.arange(count) * length // count:
        period = int(RATE / (110 * 4 ** rng.random()))
        excited = np.zeros(length - begin)
        excited[:period] = rng.uniform(-1, 1, min(period, length - begin))[:period]
        feedback = np.zeros(period + 2)
        feedback[0], feedback[period], feedback[period + 1] = 1, -0.498, -0.498
        total[begin:] += scipy.signal.lfilter([1.0], feedback, excited)
    return total.astype(np.float32)


def clicks(rng: np.random.Generator, length: int) -> Sound:
    """A ticking: short decaying bursts, 8 to 20 a second."""
    interval = int(RATE / rng.uniform(8, 20))
    impulses = np.zeros(length)
    impulses[rng.integers(min(interval, max(length // 2, 1))) :: interval] = 1
    burst = rng.normal(size=40) * np.exp(-np.arange(40) / 8)
    return np.convolve(impulses, burst)[:length].astype(np.float32)


def chord(rng: np.random.Generator, length: int) -> Sound:
    """Three steady tones a third and a fifth apart, each with two overtones."""
    time = np.arange(length) / RATE
    base = 150 * 3 ** rng.random()
    third = rng.choice([6 / 5, 5 / 4])
    tones = np.outer([base, base * third, base * 1.5], [1, 2, 3]).ravel()
    loudness = np.tile([1, 0.5, 0.25], 3)[:, None]
    phases = rng.uniform(0, 2 * np.pi, (9, 1))
    waves = loudness * np.sin(2 * np.pi * tones[:, None] * time[None, :] + phases)
    return (waves.sum(axis=0) / 3).astype(np.float32)


KINDS: dict[str, Callable[[np.random.Generator, int], Sound]] = {
    'chirp': chirp,
    'noise': noise,
    'pluck': pluck,
    'clicks': clicks,
    'chord': chord,
}
