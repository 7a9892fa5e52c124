import importlib.util

import numpy as np
import pytest

from jaxsep.archives import folder
from jaxsep.data.sets import chorales
from jaxsep.data.source import load, take_all

SMALL = {'num_pieces': 4, 'seconds': 0.01, 'windows': 2, 'test_fraction': 0.5}


@pytest.fixture
def plain(packed, monkeypatch):
    """Parts of one long note, its pitch 10 times the piece plus the part, 'played' as that level."""
    font = packed('pypi', 'font==1', {'pretty_midi/TimGM6mb.sf2': b'RIFF'})
    monkeypatch.setattr(chorales, 'SOUND_FONT', font)
    pieces = [
        (f'bwv{i}', [np.array([[0.0, 9.0, 10 * i + part]]) for part in range(4)]) for i in range(4)
    ]
    monkeypatch.setattr(chorales, 'scores', lambda number: pieces[:number])

    def play(font, program, notes, length):
        assert font.read_bytes() == b'RIFF'
        level = np.full(length, program + notes[0, 2] + 1, np.float32)
        return np.where(np.arange(length) < length // 2 * (1 + (notes[0, 2] < 30)), level, 0.0)

    monkeypatch.setattr(chorales, 'play', play)
    return font


def test_stems_are_the_parts_and_add_up_to_the_mixture(plain):
    source = load('chorales', programs=(0, 0, 0, 0), **SMALL)
    assert source.labels['piece'] == ('bwv0', 'bwv1', 'bwv2', 'bwv3')
    rows = [take_all(split) for split in source.splits.values()]
    assert sum(len(r['piece']) for r in rows) == 7  # the second window of the last is silent
    for r in rows:
        assert r['true_waveform'].shape[1:] == (4, 80) and r['true_waveform'].dtype == np.float32
        np.testing.assert_array_equal(r['mixture'], r['true_waveform'].sum(axis=1))
        want = 10 * r['piece'][:, None] + np.arange(4)[None, :] + 1
        np.testing.assert_array_equal(r['true_waveform'][:, :, 0], want)


def test_no_chorale_is_in_both_splits(plain):
    train, test = (take_all(s)['piece'] for s in load('chorales', **SMALL).splits.values())
    assert len(set(train)) == len(set(test)) == 2 and not set(train) & set(test)


def test_what_was_played_is_kept(plain):
    load('chorales', **SMALL)
    for path in folder(plain).glob('*.whl'):
        path.unlink()
    assert len(load('chorales', **SMALL).splits) == 2


@pytest.mark.skipif(
    not importlib.util.find_spec('tinysoundfont'), reason='tinysoundfont is not installed'
)
def test_notes_sound_at_their_time_and_pitch(real, tmp_path):
    real(chorales.SOUND_FONT, small=True)
    path = tmp_path / 'font.sf2'
    path.write_bytes(chorales.members(chorales.SOUND_FONT)['pretty_midi/TimGM6mb.sf2']())
    notes = np.array([[0.5, 0.5, 69.0]])
    flute = chorales.play(path, 73, notes, 12000)
    assert flute.shape == (12000,) and not flute[:3990].any()
    spectrum = np.abs(np.fft.rfft(flute[4800:7800] * np.hanning(3000)))
    pitch = np.argmax(spectrum) * 8000 / 3000
    assert abs(pitch - 440) < 6
    assert np.abs(flute[11500:]).max() < 0.05 * np.abs(flute).max()
    np.testing.assert_array_equal(chorales.play(path, 73, notes, 6000), flute[:6000])


@pytest.mark.skipif(not importlib.util.find_spec('music21'), reason='music21 is not installed')
def test_a_real_score_has_four_parts_from_high_to_low():
    ((name, parts),) = chorales.scores(1)
    assert name.startswith('bwv') and len(parts) == 4
    means = [part[:, 2].mean() for part in parts]
    assert means == sorted(means, reverse=True) and 30 < means[3] < means[0] < 90
    assert all((part[:, 1] > 0).all() and len(part) > 10 for part in parts)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_pieces': 1}, 'num_pieces: expected 2 or more'),
        ({'windows': 0}, 'windows: expected 1 or more'),
        ({'programs': (0, 1)}, 'programs: expected four'),
        ({'programs': (0, 1, 2, 128)}, 'programs: expected four'),
        ({'seconds': 0.0}, 'seconds, tempo: expected more than 0'),
        ({'tempo': 0.0}, 'seconds, tempo: expected more than 0'),
        ({'test_fraction': 0.0}, 'test_fraction'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('chorales', **options)
