"""Bach's four-part chorales, played by four instruments: mixtures with exact stems, offline."""

import importlib
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxsep.archives import Archive, decoded, members
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction

SOUND_FONT = Archive(
    'pypi',
    'pretty_midi==0.2.11.post0',
    'a3e2321736245a9c92259716d85a4762f16b7bde2f591fb0dba95bdb6e793d8a',
)
PARTS = ('soprano', 'alto', 'tenor', 'bass')
RATE = 8000
LEGATO = 0.98
"""Share of its length that a note is held."""


def load(
    *,
    num_pieces: int = 60,
    seconds: float = 4.0,
    windows: int = 4,
    tempo: float = 90.0,
    programs: Sequence[int] = (73, 68, 71, 70),
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """Pieces of chorales, each part an instrument; test chorales are never heard in training.

    A row is one window: `true_waveform` float32 [4, 8000 seconds] at 8 kHz, soprano, alto, tenor and
    bass as they are played, and `mixture` [8000 seconds], their sum. The label is `piece`. Scores come
    inside music21 (BSD-3; some of its scores are for non-commercial use only), the instruments from
    the sound font TimGM6mb (GPL-2) inside pretty_midi, 6 MB from PyPI; they are played by
    tinysoundfont. The first time, reading a score takes about a second.

    Args:
      num_pieces: chorales with exactly four parts, in the order of their names.
      seconds: of a window.
      windows: of each chorale, one after another from its beginning; silent ones are left out.
      tempo: quarter notes a minute.
      programs: the instrument of each part, numbers of General MIDI from 0: flute, oboe, clarinet
        and bassoon.
      test_fraction: share of the chorales that is kept for test.
      seed: of their division.
    """
    check_fraction(test_fraction)
    for name, number in (('num_pieces', num_pieces), ('windows', windows)):
        if number < 1 + (name == 'num_pieces'):
            raise ValueError(f'{name}: expected {1 + (name == "num_pieces")} or more, got {number}')
    if len(programs) != len(PARTS) or not all(0 <= p < 128 for p in programs):
        raise ValueError(f'programs: expected four numbers from 0 to 127, got {programs}')
    length = round(seconds * RATE)
    if length < 1 or tempo <= 0:
        raise ValueError(f'seconds, tempo: expected more than 0, got {seconds} and {tempo}')
    instruments = '-'.join(map(str, programs))
    found = decoded(
        [SOUND_FONT],
        f'chorales-{num_pieces}-{length}-{windows}-{tempo:g}-{instruments}-v1',
        lambda: decode(num_pieces, length, windows, tempo, programs),
    )
    names = tuple(found['names'].tolist())
    order = np.random.default_rng(seed).permutation(len(names))
    number = min(max(round(len(names) * test_fraction), 1), len(names) - 1)
    splits = {}
    for split, chosen in (('train', order[number:]), ('test', order[:number])):
        rows = np.isin(found['piece'], chosen)
        stems = found['stems'][rows]
        splits[split] = Arrays(
            {'mixture': stems.sum(axis=1), 'true_waveform': stems, 'piece': found['piece'][rows]}
        )
    return Source(
        splits,
        {'piece': names},
        'four-part chorales of Bach, one instrument a part',
        targets={'mixture': (), 'true_waveform': ()},
        sample_rate=RATE,
    )


def decode(
    num_pieces: int, length: int, windows: int, tempo: float, programs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Windows of stems [n, 4, t], the piece of each, and the names of the pieces."""
    font = members(SOUND_FONT)['pretty_midi/TimGM6mb.sf2']()
    stems, piece, names = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'font.sf2'
        path.write_bytes(font)
        for name, parts in scores(num_pieces):
            played = [
                play(path, program, part * (60 / tempo, 60 / tempo, 1), length * windows)
                for program, part in zip(programs, parts, strict=True)
            ]
            cut = np.stack(played).reshape(len(PARTS), windows, length).swapaxes(0, 1)
            sounding = np.any(cut, axis=2).all(axis=1)
            stems.append(cut[sounding])
            piece += [len(names)] * int(sounding.sum())
            names.append(name)
    return {
        'stems': np.concatenate(stems).astype(np.float32),
        'piece': np.array(piece, np.int32),
        'names': np.array(names),
    }


def scores(number: int) -> list[tuple[str, list[Float[np.ndarray, 'n 3']]]]:
    """Name and parts of the first chorales that have four; a note is (begin, length, pitch).

    Begin and length are in quarter notes, pitch is a MIDI number. ImportError naming music21.
    """
    corpus = needed('music21').corpus
    found = []
    for path in sorted(corpus.getComposer('bach')):
        score = corpus.parse(path)
        if len(score.parts) != len(PARTS):
            continue
        parts = [
            np.array(
                [
                    (float(note.offset), float(note.duration.quarterLength), pitch.midi)
                    for note in part.flatten().notes
                    for pitch in note.pitches
                ],
                np.float64,
            ).reshape(-1, 3)
            for part in score.parts
        ]
        found.append((pathlib.Path(path).stem, parts))
        if len(found) == number:
            break
    return found


def play(
    font: pathlib.Path, program: int, notes: Float[np.ndarray, 'n 3'], length: int
) -> Float[np.ndarray, 't']:
    """The notes (begin and length in seconds, pitch) on one instrument, `length` samples at 8 kHz."""
    synth = needed('tinysoundfont').Synth(samplerate=RATE)
    synth.program_select(0, synth.sfload(str(font)), 0, program)
    events = []
    for begin, duration, pitch in notes:
        events.append((round(begin * RATE), 1, int(pitch)))
        events.append((round((begin + LEGATO * duration) * RATE), 0, int(pitch)))
    waveform, now = np.zeros(length, np.float32), 0
    for at, on, pitch in [*sorted(events), (length, 0, 0)]:
        until = min(at, length)
        if until > now:
            stereo = np.frombuffer(bytes(synth.generate(until - now)), np.float32)
            waveform[now:until] = stereo.reshape(-1, 2).mean(axis=1)
            now = until
        if now == length:
            break
        (synth.noteon if on else synth.noteoff)(0, pitch, *((100,) if on else ()))
    return waveform


def needed(package: str):
    """The module; ImportError that names what to install."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(
            f"chorales need {package}: pip install 'jaxsep[data]', and pip install --no-deps "
            'tinysoundfont'
        ) from None
