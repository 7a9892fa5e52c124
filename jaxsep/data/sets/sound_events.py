"""Clips that hold one sound at an unknown place and a tag that says which: weak labels, offline."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxsep.data import sounds, synthetic_sounds
from jaxsep.data.sets import voices
from jaxsep.data.source import Arrays, Source

RECORDED = ('speech', 'music', 'drums')
PERCUSSION = ('bd', 'drum', 'elec', 'perc', 'sn', 'tabla')
LEVEL = 0.1
"""Root mean square of a sound of middling loudness."""
FADE = 80
"""Samples over which a sound begins and ends."""

Draw = Callable[[np.random.Generator, int], Float[np.ndarray, 't']]


class Clip(NamedTuple):
    """A clip [t], and the part of it that is the sound's, [s]."""

    waveform: np.ndarray
    segment: np.ndarray


def load(
    *,
    kinds: Sequence[str] = (*RECORDED, 'chirp', 'noise', 'pluck'),
    num_train: int = 200,
    num_test: int = 40,
    seconds: float = 1.5,
    event_seconds: float = 0.5,
    noise_db: float = -30.0,
    seed: int = 0,
) -> Source:
    """Weakly labelled clips of several kinds of sounds, and mixtures of two of them to be taken apart.

    A row is one clip, `waveform` [8000 seconds]: one sound of `event_seconds` at a random place over low
    noise, and `label`, its kind. Beside it are the pieces for evaluation: `mixture` [s], the
    sound's own segment of the clip plus that of a clip of another kind, as loud;
    `true_waveform` [2, s], the two, this row's first; `true_classes` [2], their kinds; `absent`, a
    kind that is not in the mixture. Sounds of the test split are never heard in training.

    Kinds: speech (four languages, CC BY-SA 3.0; see `jaxsep.data.sets.voices`), music and drums (CC BY-SA
    3.0 and CC0; see `jaxsep.data.sounds`), 118 MB from Debian in all; chirp, noise, pluck, clicks and
    chord are computed (`jaxsep.data.synthetic_sounds`).

    Args:
      kinds: at least three.
      num_train, num_test: clips of each kind.
      seconds, event_seconds: of a clip, and of the sound in it.
      noise_db: of the noise, relative to a sound of middling loudness.
      seed: of everything that is drawn.
    """
    known = (*RECORDED, *synthetic_sounds.KINDS)
    if len(set(kinds)) < max(len(kinds), 3) or set(kinds) - set(known):
        raise ValueError(
            f'kinds: expected at least three different ones of {", ".join(known)}, got {kinds}'
        )
    for name, number in (('num_train', num_train), ('num_test', num_test)):
        if number < 1:
            raise ValueError(f'{name}: expected at least 1 clip of each kind, got {number}')
    lengths = round(seconds * sounds.RATE), round(event_seconds * sounds.RATE)
    if not 2 * FADE <= lengths[1] <= lengths[0]:
        raise ValueError(
            f'event_seconds: expected {2 * FADE / sounds.RATE} to seconds={seconds}, '
            f'got {event_seconds}'
        )
    draws = [drawers(kind, seed) for kind in kinds]
    splits = {}
    for place, (split, number) in enumerate((('train', num_train), ('test', num_test))):
        rng = np.random.default_rng((seed, place))
        clips, labels = [], []
        for label, each in enumerate(draws):
            for _ in range(number):
                clips.append(make_clip(each[place], rng, *lengths, noise_db))
                labels.append(label)
        splits[split] = Arrays(columns(clips, np.array(labels, np.int32), len(kinds), rng))
    names = tuple(kinds)
    targets = {'mixture': (), 'true_waveform': (), 'true_classes': names, 'absent': names}
    return Source(
        splits,
        {'label': names},
        'clips with one sound each, and mixtures of two',
        targets=targets,
        sample_rate=sounds.RATE,
    )


