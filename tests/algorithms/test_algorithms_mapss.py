"""MAPSS from waveforms: front-end against the original code, and laws of the scores."""

import jax
import numpy as np
import pytest

from jaxsep.algorithms import mapss
from jaxsep.data.audio_distortions import KINDS

FEW = ('comb', 'tremolo', 'noisegate', 'clipping')


def voices(length=8000):
    """Two harmonic sounds that come and go, 110 and 190 Hz."""
    time = np.arange(length) / 16_000
    rng = np.random.default_rng(0)
    sounds = [
        sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 15))
        * (0.6 + 0.4 * np.sin(2 * np.pi * speed * time))
        for pitch, speed in ((110, 3), (190, 4))
    ]
    return np.stack(sounds) + 0.01 * rng.standard_normal((2, length))


def options(**changed):
    return {'every': 6, 'kinds': FEW, **changed}


def test_activity_and_frames_are_those_of_the_original_code(golden):
    g = golden('mapss')
    references = np.stack([g['act/ref1'], g['act/ref2']]).astype(np.float64)
    np.testing.assert_allclose(mapss.frame_rms(references)[0], g['act/rms1'], atol=1e-7)
    active = mapss.activity(references)
    np.testing.assert_array_equal(active, g['act/ind'])
    several = active.sum(axis=0) >= 2
    np.testing.assert_array_equal(several, g['act/multi'])
    np.testing.assert_array_equal(mapss.frames_of(references)[:, several], g['raw/embed'])


@pytest.fixture(scope='module')
def scores():
    """Of clean outputs, a little leakage, much leakage, and exchanged outputs."""
    references = voices()
    return [
        mapss.mapss(references, outputs, **options())
        for outputs in (
            references,
            references + 0.1 * references[::-1],
            references + 0.6 * references[::-1],
            references[::-1],
        )
    ]


def test_ps_and_pm_fall_with_leakage(scores):
    for name in ('ps', 'pm'):
        means = [np.nanmean(getattr(found, name)) for found in scores]
        assert means == sorted(means, reverse=True), name
    assert np.nanmean(scores[0].ps) > 0.8 and np.nanmean(scores[3].ps) < 0.3


def test_scores_are_shares_and_radii_are_not_negative(scores):
    for found in scores:
        assert found.scored.any()
        for name, values in found._asdict().items():
            assert values.shape == (4, 2)
            if name != 'scored':
                np.testing.assert_array_equal(np.isnan(values), ~found.scored)
                assert np.all(values[found.scored] >= 0) and np.all(values[found.scored] <= 1), name


def test_loudness_does_not_matter(scores):
    references = voices()
    outputs = references + 0.1 * references[::-1]
    again = mapss.mapss(references * 3, outputs * np.array([[0.02], [5.0]]), **options())
    np.testing.assert_allclose(again.ps, scores[1].ps, atol=1e-5)
    np.testing.assert_allclose(again.pm, scores[1].pm, atol=1e-5)


def test_float32_is_near_float64(scores):
    references = voices()
    found = mapss.mapss(references, references + 0.1 * references[::-1], **options(float64=False))
    np.testing.assert_allclose(found.ps, scores[1].ps, atol=5e-3)
    np.testing.assert_allclose(found.pm, scores[1].pm, atol=5e-3)


def test_all_frames_at_once_as_in_chunks_on_the_host():
    """Of 32 frames every second, as many as a chunk has: no program of its own."""
    references = voices(10_241)
    outputs = references + 0.1 * references[::-1]
    expected = mapss.mapss(references, outputs, **options(every=2))
    points = mapss.points_of(references, outputs, mapss.FrontEnd(2, FEW))
    with jax.enable_x64(True):
        found = mapss.score_frames(points)
    for name, values in found._asdict().items():
        assert values.shape == (16, 2)
        numbers = np.nan_to_num(np.asarray(getattr(expected, name), np.float64))
        np.testing.assert_allclose(values, numbers, atol=1e-9, err_msg=name)


def test_rows_with_the_same_references_have_the_points_they_have_alone():
    references = np.stack([voices(), voices(), voices()[::-1]])
    outputs = references + np.array([0.1, 0.5, 0.1])[:, None, None] * references[:, ::-1]
    given = mapss.FrontEnd(6, (*FEW, 'noise'), seed=3)
    rows = mapss.points_of_rows(references, outputs, given)
    for place in range(3):
        alone = mapss.points_of(references[place], outputs[place], given)
        for found, expected in zip(rows, alone, strict=True):
            np.testing.assert_array_equal(found[place], expected)


