"""Spoken prompts with a known flaw: some of the other voice, or noise, at one exact level."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import scipy.signal
from jaxtyping import Float

from jaxsep.data import synthetic_sounds
from jaxsep.data.sets import voices
from jaxsep.data.sounds import RATE, music
from jaxsep.data.source import Arrays, Source, take_all

KINDS = ('clean', 'leakage', 'noise')
PARTNERS = ('voice', 'music')
SOURCES = ('prompts', 'computed')
OUTPUT_RATE = 16_000


def load(
    *,
    kinds: Sequence[str] = KINDS,
    levels: Sequence[float] = (30.0, 20.0, 10.0, 0.0),
    partner: str = 'voice',
    sources: str = 'prompts',
    languages: Sequence[str] = ('en', 'fr', 'it'),
    num_pairs: int = 12,
    seconds: float = 1.5,
    seed: int = 0,
) -> Source:
    """Outputs of an imagined separator of two sources, whose error is known exactly.

    A row is a pair of prompts in two languages: `true_waveform` [2, t], both of the same energy, at 16
    kHz, and `waveform` [2, t], the same with an addition: nothing ('clean'), the other source
    ('leakage') or white noise ('noise'). Of the addition, what lies along the source itself is taken
    away, and the rest scaled, so that the SI-SDR is the level in dB, whatever the kind. Each pair comes
    in all conditions, that is labels: `kind`, `level`, whose last class is that of clean rows, and
    `condition`, the two together. Pairs of test and training have no prompt in common. The prompts are
    those of `voices` that last as long as a row. `waveform` is a column for measures, so methods that
    give waveforms themselves cannot run on this.

    Args:
      kinds: of 'clean', 'leakage', 'noise'.
      levels: in dB, of leakage and noise.
      partner: the second source: another 'voice', or 'music'.
      sources: 'prompts', or 'computed' for two kinds of `jaxsep.data.synthetic_sounds` in place of two
        voices: nothing is downloaded.
      languages: of the voices, two or more; each has one speaker (English and Spanish the same).
      num_pairs: of each split.
      seconds: of each row.
      seed: of pairs, cuts of the music, and noise.
    """
    if not kinds or set(kinds) - set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(f'kinds: expected some of {", ".join(KINDS)}, each once, got {kinds}')
    levels = tuple(map(float, levels))
    if len(set(levels)) < len(levels) or not np.isfinite(levels).all():
        raise ValueError(f'levels: expected different finite numbers, got {levels}')
    if not levels and set(kinds) - {'clean'}:
        raise ValueError('levels: expected at least one for leakage and noise, got none')
    if partner not in PARTNERS:
        raise ValueError(f'partner: expected one of {", ".join(PARTNERS)}, got {partner!r}')
    if sources not in SOURCES:
        raise ValueError(f'sources: expected one of {", ".join(SOURCES)}, got {sources!r}')
    if len(languages) < 2:
        raise ValueError(f'languages: expected two or more, got {languages}')
    if num_pairs < 1:
        raise ValueError(f'num_pairs: expected at least 1, got {num_pairs}')
    spoken = None
    if sources == 'prompts':
        spoken = voices.load(languages=languages, seconds=seconds, test_fraction=0.5, seed=seed)
    pieces = list(music().values()) if partner == 'music' else []
    conditions = [
        (kind, level) for kind in kinds for level in ((None,) if kind == 'clean' else levels)
    ]
    names = (*(f'{level:g} dB' for level in levels), 'clean')
    splits = {}
    length = round(seconds * RATE)
    for place, name in enumerate(('train', 'test')):
        rng = np.random.default_rng((seed, place))
        if spoken is None:
            pairs = computed_pairs(num_pairs, length, rng)
        else:
            pairs = pairs_of(take_all(spoken.splits[name]), num_pairs, length, rng)
        if pieces:
            pairs[:, 1] = [cut_of(pieces, pairs.shape[2], rng) for _ in pairs]
        truth = equal_energy(resampled(pairs))
        rows = [
            (pair, kind, level, flawed(pair, kind, level, rng))
            for pair in truth
            for kind, level in conditions
        ]
        splits[name] = Arrays(
            {
                'true_waveform': np.stack([row[0] for row in rows]).astype(np.float32),
                'waveform': np.stack([row[3] for row in rows]).astype(np.float32),
                'kind': np.array([kinds.index(row[1]) for row in rows], np.int32),
                'level': np.array([(*levels, None).index(row[2]) for row in rows], np.int32),
                'condition': np.tile(np.arange(len(conditions), dtype=np.int32), len(truth)),
            }
        )
    return Source(
        splits,
        {
            'kind': tuple(kinds),
            'level': names,
            'condition': tuple(
                kind if level is None else f'{kind} {level:g} dB' for kind, level in conditions
            ),
        },
        'pairs of prompts with leakage or noise at a known level',
        targets={'true_waveform': (), 'waveform': ()},
    )


def computed_pairs(
    number: int, length: int, rng: np.random.Generator
) -> Float[np.ndarray, 'n 2 t']:
    """Pairs of two different kinds of computed sounds."""
    kinds = sorted(synthetic_sounds.KINDS)
    chosen = [rng.permutation(len(kinds))[:2] for _ in range(number)]
    drawn = [[synthetic_sounds.KINDS[kinds[k]](rng, length) for k in pair] for pair in chosen]
    return np.array(drawn, np.float64)


def pairs_of(
    rows, number: int, length: int, rng: np.random.Generator
) -> Float[np.ndarray, 'n 2 t']:
    """Pairs of long enough prompts, different ones in different languages, each row used once."""
    shuffled = rng.permutation(np.flatnonzero(rows['length'] >= length))
    left, pairs = list(shuffled), []
    while left and len(pairs) < number:
        first = left.pop()
        others = (
            place
            for place, row in enumerate(left)
            if rows['language'][row] != rows['language'][first]
            and rows['prompt'][row] != rows['prompt'][first]
        )
        if (place := next(others, None)) is not None:
            pairs.append((first, left.pop(place)))
    if len(pairs) < number:
        raise ValueError(
            f'num_pairs: expected at most {len(pairs)} pairs of such prompts, got {number}'
        )
    return rows['waveform'][np.array(pairs)].astype(np.float64)


def cut_of(pieces, length: int, rng: np.random.Generator) -> Float[np.ndarray, 't']:
    """A random passage of a random piece that is not silent."""
    while True:
        piece = pieces[rng.integers(len(pieces))]
        begin = rng.integers(len(piece) - length)
        if np.any(passage := piece[begin : begin + length]):
            return passage


def resampled(waveforms: Float[np.ndarray, '*b t']) -> Float[np.ndarray, '*b u']:
    """From the rate of the prompts to 16 kHz."""
    ratio = Fraction(OUTPUT_RATE, RATE)
    return scipy.signal.resample_poly(waveforms, ratio.numerator, ratio.denominator, axis=-1)


def equal_energy(waveforms: Float[np.ndarray, '*b t']) -> Float[np.ndarray, '*b t']:
    """Waveforms of an rms of 0.05, about -26 dB, where no voice is clipped."""
    return 0.05 * waveforms / np.sqrt(np.mean(waveforms**2, axis=-1, keepdims=True))


def flawed(
    sources: Float[np.ndarray, '2 t'], kind: str, level: float | None, rng: np.random.Generator
) -> Float[np.ndarray, '2 t']:
    """Both sources with the addition, of an SI-SDR of `level` dB.

    >>> sources = np.eye(2, 4)
    >>> flawed(sources, 'leakage', 20.0, np.random.default_rng(0))[0].tolist()
    [1.0, 0.1, 0.0, 0.0]
    """
    if kind == 'clean':
        return sources
    added = sources[::-1] if kind == 'leakage' else rng.standard_normal(sources.shape)
    energy = np.sum(sources**2, axis=1, keepdims=True)
    added = added - np.sum(added * sources, axis=1, keepdims=True) / energy * sources
    gain = np.sqrt(energy / np.sum(added**2, axis=1, keepdims=True)) * 10 ** (-level / 20)
    return sources + gain * added
