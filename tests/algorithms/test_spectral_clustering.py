"""Spectral clustering against SciPy, scikit-learn and an eigendecomposition in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import laplacian
from sklearn.metrics import adjusted_rand_score

from jaxsep.algorithms import spectral_clustering as spectral


def graph(n=14, seed=0):
    weights = np.random.default_rng(seed).uniform(size=(n, n))
    return (weights + weights.T).astype(np.float32)


def rings():
    """Two concentric circles of 20 points, which k-means cannot tell apart, and their graph."""
    angles = np.arange(20) * 2 * np.pi / 20
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = np.concatenate([circle, 2.5 * circle]).astype(np.float32)
    squares = np.sum((x[:, None] - x[None]) ** 2, axis=-1)
    return x, np.exp(-squares / 0.3), np.repeat([0, 1], 20)


def test_laplacian_is_scipys_and_edges_to_oneself_do_not_matter():
    weights = graph()
    found = spectral.normalized_laplacian(jnp.asarray(weights))
    np.testing.assert_allclose(found, laplacian(weights, normed=True), atol=1e-6)
    weights[np.arange(14), np.arange(14)] = 7.0
    np.testing.assert_array_equal(spectral.normalized_laplacian(jnp.asarray(weights)), found)


def test_embedding_spans_the_space_that_numpy_finds(golden):
    data = golden('convergent_learning')
    adjacency = jnp.asarray(data['spectral/adjacency'], jnp.float32)
    found = spectral.normalized_laplacian(adjacency)
    np.testing.assert_allclose(found, data['spectral/sym_laplacian'], atol=1e-6)
    vectors = spectral.spectral_embedding(adjacency, 3)
    # Single precision over the gap between the eigenvalues, about 0.1.
    np.testing.assert_allclose(vectors @ vectors.T, data['spectral/projector_first3'], atol=1e-5)
    largest = vectors[jnp.argmax(jnp.abs(vectors), axis=0), jnp.arange(3)]
    assert (largest > 0).all()


def test_rings_are_told_apart_and_the_order_of_points_does_not_matter():
    _, affinity, truth = rings()
    labels = spectral.spectral_clustering(jnp.asarray(affinity), 2).labels
    assert adjusted_rand_score(truth, labels) == 1
    order = np.random.default_rng(0).permutation(40)
    permuted = spectral.spectral_clustering(jnp.asarray(affinity[order][:, order]), 2).labels
    assert adjusted_rand_score(truth[order], permuted) == 1


def test_directed_graphs_are_symmetrised():
    _, affinity, truth = rings()
    labels = spectral.spectral_clustering(jnp.asarray(np.triu(affinity)), 2).labels
    assert adjusted_rand_score(truth, labels) == 1


def test_vertices_without_edges_use_up_no_cluster():
    _, affinity, truth = rings()
    affinity = np.pad(affinity, (0, 4))
    found = spectral.spectral_clustering(jnp.asarray(affinity), 2)
    assert adjusted_rand_score(truth, found.labels[:40]) == 1
    np.testing.assert_allclose(found.embedding[40:], 0.0, atol=1e-6)


def test_number_of_clusters_with_the_shortest_code_is_that_of_the_subspaces():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 14)[:40]
    x = np.zeros((40, 6), np.float32)
    for c in range(3):
        rows = rng.normal(size=(np.sum(labels == c), 2))
        x[labels == c, 2 * c : 2 * c + 2] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    affinity = jnp.abs(jnp.asarray(x @ x.T)) + 1e-3
    candidates = (1, 3, 5)
    lengths = spectral.coding_lengths(jnp.asarray(x), affinity, candidates)
    assert candidates[int(jnp.argmin(lengths))] == 3


def test_wrong_numbers_of_clusters_are_named():
    with pytest.raises(
        ValueError, match='k: expected between 1 and the n = 14 vertices, got k = 15'
    ):
        spectral.spectral_embedding(jnp.asarray(graph()), 15)
    with pytest.raises(ValueError, match='candidates: expected numbers of clusters from 1, got'):
        spectral.coding_lengths(jnp.ones((3, 2)), jnp.ones((3, 3)), ())
