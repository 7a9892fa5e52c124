import io
import wave

import numpy as np
import pytest

from jaxsep.archives import folder
from jaxsep.data import sounds
from jaxsep.data.sets import voices
from jaxsep.data.source import load, take_all

PROMPTS = {'hello': 3, 'vm-bye': 5, 'digits/1': 7, 'digits/2': 11, 'letters/a': 13, 'letters/b': 17}


def wav(samples, rate=8000, channels=1):
    data = io.BytesIO()
    with wave.open(data, 'wb') as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, '<i2').tobytes())
    return data.getvalue()


@pytest.fixture
def prompts(packed, monkeypatch):
    """Packages like the real ones: 1000 silent samples, then a level that tells language and prompt."""
    archives = {}
    for k, language in enumerate(voices.LANGUAGES):
        files = {'./usr/share/doc/prompts/copyright': b'free'}
        spoken = {**PROMPTS, f'only-{language}': 19, 'silence/1': 0, 'beep': 23}
        for prompt, level in spoken.items():
            samples = np.repeat([0, 1000 * k + level], [1000, 10 * level])
            files[f'./usr/share/asterisk/sounds/{language}_speaker/{prompt}.wav'] = wav(samples)
        archives[language] = packed('deb', f'prompts-{language}=1', files)
    monkeypatch.setattr(voices, 'LANGUAGES', archives)
    return archives


def test_rows_are_what_each_language_says_from_the_onset_on(prompts):
    source = load('voices', seconds=0.02, test_fraction=0.5)
    assert source.labels['language'] == ('en', 'es', 'fr', 'it')
    assert source.labels['prompt'] == tuple(sorted(PROMPTS))
    assert source.labels['group'] == ('digits', 'general', 'letters')
    heard = set()
    for split in source.splits.values():
        rows = take_all(split)
        assert rows['waveform'].shape == (12, 160) and rows['waveform'].dtype == np.float32
        for i, number in enumerate(rows['prompt']):
            prompt = source.labels['prompt'][number]
            level = 1000 * rows['language'][i] + PROMPTS[prompt]
            want = np.repeat([0, level], [80, 10 * PROMPTS[prompt]])[:160]
            assert rows['length'][i] == len(want)
            np.testing.assert_array_equal(rows['waveform'][i][: len(want)], want / 32768)
            assert not rows['waveform'][i][len(want) :].any()
            group = prompt.split('/')[0] if '/' in prompt else 'general'
            assert source.labels['group'][rows['group'][i]] == group
            heard.add((prompt, int(rows['language'][i])))
    assert len(heard) == 24


def test_no_prompt_is_in_both_splits_and_every_group_is_divided(prompts):
    source = load('voices', seconds=0.01, test_fraction=0.5)
    train, test = (take_all(source.splits[name]) for name in ('train', 'test'))
    assert not set(train['prompt']) & set(test['prompt'])
    assert set(train['group']) == set(test['group']) == {0, 1, 2}


def test_languages_and_groups_can_be_chosen(prompts):
    source = load('voices', languages=('it', 'en'), group='digits', seconds=0.02, test_fraction=0.5)
    assert source.labels['prompt'] == ('digits/1', 'digits/2')
    rows = take_all(source.splits['test'])
    assert len(rows['prompt']) == 2
    loudest = rows['waveform'].max(axis=1) * 32768
    first, second = (loudest[rows['language'] == k].item() for k in (0, 1))
    assert first - second == 3000
    alone = load('voices', languages=('fr',), seconds=0.01)
    assert 'only-fr' in alone.labels['prompt'] and 'beep' not in alone.labels['prompt']


def test_what_was_read_needs_no_package_again(prompts):
    before = voices.recordings('en')
    for path in folder(prompts['en']).glob('*.deb'):
        path.unlink()
    after = voices.recordings('en')
    assert before.keys() == after.keys()
    np.testing.assert_array_equal(before['digits/1'], after['digits/1'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'languages': ()}, 'languages: expected'),
        ({'languages': ('en', 'en')}, 'languages: expected'),
        ({'languages': ('en', 'xx')}, 'languages: expected'),
        ({'seconds': 0.0}, 'seconds: expected'),
        ({'test_fraction': 1.0}, 'test_fraction'),
        ({'group': 'colours'}, "group: expected one of digits, general, letters, got 'colours'"),
    ],
)
def test_bad_options_are_named(prompts, options, message):
    with pytest.raises(ValueError, match=message):
        load('voices', **options)


def test_the_real_prompts_are_speech_of_every_language(real):
    real(*voices.LANGUAGES.values(), small=False)
    source = load('voices', group='digits')
    assert {'digits/0', 'digits/9', 'digits/h-1'} <= set(source.labels['prompt'])
    rows = take_all(source.splits['test'])
    level = np.sqrt(np.mean(rows['waveform'] ** 2, axis=1))
    assert (level > 0.01).all() and (level < 0.5).all()
    assert (np.abs(rows['waveform'][:, :400]).max(axis=1) > 0).all()


@pytest.mark.parametrize(('rate', 'channels'), [(16000, 1), (8000, 2)])
def test_other_wav_files_are_refused(rate, channels):
    with pytest.raises(ValueError, match='expected 1 channel, 16 bits, 8000 Hz'):
        sounds.read_wav(wav([0, 1, 2, 3], rate, channels))


def test_wav_samples_come_back():
    samples = [0, 1, -1, 32767, -32768]
    assert sounds.read_wav(wav(samples)).tolist() == samples
    assert sounds.read_wav(wav([])).shape == (0,)


def test_onset_of_silence_is_its_beginning():
    assert sounds.onset(np.zeros(5, np.float32)) == 0
    assert sounds.onset(np.zeros(0, np.float32)) == 0


def test_onset_ignores_what_is_below_a_fraction_of_the_peak():
    waveform = np.zeros(1000, np.float32)
    waveform[300], waveform[500] = 0.01, 1.0
    assert sounds.onset(waveform) == 420


def test_flac_is_read_as_the_mean_of_its_channels_at_8_khz():
    soundfile = pytest.importorskip('soundfile')
    time = np.arange(32000) / 32000
    tone = np.sin(2 * np.pi * 440 * time)
    data = io.BytesIO()
    soundfile.write(data, np.stack([0.8 * tone, 0.2 * tone], axis=1), 32000, format='FLAC')
    found = sounds.read_flac(data.getvalue())
    want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    np.testing.assert_allclose(found[100:-100], want[100:-100], atol=2e-3)