def drawers(kind: str, seed: int) -> tuple[Draw, Draw]:
    """What draws a sound of this kind for training, and for test."""
    if kind in synthetic_sounds.KINDS:
        return (synthetic_sounds.KINDS[kind],) * 2
    if kind == 'speech':
        spoken = [voices.recordings(language) for language in voices.LANGUAGES]
        prompts = sorted(set().union(*spoken))
        train, test = divide(prompts, seed)
        pools = [[s[p] for s in spoken for p in names if p in s] for names in (train, test)]
    elif kind == 'music':
        pieces = sounds.music().values()
        pools = [[p[: len(p) * 4 // 5] for p in pieces], [p[len(p) * 4 // 5 :] for p in pieces]]
    else:
        samples = sounds.samples()
        names = sorted(name for name in samples if name.split('_')[0] in PERCUSSION)
        pools = [[samples[name] for name in part] for part in divide(names, seed)]
    draw = from_the_beginning if kind == 'drums' else from_anywhere
    train, test = (
        lambda rng, length, pool=pool: draw(pool[rng.integers(len(pool))], rng, length)
        for pool in pools
    )
    return train, test


def divide(names: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Four fifths and one fifth of them, at random."""
    order = np.random.default_rng(seed).permutation(len(names))
    cut = len(names) * 4 // 5
    return [names[i] for i in order[:cut]], [names[i] for i in order[cut:]]


def from_the_beginning(
    waveform: Float[np.ndarray, 't'], rng: np.random.Generator, length: int
) -> Float[np.ndarray, 'n']:
    """`length` samples from the onset on."""
    del rng
    return sounds.cut(waveform, length, sounds.onset(waveform))


def from_anywhere(
    waveform: Float[np.ndarray, 't'], rng: np.random.Generator, length: int
) -> Float[np.ndarray, 'n']:
    """The loudest of four random places after the onset; speech has pauses."""
    begin = sounds.onset(waveform)
    last = max(len(waveform) - length, begin)
    pieces = [sounds.cut(waveform, length, int(p)) for p in rng.integers(begin, last + 1, 4)]
    return max(pieces, key=lambda piece: float(np.sum(piece**2)))


def make_clip(
    draw: Draw, rng: np.random.Generator, length: int, event_length: int, noise_db: float
) -> Clip:
    """A sound, its mean square set to a random level within 4 dB, at a random place over noise."""
    event = draw(rng, event_length)
    edge = np.minimum(np.arange(event_length) + 1, FADE) / FADE
    event = event * edge * edge[::-1]
    level = LEVEL * 10 ** (rng.uniform(-4, 4) / 20)
    event = event * level / max(np.sqrt(np.mean(event**2)), 1e-6)
    waveform = LEVEL * 10 ** (noise_db / 20) * rng.normal(size=length)
    begin = rng.integers(length - event_length + 1)
    waveform[begin : begin + event_length] += event
    waveform = waveform.astype(np.float32)
    return Clip(waveform, waveform[begin : begin + event_length])


def columns(
    clips: Sequence[Clip], labels: np.ndarray, num_kinds: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The columns of a split; each clip gets a partner of another kind, and a third kind."""
    segments = np.stack([clip.segment for clip in clips])
    others, absent = [], []
    for label in labels:
        other, third = rng.permutation(np.setdiff1d(np.arange(num_kinds), [label]))[:2]
        others.append(rng.choice(np.flatnonzero(labels == other)))
        absent.append(third)
    partners = segments[others]
    ratio = np.sqrt(np.mean(segments**2, axis=1) / np.mean(partners**2, axis=1))
    sources = np.stack([segments, partners * ratio[:, None]], axis=1).astype(np.float32)
    return {
        'waveform': np.stack([clip.waveform for clip in clips]),
        'label': labels,
        'mixture': sources.sum(axis=1),
        'true_waveform': sources,
        'true_classes': np.stack([labels, labels[others]], axis=1).astype(np.int32),
        'absent': np.array(absent, np.int32),
    }
