"""The banks of distortions against the original code, and what each of them does."""

import numpy as np
import pytest

from jaxsep.data import audio_distortions as bank
from jaxsep.data.stretching import pitch_shift, time_stretch

IN_GOLDEN = (
    'notch', 'comb', 'tremolo', 'harmonic', 'reverb', 'noisegate', 'lowpass', 'highpass', 'echo',
    'clipping',
)  # fmt: skip
NOT_IN_FRAMES = ('reverb', 'echo')
TIME = np.arange(8000) / 16_000


def voice(length=3200, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(length) / 16_000
    tones = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    return 0.1 * tones + 0.01 * rng.standard_normal(length)


def test_whole_signals_are_distorted_as_by_the_original_code(golden):
    g = golden('mapss')
    copies = bank.ps_bank(g['dist/ref'], kinds=IN_GOLDEN)[:, ::3]  # every third sample is kept
    np.testing.assert_allclose(copies, g['dist/ps'], atol=1e-6)


def test_frames_are_distorted_as_by_the_original_code(golden):
    g = golden('mapss')
    kinds = [kind for kind in IN_GOLDEN if kind not in ('notch', *NOT_IN_FRAMES)]
    copies = bank.pm_bank(g['dist/ref'], kinds=kinds)[:, ::3]
    np.testing.assert_allclose(copies, g['dist/pm'], atol=1e-6)


@pytest.mark.parametrize('kind', IN_GOLDEN)
def test_there_are_as_many_copies_as_in_the_original_code(golden, kind):
    g = golden('mapss')
    for make, name in ((bank.ps_bank, 'ps'), (bank.pm_bank, 'pm')):
        assert len(make(g['dist/ref'], kinds=(kind,))) == g[f'dist/count_{name}/{kind}']


def test_banks_are_their_kinds_one_after_the_other():
    x = voice()
    for make in (bank.ps_bank, bank.pm_bank):
        parts = [make(x, kinds=(kind,)) for kind in bank.KINDS]
        np.testing.assert_array_equal(make(x), np.concatenate(parts))
        np.testing.assert_array_equal(make(x, kinds=bank.KINDS[::-1]), make(x))
        assert np.isfinite(make(x)).all()
    assert [len(part) for part in parts][10] == 0  # no echo in frames


@pytest.mark.parametrize('kind', sorted(bank.MOST_OF_A_KIND))
def test_a_bank_of_frames_has_no_more_copies_than_it_may(kind):
    rng = np.random.default_rng(0)
    for x in (voice(), rng.standard_normal(8000), np.zeros(640), np.ones(640)):
        assert len(bank.pm_bank(x, kinds=(kind,))) <= bank.most_copies((kind,))


def test_noise_comes_from_the_seed_at_the_level_it_says():
    x = voice(8000)
    one, same, other = (bank.ps_bank(x, kinds=('noise',), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    added = one - x
    for place, (color, snr) in enumerate(bank.NOISES):
        if color == 'white':
            ratio = 10 * np.log10(np.mean(x**2) / np.mean(added[place] ** 2))
            np.testing.assert_allclose(ratio, snr, atol=0.3)


def test_noise_in_frames_is_never_weaker_than_15_db():
    x = voice(640)
    added = (bank.pm_bank(x, kinds=('noise',)) - x).reshape(-1, 2, 320)
    power = np.mean(x.reshape(2, 320) ** 2, axis=1)
    ratios = 10 * np.log10(power / np.mean(added**2, axis=2))
    expected = [[min(snr, 15)] * 2 for _, snr in bank.NOISES]
    np.testing.assert_allclose(ratios, expected, atol=1e-6)


def test_frames_are_distorted_one_by_one():
    x, y = voice(), voice()
    y[1600:] = voice(seed=1)[:1600]
    kinds = ('comb', 'tremolo', 'harmonic', 'noisegate', 'clipping', 'pitch_shift', 'vibrato')
    before, after = (bank.pm_bank(z, kinds=kinds) for z in (x, y))
    np.testing.assert_array_equal(before[:, :1600], after[:, :1600])
    assert not np.allclose(before[:, 1600:], after[:, 1600:])


def test_silence_is_distorted_into_finite_numbers():
    for make in (bank.ps_bank, bank.pm_bank):
        assert np.isfinite(make(np.zeros(6400))).all()


def test_frames_are_padded_to_whole_ones():
    assert bank.pm_bank(voice(700), kinds=('comb',)).shape == (5, 960)


@pytest.mark.parametrize('make', [bank.ps_bank, bank.pm_bank])
@pytest.mark.parametrize('kinds', [(), ('comb', 'comb'), ('flanger',)])
def test_wrong_kinds_are_named(make, kinds):
    with pytest.raises(ValueError, match='^kinds: expected'):
        make(voice(), kinds=kinds)


@pytest.mark.parametrize('x', [np.zeros(1), np.full(320, np.nan)])
def test_wrong_references_are_named(x):
    with pytest.raises(ValueError, match='^reference: expected'):
        bank.ps_bank(x)


def strongest(x):
    """Hz of the strongest frequency of 5000 samples in the middle of a signal."""
    return np.argmax(np.abs(np.fft.rfft(x[1000:6000] * np.hanning(5000), 16_000)))


@pytest.mark.parametrize('semitones', [-4.0, -2.0, 2.0, 4.0, 12.0])
def test_a_shifted_tone_has_the_other_pitch_and_the_same_length(semitones):
    tone = np.sin(2 * np.pi * 440 * TIME)
    shifted = pitch_shift(tone, semitones)
    assert shifted.shape == tone.shape
    np.testing.assert_allclose(strongest(shifted), 440 * 2 ** (semitones / 12), atol=2)
    np.testing.assert_allclose(np.std(shifted[2000:6000]), np.std(tone), rtol=0.15)


def test_a_stretched_tone_keeps_its_pitch_and_ends_earlier():
    tone = np.sin(2 * np.pi * 440 * TIME)
    faster = time_stretch(tone, 1.25)
    assert faster.shape == tone.shape
    np.testing.assert_allclose(strongest(faster), 440, atol=2)
    assert np.std(faster[5000:6000]) > 0.6 and not faster[6400:].any()
    np.testing.assert_allclose(time_stretch(tone, 1.0)[100:-100], tone[100:-100], atol=1e-9)


def test_signals_are_stretched_one_by_one():
    x, rates = np.stack([voice(640), voice(640, 1)]), np.array([1.05, 0.9])
    together = time_stretch(x, rates)
    for row, rate, expected in zip(x, rates, together, strict=True):
        np.testing.assert_allclose(time_stretch(row, rate), expected, atol=1e-12)


def test_wrong_rates_and_lengths_are_named():
    with pytest.raises(ValueError, match='^rate: expected more than 0'):
        time_stretch(np.zeros(320), 0.0)
    for change in (time_stretch, pitch_shift):
        with pytest.raises(ValueError, match='^x: expected at least 16'):
            change(np.zeros(8), 1.0)
