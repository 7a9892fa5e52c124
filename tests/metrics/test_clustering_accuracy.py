"""Accuracy under the best naming, against SciPy's assignment."""

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from jaxsep.metrics.clustering_accuracy import clustering_accuracy


def test_agrees_with_scipy_and_does_not_depend_on_names():
    rng = np.random.default_rng(0)
    for classes, clusters in ((4, 4), (4, 6), (6, 4)):
        a = np.concatenate([np.arange(classes), rng.integers(0, classes, 40)])
        b = np.concatenate([np.arange(clusters), rng.integers(0, clusters, 40)])
        b = np.resize(b, len(a))
        table = contingency_matrix(a, b)
        expected = table[linear_sum_assignment(-table)].sum() / len(a)
        found = clustering_accuracy(jnp.asarray(a), jnp.asarray(b), 6, 6)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        names = rng.permutation(6)
        same = clustering_accuracy(jnp.asarray(a), jnp.asarray(names[b]), 6, 6)
        np.testing.assert_allclose(same, expected, rtol=1e-6)


def test_same_partition_is_1_and_one_cluster_is_the_largest_class():
    labels = jnp.array([0, 0, 1, 1, 1])
    assert clustering_accuracy(labels, 1 - labels, 2, 2) == 1
    np.testing.assert_allclose(clustering_accuracy(labels, 0 * labels, 2, 2), 0.6, rtol=1e-6)
    assert clustering_accuracy(labels[:0], labels[:0], 2, 2) == 0
