"""VLAD against the golden numbers, a loop over descriptors, and its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import vlad as module

# Compiled: one program a call in place of one an operation.
OPTIONS = ('mode', 'temperature', 'metric', 'normalize_residuals', 'normalize_descriptors')
vlad = jax.jit(module.vlad, static_argnames=OPTIONS)
vlad_labels = jax.jit(module.vlad_labels, static_argnums=2)
soft_assignment = jax.jit(module.soft_assignment, static_argnums=2)

CASES = {
    'hard': {},
    'hard_no_intra': {'normalize_residuals': False},
    'hard_raw_descs': {'normalize_descriptors': False},
    'hard_euclidean': {'metric': 'euclidean'},
    'soft_standard': {'mode': 'soft'},
    'soft_as_published': {'mode': 'soft_all_residuals'},
}


@pytest.mark.parametrize('case', CASES)
def test_golden(golden, case):
    a = {k[5:]: jnp.asarray(v) for k, v in golden('shared_retrieval').items() if k[:5] == 'vlad/'}
    options, temperature = CASES[case], float(a['soft_temp'])
    code = vlad(a['descriptors'], a['centers'], temperature=temperature, **options)
    np.testing.assert_allclose(code, a[f'{case}/out'], rtol=1e-4, atol=1e-6)
    if case.startswith('hard'):
        labels = vlad_labels(a['descriptors'], a['centers'], options.get('metric', 'cosine'))
        np.testing.assert_array_equal(labels, a[f'{case}/labels'])
    if case == 'soft_standard':
        assigned = soft_assignment(a['descriptors'], a['centers'], temperature)
        np.testing.assert_allclose(assigned, a['soft_standard/assignment'], rtol=1e-4, atol=1e-6)


def sets(seed, n=8, k=3, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)


def by_loops(x, centers, soft, temperature=3.0):
    def unit(v):
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    sums = np.zeros(centers.shape)
    for row in x.astype(float):
        cosines = unit(centers.astype(float)) @ unit(row)
        weights = np.exp(temperature * cosines) / np.exp(temperature * cosines).sum()
        weights = weights if soft else np.eye(len(centers))[np.argmax(cosines)]
        sums += weights[:, None] * (unit(row) - centers)
    sizes = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return unit((sums / sizes).ravel())


@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_agrees_with_a_loop_and_leaves_masked_descriptors_out(mode):
    x, centers = sets(0)
    code = jax.jit(functools.partial(vlad, mode=mode, temperature=3.0))
    expected = by_loops(x, centers, mode == 'soft')
    np.testing.assert_allclose(code(jnp.asarray(x), jnp.asarray(centers)), expected, atol=1e-6)
    mask = np.arange(8) % 3 > 0
    found = code(jnp.asarray(x), jnp.asarray(centers), mask=jnp.asarray(mask))
    np.testing.assert_allclose(found, by_loops(x[mask], centers, mode == 'soft'), atol=1e-6)


def test_the_order_of_descriptors_does_not_matter_and_the_soft_form_tends_to_the_hard_one():
    x, centers = (jnp.asarray(a) for a in sets(1))
    hard = vlad(x, centers)
    np.testing.assert_allclose(vlad(x[::-1], centers), hard, atol=1e-6)
    np.testing.assert_allclose(vlad(x, centers, 'soft', temperature=1e5), hard, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(jnp.square(hard)), 1.0, rtol=1e-6)


def test_zero_descriptors_go_to_the_first_centre_and_no_descriptors_give_zeros():
    x, centers = (jnp.asarray(a) for a in sets(2))
    assert (vlad_labels(jnp.zeros((2, 4)), centers) == 0).all()
    assert (vlad(x, centers, mask=jnp.zeros(8, bool)) == 0).all()
    for mode in ('soft', 'soft_all_residuals'):

        def loss(x, mode=mode):
            return vlad(x, centers, mode)[0]

        assert jnp.isfinite(jax.grad(loss)(x.at[0].set(0.0))).all()


def test_wrong_arguments_are_named():
    x, centers = (jnp.asarray(a) for a in sets(3))
    with pytest.raises(ValueError, match="mode: .* got 'harder'"):
        module.vlad.__wrapped__(x, centers, 'harder')
    with pytest.raises(ValueError, match="metric: .* got 'dot'"):
        module.vlad_labels.__wrapped__(x, centers, 'dot')
