import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from jax.test_util import check_grads

from jaxsep.ops import stft as module
from jaxsep.ops.stft import hann

# Compiled: one program a call in place of one an operation.
TRANSFORM = ('n_fft', 'hop', 'window_length', 'center')
stft = jax.jit(module.stft, static_argnames=(*TRANSFORM, 'padding'))
istft = jax.jit(module.istft, static_argnames=(*TRANSFORM, 'length'))
frames = jax.jit(module.frames, static_argnums=(1, 2))
overlap_add = jax.jit(module.overlap_add, static_argnums=1)
to_polar = jax.jit(module.to_polar, static_argnames='eps')
from_polar = jax.jit(module.from_polar)
TOLERANCE = {'rtol': 1e-5, 'atol': 1e-5}


def options(cfg):
    n_fft, hop, window_length = (int(x) for x in cfg)
    return {'n_fft': n_fft, 'hop': hop, 'window_length': window_length}


def frequencies_last(x):
    return np.swapaxes(x, -1, -2)


def slow_stft(x, n_fft, hop, window_length):
    """The definition, one frame and one frequency at a time."""
    w = np.zeros(n_fft)
    for n in range(window_length):
        w[(n_fft - window_length) // 2 + n] = 0.5 - 0.5 * np.cos(2 * np.pi * n / window_length)
    padded = np.pad(x.astype(np.float64), n_fft // 2, mode='reflect')
    out = np.zeros((1 + len(x) // hop, n_fft // 2 + 1), complex)
    for m in range(out.shape[0]):
        for f in range(out.shape[1]):
            for n in range(n_fft):
                out[m, f] += w[n] * padded[m * hop + n] * np.exp(-2j * np.pi * f * n / n_fft)
    return out


@pytest.mark.parametrize('case', ['a', 'b'])
def test_spectrum_is_that_of_torch(golden, case):
    g = golden('shared_audio')
    spectrum = stft(g[f'stft/{case}/x'], **options(g[f'stft/{case}/cfg']))
    spectrum = np.asarray(spectrum)
    np.testing.assert_allclose(spectrum.real, frequencies_last(g[f'stft/{case}/real']), **TOLERANCE)
    np.testing.assert_allclose(spectrum.imag, frequencies_last(g[f'stft/{case}/imag']), **TOLERANCE)


@pytest.mark.parametrize('case', ['a', 'b'])
def test_inverse_of_a_masked_spectrum_is_that_of_torch(golden, case):
    g = golden('shared_audio')
    x, given = g[f'stft/{case}/x'], options(g[f'stft/{case}/cfg'])
    masked = np.asarray(stft(x, **given)) * frequencies_last(g[f'stft/{case}/mask'])
    found = istft(masked, **given, length=x.shape[-1])
    np.testing.assert_allclose(found, g[f'stft/{case}/istft_masked'], **TOLERANCE)


@pytest.mark.parametrize('case', ['a', 'b'])
def test_magnitude_is_that_of_torch(golden, case):
    g = golden('shared_audio')
    x, given = g[f'stft/{case}/x'], options(g[f'stft/{case}/cfg'])
    polar = to_polar(stft(x, **given), eps=1e-8)
    want = frequencies_last(g[f'stft/{case}/mag_eps1e-8'])
    np.testing.assert_allclose(polar.magnitude, want, **TOLERANCE)


@pytest.mark.parametrize(
    ('t', 'n_fft', 'hop', 'window_length'),
    [(20, 8, 3, 8), (17, 9, 4, 6), (12, 6, 6, 6), (9, 8, 1, 5)],
)
def test_spectrum_is_the_definition(t, n_fft, hop, window_length):
    x = np.random.default_rng(t).normal(size=t).astype(np.float32)
    found = stft(x, n_fft=n_fft, hop=hop, window_length=window_length)
    np.testing.assert_allclose(found, slow_stft(x, n_fft, hop, window_length), rtol=1e-4, atol=1e-5)


def test_spectrum_agrees_with_scipy_in_float64(float64):
    x = np.random.default_rng(0).normal(size=300)
    ours = stft(x, n_fft=32, hop=8, padding='constant')
    assert ours.dtype == jnp.complex128
    theirs = scipy.signal.ShortTimeFFT(hann(32, 32), 8, 1.0, phase_shift=None)
    np.testing.assert_allclose(ours, theirs.stft(x, p0=0, p1=len(ours)).T, atol=1e-12)


@pytest.mark.parametrize(('n_fft', 'hop', 'window_length'), [(16, 4, 16), (15, 5, 15), (16, 4, 12)])
def test_inverse_undoes_the_transform(n_fft, hop, window_length):
    x = np.random.default_rng(0).normal(size=(2, 3, 61)).astype(np.float32)
    given = {'n_fft': n_fft, 'hop': hop, 'window_length': window_length}
    back = istft(stft(x, **given), **given, length=61)
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_without_centring_the_inside_comes_back_and_what_no_window_reaches_is_0():
    x = np.random.default_rng(1).normal(size=40).astype(np.float32)
    spectrum = stft(x, n_fft=8, hop=4, center=False)
    assert spectrum.shape == (9, 5)
    back = np.asarray(istft(spectrum, n_fft=8, hop=4, center=False, length=43))
    np.testing.assert_allclose(back[1:40], x[1:], atol=1e-5)
    assert back[0] == 0 and not back[40:].any()  # the window is 0 at its first sample


def test_transform_of_a_tone_is_at_its_frequency():
    x = np.cos(2 * np.pi * 3 * np.arange(64) / 16).astype(np.float32)
    inside = np.abs(stft(x, n_fft=16, hop=4))[2:-2]
    assert (np.argmax(inside, axis=-1) == 3).all()
    np.testing.assert_allclose(inside[:, 3], 4.0, rtol=1e-5)  # half of the window's sum, 8


def test_overlap_add_is_the_transpose_of_frames():
    rng = np.random.default_rng(2)
    for size, hop, t in [(5, 2, 13), (4, 4, 12), (7, 3, 16), (3, 3, 3)]:
        x = rng.normal(size=(2, t)).astype(np.float32)

        @jax.jit
        def cut_and_back(x, y, size=size, hop=hop):
            cut, transpose = jax.vjp(lambda x: frames(x, size, hop), x)
            return cut, transpose(y)[0]

        y = rng.normal(size=(2, (t - size) // hop + 1, size)).astype(np.float32)
        cut, transposed = map(np.asarray, cut_and_back(x, y))
        for m in range(cut.shape[1]):
            np.testing.assert_array_equal(cut[:, m], x[:, m * hop : m * hop + size])
        added = overlap_add(y, hop)
        assert added.shape[1] == (cut.shape[1] - 1) * hop + size
        np.testing.assert_allclose(added, transposed[:, : added.shape[1]], atol=1e-6)


def test_polar_form_is_the_spectrum_and_finite_at_zero():
    x = np.array([[0.0] * 20, [1e-7] * 20, [3e4] * 20], np.float32)
    spectrum = np.asarray(stft(x, n_fft=8, hop=4))
    polar = jax.device_get(to_polar(spectrum))
    np.testing.assert_allclose(from_polar(polar), spectrum, rtol=1e-5, atol=1e-12)
    loud = np.abs(spectrum) > 1
    np.testing.assert_allclose((polar.cos**2 + polar.sin**2)[loud], 1.0, rtol=1e-5)


def test_gradients_are_finite_in_silence_and_right_elsewhere(float64):
    def energy(x):
        polar = to_polar(stft(x, n_fft=8, hop=4))
        kept = from_polar(polar._replace(magnitude=0.5 * polar.magnitude))
        return jnp.sum(istft(kept, n_fft=8, hop=4, length=20) ** 2) + jnp.sum(polar.magnitude)

    assert np.isfinite(jax.jit(jax.grad(energy))(np.zeros(20))).all()
    x = np.random.default_rng(0).normal(size=20)
    check_grads(jax.jit(energy), (x,), order=1, modes=('rev',))


def test_empty_batches_and_empty_results_are_empty():
    assert stft(jnp.zeros((0, 20)), n_fft=8, hop=4).shape == (0, 6, 5)
    assert istft(jnp.zeros((0, 6, 5), jnp.complex64), n_fft=8, hop=4, length=20).shape == (0, 20)
    assert istft(jnp.zeros((2, 6, 5), jnp.complex64), n_fft=8, hop=4, length=0).shape == (2, 0)
    assert istft(jnp.zeros((2, 0, 5), jnp.complex64), n_fft=8, hop=4, length=3).shape == (2, 3)


def test_half_precision_is_computed_in_float32():
    assert stft(jnp.ones((20,), jnp.bfloat16), n_fft=8, hop=4).dtype == jnp.complex64


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'n_fft': 0}, 'n_fft: expected at least 1'),
        ({'hop': 0}, 'hop: expected 1 to n_fft=8'),
        ({'hop': 9}, 'hop: expected 1 to n_fft=8'),
        ({'window_length': 9}, 'window_length: expected 1 to n_fft=8'),
        ({'padding': 'edge'}, 'padding: expected one of'),
        ({'n_fft': 64}, 'waveform: expected at least 33 samples'),
        ({'n_fft': 64, 'center': False}, 'waveform: expected at least 64 samples'),
    ],
)
def test_bad_arguments_of_the_transform_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        stft(jnp.zeros(20), **{'n_fft': 8, 'hop': 4, **change})


def test_bad_arguments_of_the_inverse_are_named():
    spectrum = jnp.zeros((6, 5), jnp.complex64)
    with pytest.raises(ValueError, match='spectrum: expected 9 frequencies'):
        istft(spectrum, n_fft=16, hop=4, length=20)
    with pytest.raises(ValueError, match='length: expected 0 or more'):
        istft(spectrum, n_fft=8, hop=4, length=-1)
