"""The code length of clusters, against the original and a float64 oracle."""

import jax.numpy as jnp
import numpy as np

from jaxsep.metrics.coding_length import coding_length


def test_agrees_with_the_original(golden):
    data = golden('mlc')
    found = coding_length(
        jnp.asarray(data['bits/X']), jnp.asarray(data['bits/membership']), int(data['bits/k'])
    )
    np.testing.assert_allclose(found, data['bits/total'], rtol=1e-5)


def test_agrees_with_loops_and_empty_clusters_cost_nothing():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    labels[labels == 1] = 4  # of 5 clusters, 1 and 3 have no points
    expected = 0.0
    for c in np.unique(labels):
        rows = x[labels == c].astype(np.float64)
        m, d = rows.shape
        log_det = np.linalg.slogdet(np.eye(d) + d / (0.1 * m) * rows.T @ rows)[1]
        expected += (m + d) / 2 * log_det - m * np.log(m / 20)
    np.testing.assert_allclose(
        coding_length(jnp.asarray(x), jnp.asarray(labels), 5), expected, 1e-5
    )


def test_no_points_and_points_at_zero_are_finite():
    x, labels = jnp.zeros((20, 4)), jnp.zeros(20, jnp.int32)
    assert coding_length(x, labels, 3) == 0
    assert coding_length(x, labels - 1, 3) == 0  # all left out
