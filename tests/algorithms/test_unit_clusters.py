"""Groups of units of two networks, checked against the reference numbers and planted groups."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxsep.algorithms.spectral_clustering import normalized_laplacian
from jaxsep.algorithms.unit_clusters import (
    joint_adjacency,
    joint_embedding,
    joint_spectral_clusters,
)


def test_golden(golden):
    arrays = golden('convergent_learning')
    between = jnp.asarray(arrays['corr_between'], jnp.float32)
    adjacency = joint_adjacency(between)
    np.testing.assert_allclose(adjacency, arrays['spectral/adjacency'], atol=1e-6)
    np.testing.assert_allclose(
        normalized_laplacian(adjacency), arrays['spectral/sym_laplacian'], atol=1e-6
    )
    vectors, eigenvalues = joint_embedding(between, 14)
    np.testing.assert_allclose(eigenvalues, arrays['spectral/eigvals'], atol=1e-5)
    projector = vectors[:, :3] @ vectors[:, :3].T
    np.testing.assert_allclose(projector, arrays['spectral/projector_first3'], atol=1e-5)


def planted(seed):
    """Correlations of units in three groups, with some noise, in any order, signs by chance."""
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(np.arange(12) % 3), rng.permutation(np.arange(9) % 3)
    strength = np.where(a[:, None] == b[None, :], 0.6, 0.05) + 0.1 * rng.random((12, 9))
    return a, b, strength * rng.choice([-1, 1], size=(12, 9))


@pytest.mark.parametrize('constant', [False, True])
def test_planted_groups_are_found_whatever_units_are_constant(constant):
    a, b, correlation = planted(0)
    truth = np.concatenate([a, b])
    joined = np.ones(21, bool)
    if constant:
        correlation[2], correlation[:, 4], joined[[2, 16]] = 0, 0, False
    labels = np.asarray(joint_spectral_clusters(jnp.asarray(correlation, jnp.float32), 3))
    assert adjusted_rand_score(truth[joined], labels[joined]) == 1.0
    assert (labels[~joined] == -1).all() and set(labels[joined]) == {0, 1, 2}


def test_no_correlation_at_all_is_no_cluster():
    assert (np.asarray(joint_spectral_clusters(jnp.zeros((12, 9)), 3)) == -1).all()


def test_too_many_clusters_are_named():
    with pytest.raises(ValueError, match='k: expected between 1 and the 4 units, got 5'):
        joint_spectral_clusters(jnp.ones((2, 2)), 5)
