import numpy as np
import pytest

from jaxsep.data import sounds, synthetic_sounds
from jaxsep.data.sets import sound_events, voices
from jaxsep.data.source import load, take_all

COMPUTED = ('chirp', 'noise', 'pluck', 'clicks', 'chord')
SMALL = {'num_train': 6, 'num_test': 3, 'seconds': 0.2, 'event_seconds': 0.05}


@pytest.fixture(scope='module')
def source():
    return load('sound_events', kinds=COMPUTED, seed=1, **SMALL)


def test_columns_have_their_shapes_and_every_kind_is_as_frequent(source):
    assert source.sample_rate == 8000 and source.labels['label'] == COMPUTED
    assert source.targets['true_classes'] == COMPUTED
    for split, number in (('train', 6), ('test', 3)):
        rows = take_all(source.splits[split])
        n = 5 * number
        assert rows['waveform'].shape == (n, 1600) and rows['waveform'].dtype == np.float32
        assert rows['mixture'].shape == (n, 400) and rows['true_waveform'].shape == (n, 2, 400)
        assert np.bincount(rows['label']).tolist() == [number] * 5


def test_mixtures_are_sums_of_two_equally_loud_segments_of_two_kinds(source):
    rows = take_all(source.splits['train'])
    np.testing.assert_allclose(rows['true_waveform'].sum(axis=1), rows['mixture'], atol=1e-6)
    energy = np.mean(rows['true_waveform'] ** 2, axis=2)
    np.testing.assert_allclose(energy[:, 0], energy[:, 1], rtol=1e-4)
    first, second = rows['true_classes'].T
    np.testing.assert_array_equal(first, rows['label'])
    assert (first != second).all()
    assert (rows['absent'] != first).all() and (rows['absent'] != second).all()
    for waveform, (own, _) in zip(rows['waveform'], rows['true_waveform'], strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(waveform, 400)
        assert (windows == own).all(axis=1).sum() == 1


def test_outside_its_sound_a_clip_is_low_noise(source):
    rows = take_all(source.splits['train'])
    places = set()
    for waveform in rows['waveform']:
        energy = np.convolve(waveform**2, np.ones(400), 'valid')
        begin = int(np.argmax(energy))
        outside = np.concatenate([waveform[: max(begin - 400, 0)], waveform[begin + 800 :]])
        if len(outside) > 100:
            assert 0.002 < np.std(outside) < 0.0045  # 30 dB below 0.1 is 0.0032
        assert 0.05 < np.sqrt(energy[begin] / 400) < 0.2
        places.add(begin // 100)
    assert len(places) > 5


def test_the_seed_decides_and_splits_differ(source):
    again = load('sound_events', kinds=COMPUTED, seed=1, **SMALL)
    other = load('sound_events', kinds=COMPUTED, seed=2, **SMALL)
    train = take_all(source.splits['train'])['waveform']
    np.testing.assert_array_equal(train, take_all(again.splits['train'])['waveform'])
    assert not np.array_equal(train, take_all(other.splits['train'])['waveform'])
    assert not np.array_equal(train[:3], take_all(source.splits['test'])['waveform'][:3])


@pytest.mark.parametrize('kind', synthetic_sounds.KINDS)
@pytest.mark.parametrize('length', [160, 4000])
def test_computed_sounds_are_finite_of_their_length_and_never_the_same(kind, length):
    rng = np.random.default_rng(0)
    a, b = (synthetic_sounds.KINDS[kind](rng, length) for _ in range(2))
    assert a.shape == (length,) and a.dtype == np.float32 and np.isfinite(a).all()
    assert 0 < np.abs(a).max() < 10 and not np.array_equal(a, b)


def test_chirps_glide_and_chords_do_not():
    rng = np.random.default_rng(0)
    spread = {}
    for kind in ('chirp', 'chord'):
        peaks = []
        waveform = synthetic_sounds.KINDS[kind](rng, 8000)
        for begin in range(0, 8000 - 800, 800):
            piece = np.abs(np.fft.rfft(waveform[begin : begin + 800] * np.hanning(800)))
            peaks.append(np.argmax(piece) * 10)
        spread[kind] = max(peaks) / max(min(peaks), 1)
    assert spread['chirp'] > 1.7 and spread['chord'] < 1.2


@pytest.fixture
def recorded(monkeypatch):
    """Recordings whose level tells which they are: 1 to 10 for training and test alike."""
    tones = {f'p{i}': np.full(900, i, np.float32) for i in range(1, 11)}
    monkeypatch.setattr(voices, 'recordings', lambda language: tones)
    monkeypatch.setattr(
        sounds, 'music', lambda: {'piece': np.arange(1.0, 5001.0, dtype=np.float32)}
    )
    drums = {f'bd_{name}': tone for name, tone in tones.items()}
    monkeypatch.setattr(
        sounds, 'samples', lambda: {**drums, 'ambi_x': np.full(900, 99, np.float32)}
    )


@pytest.mark.parametrize('kind', ['speech', 'drums'])
def test_recordings_of_the_test_split_are_not_those_of_training(recorded, kind):
    rng = np.random.default_rng(0)
    train, test = sound_events.drawers(kind, seed=0)
    heard = [{float(draw(rng, 50)[0]) for _ in range(200)} for draw in (train, test)]
    assert len(heard[0]) == 8 and len(heard[1]) == 2 and not heard[0] & heard[1]
    assert 99 not in heard[0] | heard[1]


def test_music_is_divided_in_time(recorded):
    rng = np.random.default_rng(0)
    train, test = sound_events.drawers('music', seed=0)
    early, late = (np.concatenate([draw(rng, 50) for _ in range(50)]) for draw in (train, test))
    assert early.max() <= 4000 < late.min()


def test_recorded_and_computed_kinds_go_together(recorded):
    source = load('sound_events', **SMALL)
    assert source.labels['label'] == ('speech', 'music', 'drums', 'chirp', 'noise', 'pluck')
    assert np.isfinite(take_all(source.splits['test'])['mixture']).all()


def test_short_recordings_are_filled_up_with_zeros_and_the_loudest_place_is_taken():
    rng = np.random.default_rng(0)
    short = np.ones(30, np.float32)
    for cut in (sound_events.from_anywhere, sound_events.from_the_beginning):
        piece = cut(short, rng, 50)
        assert piece.shape == (50,) and piece.sum() == 30
    pause = np.concatenate([np.ones(1000), np.zeros(1000)]).astype(np.float32)
    found = [sound_events.from_anywhere(pause, rng, 50).sum() for _ in range(50)]
    assert np.mean(np.array(found) == 50) > 0.8


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kinds': ('chirp', 'noise')}, 'kinds: expected at least three'),
        ({'kinds': ('chirp', 'noise', 'noise')}, 'kinds: expected at least three'),
        ({'kinds': ('chirp', 'noise', 'bark')}, 'kinds: expected at least three'),
        ({'num_train': 0}, 'num_train: expected at least 1'),
        ({'num_test': 0}, 'num_test: expected at least 1'),
        ({'event_seconds': 0.01}, 'event_seconds: expected'),
        ({'event_seconds': 2.0}, 'event_seconds: expected'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load('sound_events', **{'kinds': COMPUTED, **options})
