import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxsep.metrics import dictionaries


def test_coherence_and_babel_function_agree_with_the_library(golden):
    data = golden('mp_sae')
    atoms = jnp.asarray(data['W_normalised'])
    got = dictionaries.coherence(atoms)
    np.testing.assert_allclose(got, data['metrics/collinearity_max'], rtol=1e-6)
    np.testing.assert_allclose(got, data['coherence/mu'], rtol=1e-5)
    got = dictionaries.babel(atoms, 5)
    np.testing.assert_allclose(got, data['coherence/babel'], rtol=1e-5)


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_orthogonal_atoms_have_no_coherence_and_a_single_one_neither():
    basis = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0], jnp.float32)
    np.testing.assert_allclose(dictionaries.coherence(basis), 0, atol=1e-6)
    np.testing.assert_allclose(dictionaries.babel(basis, 4), 0, atol=1e-6)
    assert dictionaries.coherence(basis[:1]) == 0
    with pytest.raises(ValueError, match='largest: expected 1 to 4'):
        dictionaries.babel(basis, 5)


def test_coherence_of_used_atoms_looks_at_pairs_with_two_codes_only():
    rng = np.random.default_rng(1)
    atoms = unit(rng, 6, 4, 3)
    codes = rng.normal(size=(6, 4)) * (rng.random((6, 4)) < 0.6)
    codes[0], codes[1] = 0, [0, 2, 0, 0]
    want = []
    for z, w in zip(codes, atoms, strict=True):
        used = np.flatnonzero(z)
        pairs = [abs(w[i] @ w[j]) for i in used for j in used if i < j]
        want.append(max(pairs, default=0.0))
    got = dictionaries.coherence_of_used(*(jnp.asarray(x, jnp.float32) for x in (codes, atoms)))
    np.testing.assert_allclose(got, want, atol=5e-6)  # the library's 1e-6 in the norms


def test_children_orthogonal_to_their_own_parent_may_resemble_one_another():
    parents = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    children = jnp.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.6, 0.8]])
    within, across = dictionaries.conditional_orthogonality(parents, children, jnp.array([0, 0, 1]))
    np.testing.assert_allclose(within, 0, atol=1e-6)
    np.testing.assert_allclose(across, 0.7, rtol=1e-5)
    _, across = dictionaries.conditional_orthogonality(parents, children, jnp.array([0, 0, 0]))
    assert across == 0


def test_features_are_matched_as_scipy_matches_them():
    rng = np.random.default_rng(2)
    features, atoms = unit(rng, 4, 3), unit(rng, 7, 3)
    cosines = np.abs(features @ atoms.T)
    rows, columns = linear_sum_assignment(-cosines)
    features, atoms = (jnp.asarray(x, jnp.float32) for x in (features, atoms))
    best, matched = (
        f(features, atoms) for f in (dictionaries.best_cosines, dictionaries.matched_cosines)
    )
    np.testing.assert_allclose(best, cosines.max(1), rtol=1e-5)
    np.testing.assert_allclose(np.sum(matched), cosines[rows, columns].sum(), rtol=1e-5)
    assert np.all(np.asarray(matched) <= np.asarray(best) + 1e-6)
    with pytest.raises(ValueError, match='dictionary: expected at least the 7 features, got 4'):
        dictionaries.matched_cosines(atoms, features)


def test_signs_and_order_of_atoms_do_not_matter():
    rng = np.random.default_rng(3)
    features = jnp.asarray(unit(rng, 4, 3), jnp.float32)
    signs = jnp.asarray(rng.choice([-2.0, 2.0], 4), jnp.float32)
    atoms = jnp.zeros((7, 3)).at[2:6].set((features * signs[:, None])[::-1])
    for match in (dictionaries.best_cosines, dictionaries.matched_cosines):
        np.testing.assert_allclose(match(features, atoms), 1, rtol=1e-5)
