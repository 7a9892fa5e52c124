"""Farthest-first seeds and Lloyd's k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans

from jaxsep.algorithms.kmeans import BLOCK, assign, kmeans, maximin_seeds
from jaxsep.metrics import clusters

DTYPES = ['float32', 'float64']
LARGEST = 5  # clusters of all golden cases: fewer are padded, so that one program serves all


@pytest.fixture
def blobs():
    """Four overlapping groups in three dimensions, far from the origin."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 3)) * 2
    x = centres[rng.integers(4, size=60)] + rng.normal(size=(60, 3)) + 5.0
    return x.astype(np.float32)


def loop_seeds(x, k):
    """Farthest first, point by point."""
    squared = lambda a, b: sum((p - q) ** 2 for p, q in zip(a, b, strict=True))  # noqa: E731
    mean = [sum(column) / len(x) for column in x.T]
    seeds = [min(range(len(x)), key=lambda i: (squared(x[i], mean), i))]
    while len(seeds) < k:
        nearest = [min(squared(x[i], x[s]) for s in seeds) for i in range(len(x))]
        seeds.append(max(range(len(x)), key=lambda i: (nearest[i], -i)))
    return seeds


def loop_kmeans(x, centroids, weights, steps=100):
    """Lloyd's iteration, point by point."""
    centroids = np.array(centroids)
    for _ in range(steps):
        labels = [int(np.argmin([((p - c) ** 2).sum() for c in centroids])) for p in x]
        for j in range(len(centroids)):
            members = [i for i, label in enumerate(labels) if label == j and weights[i] > 0]
            if members:
                mass = sum(weights[i] for i in members)
                centroids[j] = sum(weights[i] * x[i] for i in members) / mass
    return np.array(labels), centroids


def partition(x, k):
    """Seeds and clusters; those beyond k take no part."""
    seeds = maximin_seeds(x, LARGEST)
    return seeds[:k], kmeans(x, x[seeds], active=jnp.asarray(np.arange(LARGEST) < k))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('k', [2, 3, 4, 5])
def test_golden(golden, float64, dtype, k):
    expected = golden('ppp')
    x = jnp.asarray(expected['X'], dtype)
    seeds, found = partition(x, k)
    np.testing.assert_array_equal(seeds, expected[f'k{k}/seed_index'])
    np.testing.assert_array_equal(found.labels, expected[f'k{k}/kmeans_labels'])
    # Means and sums of 180 points: one reduction in the precision at hand.
    rtol = 1e-12 if dtype == 'float64' else 1e-5
    centroids = np.asarray(found.centroids)[:k]
    np.testing.assert_allclose(centroids, expected[f'k{k}/centroids'], rtol=rtol)
    np.testing.assert_allclose(found.inertia, expected[f'k{k}/kmeans_inertia'], rtol=rtol)
    assert found.converged and found.centroids.dtype == dtype


@pytest.mark.parametrize('k', [2, 5])
def test_golden_indices_of_the_partition(golden, float64, k):
    expected = golden('ppp')
    x = jnp.asarray(expected['X'])
    labels = partition(x, k)[1].labels
    silhouette, overlap = (
        index(x, labels, LARGEST) for index in (clusters.silhouette, clusters.davies_bouldin)
    )
    np.testing.assert_allclose(silhouette, expected[f'k{k}/silhouette'], rtol=1e-10)
    np.testing.assert_allclose(overlap, expected[f'k{k}/davies_bouldin'], rtol=1e-10)


def test_seeds_agree_with_a_loop(blobs):
    assert maximin_seeds(jnp.asarray(blobs), 6).tolist() == loop_seeds(blobs, 6)


def test_seeds_of_fewer_clusters_come_first(blobs):
    x = jnp.asarray(blobs)
    np.testing.assert_array_equal(maximin_seeds(x, 6)[:3], maximin_seeds(x, 3))


def test_seeds_are_the_same_points_under_row_permutation(blobs):
    order = np.random.default_rng(1).permutation(len(blobs))
    shuffled = maximin_seeds(jnp.asarray(blobs[order]), 5)
    np.testing.assert_array_equal(order[shuffled], maximin_seeds(jnp.asarray(blobs), 5))


