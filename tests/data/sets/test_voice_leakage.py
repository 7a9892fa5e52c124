"""Pairs of prompts with a flaw of an exact level."""

import numpy as np
import pytest

from jaxsep.data import source
from jaxsep.data.sets import voice_leakage, voices
from jaxsep.metrics.separation import si_sdr


@pytest.fixture
def prompts(monkeypatch):
    """Six invented prompts in each of two languages, for the packages that may not be there."""
    rng = np.random.default_rng(0)
    made = {
        language: {f'p{i}': rng.standard_normal(9000).astype(np.float32) * 0.1 for i in range(12)}
        for language in ('en', 'fr')
    }
    monkeypatch.setattr(voices, 'recordings', made.__getitem__)
    return {'languages': ('en', 'fr'), 'seconds': 0.5}


def test_the_level_is_the_si_sdr_of_both_kinds(prompts):
    levels = (20.0, 5.0, -3.0)
    made = source.load('voice_leakage', levels=levels, num_pairs=2, **prompts)
    for split in made.splits.values():
        rows = source.take_all(split)
        assert rows['true_waveform'].shape == rows['waveform'].shape == (14, 2, 8000)
        ratios = si_sdr(rows['true_waveform'], rows['waveform'])
        flawed = rows['kind'] > 0
        expected = np.array(levels)[rows['level'][flawed]]
        np.testing.assert_allclose(ratios[flawed], np.stack([expected] * 2, axis=1), atol=1e-3)
        clean = ~flawed
        np.testing.assert_array_equal(rows['waveform'][clean], rows['true_waveform'][clean])
        assert np.all(rows['level'][clean] == len(levels))


def test_leakage_is_of_the_other_source_and_noise_of_none(prompts):
    rows = source.take_all(
        source.load('voice_leakage', levels=(0.0,), num_pairs=3, **prompts).splits['test']
    )
    truth, added = rows['true_waveform'], rows['waveform'] - rows['true_waveform']
    product = np.sum(added * truth[:, ::-1], axis=2)
    size = np.linalg.norm(added, axis=2) * np.linalg.norm(truth, axis=2)
    likeness = np.abs(product) / np.maximum(size, 1e-9)
    assert np.all(likeness[rows['kind'] == 1] > 0.99)
    assert np.all(likeness[rows['kind'] == 2] < 0.1)


def test_each_pair_comes_in_all_conditions_and_splits_share_no_prompt(prompts):
    made = source.load('voice_leakage', levels=(10.0,), num_pairs=3, **prompts)
    assert made.labels['condition'] == ('clean', 'leakage 10 dB', 'noise 10 dB')
    assert made.labels['level'] == ('10 dB', 'clean')
    both = []
    for split in made.splits.values():
        rows = source.take_all(split)
        np.testing.assert_array_equal(rows['condition'], [0, 1, 2] * 3)
        assert len(np.unique(rows['true_waveform'][:, 0, :50], axis=0)) == 3
        both.append(rows['true_waveform'].reshape(-1, 8000))
    products = np.abs(both[0] @ both[1].T) / (8000 * 0.05**2)
    assert products.max() < 0.5


def test_the_seed_decides_the_pairs(prompts):
    first, same, other = (
        source.take_all(source.load('voice_leakage', seed=s, num_pairs=2, **prompts).splits['test'])
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first['waveform'], same['waveform'])
    assert not np.allclose(first['waveform'], other['waveform'])


def test_music_takes_the_place_of_the_second_voice(prompts, monkeypatch):
    piece = np.sin(np.arange(20_000) / 7).astype(np.float32)
    monkeypatch.setattr(voice_leakage, 'music', lambda: {'piece': piece})
    made = source.load('voice_leakage', partner='music', kinds=('clean',), num_pairs=2, **prompts)
    spectrum = np.abs(np.fft.rfft(source.take_all(made.splits['test'])['true_waveform'][:, 1]))
    places = np.argmax(spectrum, axis=1)
    np.testing.assert_allclose(places, 8000 / (2 * np.pi * 14), atol=1)


@pytest.mark.parametrize(
    ('options', 'name'),
    [
        ({'kinds': ()}, 'kinds'),
        ({'kinds': ('echo',)}, 'kinds'),
        ({'levels': (1.0, 1.0)}, 'levels'),
        ({'levels': (np.inf,)}, 'levels'),
        ({'levels': ()}, 'levels'),
        ({'partner': 'dog'}, 'partner'),
        ({'languages': ('en',)}, 'languages'),
        ({'num_pairs': 0}, 'num_pairs'),
        ({'num_pairs': 7}, 'num_pairs'),
    ],
)
def test_wrong_options_are_named(prompts, options, name):
    with pytest.raises(ValueError, match=f'^{name}: expected'):
        voice_leakage.load(**{**prompts, **options})


def test_the_real_prompts(real):
    real(*(voices.LANGUAGES[language] for language in ('en', 'fr', 'it')), small=False)
    made = source.load('voice_leakage', levels=(10.0,), num_pairs=4)
    rows = source.take_all(made.splits['test'])
    assert rows['waveform'].shape == (12, 2, 24_000)
    np.testing.assert_allclose(
        np.sqrt(np.mean(rows['true_waveform'] ** 2, axis=2)), 0.05, rtol=1e-4
    )


def test_computed_pairs_need_no_package(monkeypatch):
    monkeypatch.setattr(voices, 'load', None)  # would fail
    options = dict(sources='computed', levels=(10.0,), num_pairs=2, seconds=0.5)
    made = source.load('voice_leakage', **options)
    rows = source.take_all(made.splits['test'])
    assert rows['true_waveform'].shape == (6, 2, 8000)
    leaking = rows['kind'] > 0
    ratios = si_sdr(rows['true_waveform'][leaking], rows['waveform'][leaking])
    np.testing.assert_allclose(ratios, 10.0, atol=1e-3)
    with pytest.raises(ValueError, match="sources: expected one of prompts, computed, got 'songs'"):
        source.load('voice_leakage', **(options | {'sources': 'songs'}))
