import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from jaxsep.metrics.all_pairs import all_pairs, purity_curve, silhouette_from_sums


def brute_force(x, y, num_classes, k):
    """Distances by loops over pairs in float64; neighbours by (distance, index)."""
    x = x.astype(np.float64)
    n = len(x)
    result = {}
    for metric in ('euclidean', 'cosine'):
        distances = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                if i != j and metric == 'euclidean':
                    distances[i, j] = np.sqrt(sum((x[i] - x[j]) ** 2))
                elif i != j:
                    lengths = np.linalg.norm(x[i]) * np.linalg.norm(x[j])
                    distances[i, j] = 1 - (x[i] @ x[j] / lengths if lengths else 0)
        near = np.array(
            [
                sorted((j for j in range(n) if j != i), key=lambda j: (distances[i, j], j))
                for i in range(n)
            ]
        )[:, :k]
        sums = np.stack([distances[:, y == c].sum(axis=1) for c in range(num_classes)], axis=1)
        result[metric] = (distances, near, sums)
    return result


@pytest.fixture(scope='module')
def cloud():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(41, 5)) + 3.0
    x[7] = 0.0
    return x, rng.integers(0, 3, 41).astype(np.int32)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_agrees_with_loops_over_pairs(cloud, dtype):
    x, y = cloud[0].astype(dtype), cloud[1]
    found = all_pairs(x, [y, y % 2], [3, 2], k=6, block_size=16)
    tolerance = (
        {'rtol': 2e-5, 'atol': 2e-6} if dtype == np.float32 else {'rtol': 1e-11, 'atol': 1e-13}
    )
    expected = brute_force(x, y, 3, 6)
    for metric, (distances, near, sums) in expected.items():
        np.testing.assert_array_equal(getattr(found, f'neighbors_{metric}'), near)
        chosen = np.take_along_axis(distances, near, axis=1)
        np.testing.assert_allclose(getattr(found, f'distances_{metric}'), chosen, **tolerance)
        np.testing.assert_allclose(getattr(found, f'sums_{metric}')[0], sums, **tolerance)
        two = getattr(found, f'sums_{metric}')[1]
        np.testing.assert_allclose(two.sum(axis=1), sums.sum(axis=1), rtol=1e-5)
    pairs = np.triu_indices(len(x), 1)
    np.testing.assert_allclose(
        found.mean_distance, expected['euclidean'][0][pairs].mean(), rtol=1e-5
    )
    mean = np.exp(-4 * expected['cosine'][0][pairs]).mean()
    np.testing.assert_allclose(found.uniformity, np.log(mean), rtol=1e-5)


def test_near_duplicates_far_from_the_origin_are_told_apart():
    rng = np.random.default_rng(1)
    pairs = 100 * rng.normal(size=(60, 8)) + 1000
    x = np.concatenate([pairs, pairs + 1e-2 * rng.normal(size=(60, 8))]).astype(np.float32)
    found = all_pairs(x, k=1)
    np.testing.assert_array_equal(found.neighbors_euclidean[:, 0], (np.arange(120) + 60) % 120)
    double = x.astype(np.float64)
    exact = np.linalg.norm(double - double[found.neighbors_euclidean[:, 0]], axis=1)
    np.testing.assert_allclose(found.distances_euclidean[:, 0], exact, rtol=2e-2)


def test_tight_clusters_below_the_precision_of_the_product_are_searched_again():
    rng = np.random.default_rng(2)
    centres = np.repeat([[300.0, 0], [-300.0, 0]], 40, axis=0)
    x = (centres + 2e-3 * rng.normal(size=(80, 2))).astype(np.float32)
    found = all_pairs(x, k=4)
    assert found.searched_again > 0
    np.testing.assert_array_equal(
        found.neighbors_euclidean, brute_force(x, np.zeros(80), 1, 4)['euclidean'][1]
    )


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_equal_points_are_ordered_by_index(dtype):
    x = np.repeat(np.eye(3), 30, axis=0).astype(dtype)
    found = all_pairs(x, k=3)
    for near in (found.neighbors_euclidean, found.neighbors_cosine):
        np.testing.assert_array_equal(near[0], [1, 2, 3])
        np.testing.assert_array_equal(near[89], [60, 61, 62])
    assert found.distances_euclidean.max() == 0


def test_blocks_do_not_change_the_result(cloud):
    x, y = cloud
    one = all_pairs(x, [y], [3], k=4, block_size=64)
    many = all_pairs(x, [y], [3], k=4, block_size=7)
    np.testing.assert_array_equal(one.neighbors_cosine, many.neighbors_cosine)
    np.testing.assert_allclose(one.sums_euclidean[0], many.sums_euclidean[0], rtol=1e-12)
    assert one.mean_distance == pytest.approx(many.mean_distance, rel=1e-12)


def test_progress_ends_with_all_rows(cloud):
    told = []
    all_pairs(cloud[0], k=4, block_size=16, progress=lambda done, of: told.append((done, of)))
    assert told == [(16, 41), (32, 41), (41, 41)]


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_silhouette_is_that_of_scikit_learn(cloud, metric):
    x, y = np.delete(cloud[0], 7, axis=0), np.delete(cloud[1], 7)
    y[:1] = 3  # a class of one point
    found = all_pairs(x, [y], [5], k=1)  # class 4 has no points
    sums = getattr(found, f'sums_{metric}')[0]
    expected = sklearn_metrics.silhouette_samples(x, y, metric=metric)
    np.testing.assert_allclose(silhouette_from_sums(sums, y), expected, atol=1e-10)


def test_collapsed_points_give_finite_zeros():
    found = all_pairs(np.full((6, 2), 0.1, np.float32), [np.array([0, 0, 0, 1, 1, 1])], [2], k=2)
    assert found.mean_distance == 0 and found.uniformity == 0
    assert np.all(silhouette_from_sums(found.sums_euclidean[0], np.array([0, 0, 0, 1, 1, 1])) == 0)


def test_purity_is_one_where_all_neighbours_agree():
    near = np.array([[1, 2], [0, 2], [1, 0]])
    assert purity_curve(near, np.zeros(3, int)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize('k', [0, 3])
def test_wrong_k_is_named(k):
    with pytest.raises(ValueError, match='k: expected 1 .. 2 neighbours for 3 points'):
        all_pairs(np.zeros((3, 2)), k=k)


@pytest.mark.parametrize('exponent', [-90, 90])
def test_everything_is_right_at_any_scale(exponent):
    x, y = np.random.default_rng(11).normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3
    factor = np.float32(2.0**exponent)
    found, expected = (all_pairs(points, [y], [3], k=2) for points in (x * factor, x))
    np.testing.assert_array_equal(found.neighbors_euclidean, expected.neighbors_euclidean)
    np.testing.assert_allclose(
        found.distances_euclidean, expected.distances_euclidean * factor, rtol=1e-5
    )
    np.testing.assert_allclose(
        found.sums_euclidean[0], expected.sums_euclidean[0] * factor, rtol=1e-5
    )
    np.testing.assert_allclose(
        found.mean_distance, expected.mean_distance * 2.0**exponent, rtol=1e-5
    )
    np.testing.assert_allclose(found.uniformity, expected.uniformity, rtol=1e-4)


def test_rows_of_any_length_side_by_side_have_finite_measures():
    x = np.random.default_rng(12).normal(size=(30, 4)) * 10.0 ** np.linspace(-30, 30, 30)[:, None]
    found = all_pairs(x.astype(np.float32), k=2)
    assert np.isfinite(found.uniformity) and np.isfinite(found.distances_cosine).all()