def test_only_active_sources_count():
    """A third source is silent for a while: the others are scored as if it were not there."""
    references = np.concatenate([voices(), voices()[:1, ::-1]])
    references[2, 3000:] = 0
    references[1, 5000:] = 0
    outputs = references + 0.1 * references[[1, 2, 0]]
    found = mapss.mapss(references, outputs, **options(every=4))
    two = mapss.mapss(references[:2], outputs[:2], **options(every=4))
    only = found.scored[:, 0] & found.scored[:, 1] & ~found.scored[:, 2]
    assert only.any() and not found.scored[-1].any() and np.isnan(found.ps[-1]).all()
    # The noise differs from source to source, but none is among these distortions.
    np.testing.assert_allclose(found.ps[only, :2], two.ps[only], atol=1e-9)
    np.testing.assert_allclose(found.pm[only, :2], two.pm[only], atol=1e-9)


def test_every_kth_frame_is_one_of_all_frames(scores):
    references = voices()
    outputs = references + 0.1 * references[::-1]
    found = mapss.mapss(references, outputs, **options(every=3))
    np.testing.assert_allclose(found.ps[::2], scores[1].ps, atol=1e-9)


def test_silence_is_never_active():
    references = voices()
    references[1] = 0
    found = mapss.mapss(references, references, **options())
    assert not found.scored.any() and np.isnan(found.ps).all()
    silent = mapss.mapss(voices(), np.zeros((2, 8000)), **options())
    assert np.isfinite(silent.ps[silent.scored]).all() and silent.scored.any()


def test_another_rate_is_resampled(scores):
    references = voices()[:, ::2]  # at 8 kHz
    found = mapss.mapss(references, references, rate=8000, **options())
    assert found.ps.shape == scores[0].ps.shape
    assert np.nanmean(found.ps) > 0.8


def test_bands_are_logarithms_that_shift_with_loudness():
    frames = np.random.default_rng(0).standard_normal((3, 320))
    bands = mapss.log_mel(frames)
    assert bands.shape == (3, 40) and np.isfinite(mapss.log_mel(0 * frames)).all()
    np.testing.assert_allclose(mapss.log_mel(10 * frames) - bands, 2 * np.log(10), atol=1e-9)
    tone = np.sin(2 * np.pi * 3000 * np.arange(320) / 16_000)
    low, high = (np.argmax(mapss.log_mel(x)) for x in (np.sin(np.arange(320) / 10), tone))
    assert low < high


@pytest.mark.parametrize('encoder', ['raw', 'log_mel'])
def test_shapes_are_known_before_the_points(encoder):
    given = mapss.FrontEnd(5, KINDS, encoder)
    expected = mapss.shapes_of(2, 8000, given)
    for found, shape in zip(mapss.points_of(voices(), voices(), given), expected, strict=True):
        assert found.shape == shape.shape and found.dtype == shape.dtype


@pytest.mark.parametrize(
    ('changed', 'name'),
    [
        ({'every': 0}, 'every'),
        ({'kinds': ('flanger',)}, 'kinds'),
        ({'encoder': 'wav2vec2'}, 'encoder'),
        ({'rate': 0}, 'rate'),
        ({'alpha': 2.0}, 'alpha'),
        ({'time': 0}, 'time'),
        ({'cutoff': 1.5}, 'cutoff'),
        ({'delta': 0.0}, 'delta'),
    ],
)
def test_wrong_options_are_named(changed, name):
    with pytest.raises(ValueError, match=f'^{name}: expected'):
        mapss.mapss(voices(), voices(), **options(**changed))


def test_wrong_shapes_are_named():
    for references, outputs in (
        (voices()[:1], voices()[:1]),
        (voices(), voices()[:, 1:]),
        (voices(), voices()[0]),
    ):
        with pytest.raises(ValueError, match='^references, outputs: expected the same'):
            mapss.mapss(references, outputs, **options())
    with pytest.raises(ValueError, match='^references: expected at least 6400 samples'):
        mapss.mapss(voices(6000), voices(6000), **options())
