import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import spectral_masks

# Compiled: one program a call in place of one an operation.
masks = types.SimpleNamespace(
    ratio_mask=jax.jit(spectral_masks.ratio_mask),
    wiener_mask=jax.jit(spectral_masks.wiener_mask),
    root_wiener_mask=jax.jit(spectral_masks.root_wiener_mask),
    binary_mask=jax.jit(spectral_masks.binary_mask),
    phase_sensitive_mask=jax.jit(spectral_masks.phase_sensitive_mask),
    ratio_to_mixture=jax.jit(spectral_masks.ratio_to_mixture),
)
OF_SOURCES = {
    'irm_mag': masks.ratio_mask,
    'irm_wiener': masks.wiener_mask,
    'irm_sqrt': masks.root_wiener_mask,
    'ibm': masks.binary_mask,
}
OF_BOTH = {'psm': masks.phase_sensitive_mask, 'ratio_to_mix_clip5': masks.ratio_to_mixture}


@pytest.fixture
def spectra(golden, float64):
    g = golden('shared_audio')
    sources = g['mask/src_real'] + 1j * g['mask/src_imag']
    return g, sources, sources.sum(axis=0)


@pytest.mark.parametrize('name', OF_SOURCES)
def test_masks_of_the_sources_are_the_golden_ones(spectra, name):
    g, sources, _ = spectra
    np.testing.assert_allclose(OF_SOURCES[name](sources), g[f'mask/{name}'], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('name', OF_BOTH)
def test_masks_with_the_mixture_are_the_golden_ones(spectra, name):
    g, sources, mixture = spectra
    found = OF_BOTH[name](sources, mixture)
    np.testing.assert_allclose(found, g[f'mask/{name}'], rtol=1e-6, atol=1e-7)


def test_masks_are_the_equations_one_bin_at_a_time():
    rng = np.random.default_rng(0)
    s = (rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))).astype(np.complex64)
    x = s.sum(axis=0)
    for i in range(2):
        for k in range(4):
            size, total = abs(s[i, k]), abs(s[0, k]) + abs(s[1, k])
            cos = np.cos(np.angle(s[i, k]) - np.angle(x[k]))
            want = {
                masks.ratio_mask: size / total,
                masks.wiener_mask: size**2 / (abs(s[0, k]) ** 2 + abs(s[1, k]) ** 2),
                masks.binary_mask: float(size == max(abs(s[0, k]), abs(s[1, k]))),
            }
            for mask, value in want.items():
                np.testing.assert_allclose(np.asarray(mask(s))[i, k], value, rtol=1e-5)
            both = {
                masks.phase_sensitive_mask: np.clip(size / abs(x[k]) * cos, 0, 1),
                masks.ratio_to_mixture: min(size / abs(x[k]), 5),
            }
            for mask, value in both.items():
                found = np.asarray(mask(s, x))[i, k]
                np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6)


def test_shares_sum_to_one_where_something_sounds():
    re, im = np.random.default_rng(1).normal(size=(2, 3, 5))
    sources = (re + 1j * im).astype(np.complex64)
    for mask in (masks.ratio_mask, masks.wiener_mask, masks.binary_mask):
        np.testing.assert_allclose(np.sum(mask(sources), axis=0), 1.0, rtol=1e-5)


def test_loudest_of_equals_is_the_first():
    assert masks.binary_mask(jnp.ones((3, 2), jnp.complex64))[:, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize('name', [*OF_SOURCES, *OF_BOTH])
def test_silence_gives_finite_masks_and_gradients(name):
    @jax.jit
    def total(re, im):
        sources = jax.lax.complex(re, im)
        if name in OF_SOURCES:
            return jnp.sum(OF_SOURCES[name](sources))
        return jnp.sum(OF_BOTH[name](sources, jnp.sum(sources, axis=0)))

    silent = np.zeros((2, 3), np.float32)
    # The mixture is 0 in the first bin.
    opposite = np.array([[1.0, 0.0, 1e4], [-1.0, 0.0, 1e-9]], np.float32)
    value_and_grad = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    for re in (silent, opposite):
        value, grads = value_and_grad(re, silent)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)
    assert name == 'ibm' or total(silent, silent) == 0
