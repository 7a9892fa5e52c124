"""Ideal masks in the time-frequency plane: what part of a mixture's spectrum is whose.

Spectra of the sources are stacked in front, [n, *s]; masks are [n, *s], real. Where nothing sounds,
masks are 0. All have finite gradients.
"""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from jaxsep.ops.geometry import sqrt

EPS = 1e-8


def squared_magnitude(spectra: Complex[Array, '...']) -> Float[Array, '...']:
    """re^2 + im^2."""
    return jnp.square(jnp.real(spectra)) + jnp.square(jnp.imag(spectra))


def magnitude(spectra: Complex[Array, '...']) -> Float[Array, '...']:
    """|S|, with gradient 0 (not NaN) at 0."""
    return sqrt(squared_magnitude(spectra))


def ratio_mask(sources: Complex[Array, 'n *s']) -> Float[Array, 'n *s']:
    """IRM: |S_i| / (sum_j |S_j| + 1e-8)."""
    size = magnitude(sources)
    return size / (jnp.sum(size, axis=0, keepdims=True) + EPS)


def wiener_mask(sources: Complex[Array, 'n *s']) -> Float[Array, 'n *s']:
    """|S_i|^2 / (sum_j |S_j|^2 + 1e-8)."""
    energy = squared_magnitude(sources)
    return energy / (jnp.sum(energy, axis=0, keepdims=True) + EPS)


def root_wiener_mask(sources: Complex[Array, 'n *s']) -> Float[Array, 'n *s']:
    """The square root of `wiener_mask`."""
    return sqrt(wiener_mask(sources))


def binary_mask(sources: Complex[Array, 'n *s']) -> Float[Array, 'n *s']:
    """IBM: 1 for the loudest source (ties: the first), else 0; without gradient."""
    energy = squared_magnitude(sources)
    loudest = jnp.argmax(energy, axis=0)[None]
    places = jnp.arange(len(sources)).reshape(-1, *[1] * (sources.ndim - 1))
    return (places == loudest).astype(energy.dtype)


def phase_sensitive_mask(
    sources: Complex[Array, 'n *s'], mixture: Complex[Array, '*s']
) -> Float[Array, 'n *s']:
    """PSM: |S_i| / (|X| + 1e-8) cos(angle S_i - angle X), cut to [0, 1]; 0 where X is 0.

    The cosine is re(S_i conj X) / (|S_i| |X|); no angle is formed.
    """
    size = magnitude(mixture)[None]
    inner = jnp.real(sources * jnp.conj(mixture)[None])
    sounds = size > 0
    ratio = inner / jnp.where(sounds, size * (size + EPS), 1.0)
    return jnp.clip(jnp.where(sounds, ratio, 0.0), 0.0, 1.0)


def ratio_to_mixture(
    sources: Complex[Array, 'n *s'], mixture: Complex[Array, '*s'], largest: float = 5.0
) -> Float[Array, 'n *s']:
    """|S_i| / (|X| + 1e-10), cut at `largest`: what mix-and-separate learns."""
    return jnp.clip(magnitude(sources) / (magnitude(mixture)[None] + 1e-10), 0.0, largest)
