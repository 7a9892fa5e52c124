"""Loudness against the original code's meter and the standard's calibration."""

import numpy as np
import pytest

from jaxsep.data.loudness import integrated_loudness, normalize_loudness


def test_the_original_code_agrees(golden):
    g = golden('mapss')
    ours = normalize_loudness(g['loud/x'], 16_000)[::7]  # every 7th sample is kept
    np.testing.assert_allclose(ours, g['loud/y'], atol=1e-6)


@pytest.mark.parametrize('rate', [16_000, 48_000])
def test_a_full_sine_of_997_hz_has_3_lufs_less_than_0(rate):
    """The calibration of BS.1770, -3.01 LUFS in one channel; its filters are for 48 kHz, ours for any rate."""
    x = np.sin(2 * np.pi * 997 * np.arange(rate) / rate)
    np.testing.assert_allclose(integrated_loudness(x, rate), -3.01, atol=0.1)


def test_twice_the_amplitude_is_6_db_and_low_sounds_count_less():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 16_000)) * 0.05
    time = np.arange(16_000) / 16_000
    first, doubled = integrated_loudness(np.stack([x[0], 2 * x[0]]), 16_000)
    np.testing.assert_allclose(doubled - first, 20 * np.log10(2), atol=1e-9)
    low, high = (
        integrated_loudness(0.1 * np.sin(2 * np.pi * f * time), 16_000) for f in (20, 3000)
    )
    assert high - low > 8


def test_silence_between_sounds_does_not_count():
    rng = np.random.default_rng(0)
    sound = rng.standard_normal(64_000) * 0.1
    padded = np.concatenate([sound, np.zeros(256_000)])  # 7 dB less, if it counted
    np.testing.assert_allclose(
        integrated_loudness(padded, 16_000), integrated_loudness(sound, 16_000), atol=0.3
    )


def test_signals_come_out_at_the_target_or_at_a_peak_of_1():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 16_000)) * np.array([[1e-3], [0.1], [10.0]])
    np.testing.assert_allclose(
        integrated_loudness(normalize_loudness(x, 16_000), 16_000), -23, atol=1e-6
    )
    click = np.zeros(16_000)
    click[::4000] = 1.0
    assert np.max(np.abs(normalize_loudness(click, 16_000, target=0.0))) == 1.0


def test_silence_stays_silence():
    x = np.zeros((2, 8000))
    assert np.all(integrated_loudness(x, 16_000) == -np.inf)
    assert not normalize_loudness(x, 16_000).any()


def test_too_short_signals_are_named():
    with pytest.raises(ValueError, match='^waveforms: expected at least 0.4 s'):
        integrated_loudness(np.zeros(6399), 16_000)
