"""InfoNCE in one direction and both, against the golden numbers and its laws."""

import functools

import jax
import numpy as np
from jax.test_util import check_grads

from jaxsep.losses.info_nce import info_nce

# Compiled: one program a call in place of one an operation.
OPTIONS = ('temperature', 'symmetric', 'chunk_size')
compiled = jax.jit(info_nce, static_argnames=OPTIONS)


def test_golden_value_and_gradient(golden, float64):
    a = {k[8:]: v for k, v in golden('shared_retrieval').items() if k[:8] == 'infonce/'}
    loss = functools.partial(compiled, temperature=float(a['temperature']))
    value, grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(a['a'], a['b'])
    np.testing.assert_allclose(value, a['loss_a2b'], rtol=1e-12)
    np.testing.assert_allclose(grads[0], a['grad_a'], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(grads[1], a['grad_b'], rtol=1e-9, atol=1e-13)
    both = loss(a['a'], a['b'], symmetric=True)
    np.testing.assert_allclose(both, a['loss_symmetric'], rtol=1e-12)
    other = loss(a['b'], a['a'])
    np.testing.assert_allclose(both, 0.5 * (value + other), rtol=1e-12)
    np.testing.assert_allclose(loss(a['a'], a['b'], chunk_size=2), value, rtol=1e-12)
    check_grads(loss, (a['a'], a['b']), order=1, modes=['rev'])


def test_one_pair_and_zero_vectors_are_finite():
    one = np.ones((1, 3), np.float32)
    assert compiled(one, one) == 0
    loss = jax.jit(jax.value_and_grad(functools.partial(info_nce, temperature=0.011)))
    value, grad = jax.device_get(loss(np.zeros((4, 3), np.float32), np.eye(4, 3, dtype=np.float32)))
    np.testing.assert_allclose(value, np.log(4), rtol=1e-6)
    assert (grad == 0).all()


def test_one_device_and_eight_agree(same_on_eight_devices):
    rows = np.random.default_rng(0).normal(size=(2, 16, 3)).astype(np.float32)
    same_on_eight_devices(info_nce, *rows)
