"""Softmax of large logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import softmax


@pytest.mark.parametrize('name', ['softmax', 'log_softmax'])
def test_ordinary_logits_give_what_jax_gives(name):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32) * 10)

    def value_and_gradient(function):
        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(function(x)[:, 0])))(x)

    ours, theirs = (value_and_gradient(getattr(room, name)) for room in (softmax, jax.nn))
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('scale', [1e9, 1e20, 1e30])
def test_large_logits_over_a_temperature_are_finite(scale):
    rng = np.random.default_rng(1)
    x = (scale * (1 + 1e-6 * rng.normal(size=(200, 4)))).astype(np.float32)

    def entropy(x, temperature):
        logits = x / temperature
        return -jnp.sum(softmax.softmax(logits) * softmax.log_softmax(logits), axis=-1)

    found = jax.jit(entropy)(x, 0.1)
    assert np.isfinite(found).all()
    assert (found >= 0).all() and (found <= np.log(4) + 1e-6).all()