def test_first_index_wins_ties():
    square = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert maximin_seeds(square, 4).tolist() == [0, 3, 1, 2]


def test_trimmed_seeds_pass_over_the_outlier(blobs):
    x = np.concatenate([blobs, [[1e3, 0.0, 0.0]]]).astype(np.float32)
    assert 60 in maximin_seeds(jnp.asarray(x), 3).tolist()
    assert 60 not in maximin_seeds(jnp.asarray(x), 3, trim=0.05).tolist()


def test_trim_takes_the_next_farthest():
    x = jnp.arange(11.0)[:, None]
    assert maximin_seeds(x, 2, trim=0.2).tolist() == [5, 1]


def test_points_of_weight_zero_are_no_seeds_and_do_not_move_the_mean(blobs):
    padded = jnp.asarray(np.concatenate([blobs, np.full((5, 3), 100.0, np.float32)]))
    weights = jnp.concatenate([jnp.ones(60), jnp.zeros(5)])
    for trim in (0.0, 0.1):
        found = maximin_seeds(padded, 5, trim=trim, weights=weights)
        np.testing.assert_array_equal(found, maximin_seeds(jnp.asarray(blobs), 5, trim=trim))


def test_weighted_kmeans_agrees_with_a_loop(blobs, float64):
    weights = np.random.default_rng(2).integers(0, 4, size=60).astype(float)
    x = blobs.astype(float)
    labels, centroids = loop_kmeans(x, x[:4], weights)
    found = kmeans(jnp.asarray(x), jnp.asarray(x[:4]), weights=jnp.asarray(weights))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-12)
    inertia = (weights * ((x - centroids[labels]) ** 2).sum(1)).sum()
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-12)


def test_integer_weights_are_repeated_points(blobs):
    counts = np.random.default_rng(3).integers(1, 4, size=60)
    start = jnp.asarray(blobs[:3])
    weighted = kmeans(jnp.asarray(blobs), start, weights=jnp.asarray(counts, jnp.float32))
    repeated = kmeans(jnp.asarray(np.repeat(blobs, counts, axis=0)), start)
    # Float32 means in another order of summation.
    np.testing.assert_allclose(weighted.centroids, repeated.centroids, rtol=1e-5)
    np.testing.assert_allclose(weighted.inertia, repeated.inertia, rtol=1e-5)


def test_agrees_with_scikit_learn(blobs):
    start = blobs[:4]
    expected = SklearnKMeans(4, init=start, n_init=1, tol=0).fit(blobs)
    found = kmeans(jnp.asarray(blobs), jnp.asarray(start))
    np.testing.assert_array_equal(found.labels, expected.labels_)
    np.testing.assert_allclose(found.inertia, expected.inertia_, rtol=1e-5)


def test_ties_go_to_the_smaller_index():
    assert assign(jnp.array([[1.0], [3.0]]), jnp.array([[0.0], [2.0], [2.0]])).tolist() == [0, 1]


def test_empty_cluster_keeps_its_centroid():
    x = jnp.array([[0.0], [1.0]])
    found = kmeans(x, jnp.array([[0.0], [50.0]]))
    assert found.labels.tolist() == [0, 0]
    np.testing.assert_array_equal(found.centroids, [[0.5], [50.0]])


def test_inactive_clusters_change_nothing(blobs):
    x = jnp.asarray(blobs)
    seeds = x[maximin_seeds(x, 6)]
    padded = kmeans(x, seeds, active=jnp.arange(6) < 3)
    plain = kmeans(x, seeds[:3])
    np.testing.assert_array_equal(padded.labels, plain.labels)
    np.testing.assert_allclose(padded.centroids[:3], plain.centroids, rtol=1e-6)


def test_duplicates_leave_no_distance():
    x = jnp.array([[0.0, 1.0], [2.0, 2.0]])[jnp.array([0, 1, 0, 1, 1])]
    found = kmeans(x, x[maximin_seeds(x, 4)])
    assert found.converged and float(found.inertia) == 0.0
    assert len(set(found.labels.tolist())) == 2


