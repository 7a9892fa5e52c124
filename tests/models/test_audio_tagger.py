import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.audio_tagger import AudioTagger
from jaxsep.ops.mel import mel_filters


@pytest.fixture(scope='module')
def tagger():
    net = AudioTagger(3, 8000, n_fft=32, hop=16, bands=8, widths=(4, 4))
    return net, net.init(jax.random.key(0), jnp.zeros((1, 160)))


def test_frames_are_one_every_hop_and_the_clip_is_their_largest(tagger):
    net, variables = tagger
    heard = net.apply(variables, jax.random.normal(jax.random.key(1), (2, 160)))
    assert heard.frames.shape == (2, 10, 3) and heard.embedding.shape == (2, 4)
    np.testing.assert_array_equal(heard.logits, heard.frames.max(axis=1))


def test_a_later_sound_is_heard_later(tagger):
    net, variables = tagger
    burst = jax.random.normal(jax.random.key(2), (32,))
    early, late = (jnp.zeros((1, 320)).at[0, at : at + 32].set(burst) for at in (96, 192))
    a, b = (net.apply(variables, x).frames[0] for x in (early, late))
    np.testing.assert_allclose(a[3:11], b[9:17], atol=1e-5)
    assert np.abs(a - b).max() > 1e-3


def test_silence_and_loudness_are_finite(tagger):
    net, variables = tagger

    grad = jax.jit(jax.grad(lambda x: jnp.sum(net.apply(variables, x).logits)))
    for level in (0.0, 1e-9, 1e4):
        assert np.isfinite(grad(level * jnp.ones((1, 160)))).all()


def slow_filters(rate, n_fft, bands, lowest, highest):
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    corners = []
    for i in range(bands + 2):
        at = mel(lowest) + (mel(highest) - mel(lowest)) * i / (bands + 1)
        corners.append(700 * (10 ** (at / 2595) - 1))
    out = np.zeros((n_fft // 2 + 1, bands))
    for f in range(n_fft // 2 + 1):
        hz = f * rate / n_fft
        for k in range(bands):
            a, b, c = corners[k : k + 3]
            out[f, k] = max(min((hz - a) / (b - a), (c - hz) / (c - b)), 0)
    return out


def test_filters_are_triangles_on_the_mel_scale():
    found = mel_filters(8000, 256, 12, 100.0, 3500.0)
    np.testing.assert_allclose(found, slow_filters(8000, 256, 12, 100.0, 3500.0), atol=1e-12)


def test_no_band_is_empty_however_narrow():
    filters = mel_filters(8000, 32, 20)
    assert (filters.sum(axis=0) > 0).all() and filters.max() <= 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_bands': 0}, 'num_bands: expected at least 1'),
        ({'lowest': 5000.0}, 'lowest, highest: expected rising'),
        ({'highest': 5000.0}, 'lowest, highest: expected rising'),
        ({'lowest': 900.0, 'highest': 800.0}, 'lowest, highest: expected rising'),
    ],
)
def test_bad_bands_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        mel_filters(**{'sample_rate': 8000, 'n_fft': 64, 'num_bands': 4, **options})