def test_a_common_offset_costs_no_digits(blobs, float64):
    x = blobs.astype(float)
    shifted = jnp.asarray(np.round(x * 64) / 64 + 4096.0, jnp.float32)
    exact = jnp.asarray(np.round(x * 64) / 64)
    seeds = maximin_seeds(exact, 4)
    np.testing.assert_array_equal(assign(shifted, shifted[seeds]), assign(exact, exact[seeds]))


def test_more_steps_never_raise_the_inertia(blobs):
    x = jnp.asarray(blobs)
    inertias = [float(kmeans(x, x[:4], max_steps=steps).inertia) for steps in (0, 1, 50)]
    assert inertias == sorted(inertias, reverse=True)


def test_bounded_steps_are_reported(blobs):
    x = jnp.asarray(blobs)
    found = kmeans(x, x[:4], max_steps=1)
    assert int(found.steps) == 1 and not found.converged


def test_bfloat16_gives_float32(blobs):
    x = jnp.asarray(blobs, jnp.bfloat16)
    assert kmeans(x, x[maximin_seeds(x, 2)]).centroids.dtype == jnp.float32


def test_more_seeds_than_points_name_both():
    with pytest.raises(ValueError, match=r'n = 2 points, got k = 3'):
        maximin_seeds(jnp.zeros((2, 1)), 3)


def test_trim_of_one_is_refused():
    with pytest.raises(ValueError, match='trim'):
        maximin_seeds(jnp.zeros((2, 1)), 1, trim=1.0)


def test_sharded_rows_give_the_same_partition(blobs):
    mesh = jax.make_mesh((4,), ('b',), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('b'))
    cluster = jax.jit(lambda x: kmeans(x, x[maximin_seeds(x, 4)]))
    one, four = cluster(jnp.asarray(blobs)), cluster(jax.device_put(blobs, rows))
    np.testing.assert_array_equal(one.labels, four.labels)
    np.testing.assert_allclose(one.centroids, four.centroids, rtol=1e-5)


def test_many_points_are_taken_in_blocks_and_give_what_a_loop_gives():
    """Blocks that are full and one that is not, weights of 0, a cluster that may not be used."""
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])
    x = (centres[rng.integers(4, size=2 * BLOCK + 7)] + rng.normal(size=(2 * BLOCK + 7, 2))).astype(
        np.float32
    )
    weights = rng.integers(0, 3, len(x)).astype(np.float32)
    start = np.array([[1.0, 1.0], [7.0, 1.0], [4.0, 4.0], [1.0, 7.0], [7.0, 7.0]], np.float32)
    active = np.array([True, True, False, True, True])
    given = jnp.asarray(x), jnp.asarray(start)
    used = jnp.asarray(active)
    found = kmeans(*given, 50, weights=jnp.asarray(weights), active=used)
    expected, own = start.astype(np.float64), None
    for _ in range(50):
        squares = ((x[:, None] - expected[None]) ** 2).sum(-1)
        own = np.where(active, squares, np.inf).argmin(1)
        for j in np.flatnonzero(active):
            expected[j] = np.average(x[own == j], axis=0, weights=weights[own == j])
    np.testing.assert_array_equal(found.labels, own)
    np.testing.assert_array_equal(found.labels, assign(given[0], found.centroids, used))
    np.testing.assert_allclose(found.centroids, expected, rtol=1e-5, atol=1e-5)
    assert found.converged


def test_blocks_of_points_on_eight_devices():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2 * BLOCK, 3)).astype(np.float32)
    devices = jax.sharding.Mesh(np.array(jax.devices()), 'rows')
    rows = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec('rows'))
    whole = kmeans(jnp.asarray(x), jnp.asarray(x[:4]), 5)
    sharded = kmeans(jax.device_put(x, rows), jnp.asarray(x[:4]), 5)
    np.testing.assert_allclose(sharded.centroids, whole.centroids, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(sharded.steps, whole.steps)
