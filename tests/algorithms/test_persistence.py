import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.csgraph
import scipy.spatial
import sklearn.datasets

from jaxsep.algorithms import persistence

BLOBS = ['blobs0', 'blobs1', 'blobs2']
STATISTICS = ['mean', 'median', 'std', 'entropy']


def tree_lengths(x, metric='euclidean'):
    """Minimum spanning tree of scipy; exact zeros are lost there, so they are filled in."""
    distances = scipy.spatial.distance.cdist(x, x, metric)
    edges = scipy.sparse.csgraph.minimum_spanning_tree(distances).data
    return np.sort(np.concatenate([np.zeros(len(x) - 1 - len(edges)), edges]))


def kruskal(x):
    """Merging components by the shortest edge between two of them, with loops."""
    component = list(range(len(x)))
    pairs = [(np.linalg.norm(x[i] - x[j]), i, j) for i in range(len(x)) for j in range(i)]
    deaths = []
    for length, i, j in sorted(pairs):
        if component[i] != component[j]:
            deaths.append(length)
            old, new = component[i], component[j]
            component = [new if c == old else c for c in component]
    return np.array(deaths)


def golden_points(golden, case):
    values = golden('topological_separability')
    if case == 'digits':
        return values, sklearn.datasets.load_digits().data[values['digits/idx']] / 16
    x = values[f'{case}/X']
    return values, x / np.linalg.norm(x, axis=1, keepdims=True) if case == 'rownorm' else x


@pytest.mark.parametrize('case', [*BLOBS, 'circle', 'dup', 'two', 'rownorm', 'digits'])
def test_golden_deaths(golden, float64, case):
    values, x = golden_points(golden, case)
    expected = values[f'{case}/h0_deaths_sorted']
    ours = persistence.h0_persistence(jnp.asarray(x))
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize('case', [*BLOBS, 'dup', 'digits'])
def test_golden_deaths_in_float32(golden, case):
    values, x = golden_points(golden, case)
    ours = persistence.h0_persistence(jnp.asarray(x, jnp.float32))
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, values[f'{case}/h0_deaths_sorted'], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('case', [*BLOBS, 'digits'])
def test_golden_scores(golden, float64, case):
    values = golden('topological_separability')
    deaths = jnp.asarray(values[f'{case}/h0_deaths_sorted'])
    for statistic in STATISTICS:
        ours = persistence.persistence_score(deaths, statistic)
        np.testing.assert_allclose(ours, values[f'{case}/score_{statistic}'], rtol=1e-10)
    if case in BLOBS:
        normalized = persistence.normalized_persistence(deaths)
        np.testing.assert_allclose(normalized, values[f'{case}/h0_normalised'], rtol=1e-12)
        scales = jnp.asarray(values[f'{case}/betti0_scales'])
        np.testing.assert_array_equal(persistence.betti0(deaths, scales), values[f'{case}/betti0'])


@pytest.mark.parametrize('case', ['A_digits', 'A_toy'])
def test_golden_report_values(golden, float64, case):
    values = golden('separability_metrics')
    ours = persistence.h0_persistence(jnp.asarray(values[f'{case}/X']))
    np.testing.assert_allclose(ours, values[f'{case}/ph_h0_deaths'], rtol=1e-10)
    score = persistence.persistence_score(ours)
    np.testing.assert_allclose(score, values[f'{case}/ph_mean_normalised'], rtol=1e-10)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_agrees_with_kruskal_by_loops(float64, seed):
    x = np.random.default_rng(seed).normal(size=(20, 6))
    x[7] = x[3]
    ours = persistence.h0_persistence(jnp.asarray(x))
    np.testing.assert_allclose(ours, kruskal(x), rtol=1e-10)


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_agrees_with_the_spanning_tree_of_scipy(float64, metric):
    x = np.random.default_rng(3).normal(size=(60, 3))
    ours = persistence.h0_persistence(jnp.asarray(x), metric)
    np.testing.assert_allclose(ours, tree_lengths(x, metric), rtol=1e-9)


def test_ties_of_a_grid_give_equal_bars():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2)
    ours = persistence.h0_persistence(jnp.asarray(grid, jnp.float32))
    np.testing.assert_array_equal(ours, np.ones(19))


@pytest.mark.parametrize('scale', [1e-30, 1e-3, 1e25])
def test_bars_scale_with_the_cloud_and_the_score_does_not(scale):
    x = jnp.asarray(np.random.default_rng(4).normal(size=(60, 3)), jnp.float32)
    once, scaled = (persistence.h0_persistence(v) for v in (x, x * np.float32(scale)))
    np.testing.assert_allclose(scaled, once * np.float32(scale), rtol=1e-5)
    for statistic in STATISTICS:
        scores = [persistence.persistence_score(p, statistic) for p in (once, scaled)]
        np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)


def test_order_rotation_and_shift_change_nothing(float64):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    expected = persistence.h0_persistence(jnp.asarray(x))
    moved = (x @ rotation + 3.0)[rng.permutation(60)]
    np.testing.assert_allclose(persistence.h0_persistence(jnp.asarray(moved)), expected, rtol=1e-9)


def test_near_duplicates_far_from_the_origin_are_exact_in_float32():
    rng = np.random.default_rng(6)
    x = (rng.normal(size=(60, 3)) + 100.0).astype(np.float32)
    x[1::2] = x[::2] + np.float32(2.0**-15)
    ours = persistence.h0_persistence(jnp.asarray(x))
    np.testing.assert_allclose(ours, tree_lengths(x.astype(np.float64)), rtol=1e-5)


def test_one_point_has_no_bars_and_two_points_one():
    assert persistence.h0_persistence(jnp.ones((1, 3))).shape == (0,)
    two = persistence.h0_persistence(jnp.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(two, [5.0], rtol=1e-6)


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_coinciding_points_give_zeros_and_score_zero(metric):
    for value in (0.0, 3.1):
        ours = persistence.h0_persistence(jnp.full((6, 2), value), metric)
        np.testing.assert_array_equal(ours, np.zeros(5))
        for statistic in STATISTICS:
            assert persistence.persistence_score(ours, statistic) == 0


@pytest.mark.parametrize('statistic', STATISTICS)
def test_scores_of_no_bars_one_bar_and_equal_bars(statistic):
    assert persistence.persistence_score(jnp.zeros(0), statistic) == 0
    one = {'mean': 1, 'median': 1, 'std': 0, 'entropy': 0}
    equal = {'mean': 1, 'median': 1, 'std': 0, 'entropy': 1}
    ours = persistence.persistence_score(jnp.array([2.0]), statistic)
    np.testing.assert_allclose(ours, one[statistic], atol=1e-6)
    ours = persistence.persistence_score(jnp.full(5, 2.0), statistic)
    np.testing.assert_allclose(ours, equal[statistic], atol=1e-6)


def test_score_falls_as_clusters_contract():
    rng = np.random.default_rng(7)
    centers, noise = np.repeat(10.0 * np.eye(3), 20, axis=0), rng.normal(size=(60, 3))
    scores = []
    for spread in (3.0, 1.0, 0.3, 0.1):
        p = persistence.h0_persistence(jnp.asarray(centers + spread * noise, jnp.float32))
        scores.append(float(persistence.persistence_score(p)))
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.05
    assert persistence.number_of_clusters(p) == 3


def test_components_go_from_all_points_to_one():
    p = jnp.array([0.0, 1.0, 1.0, 4.0])
    scales = jnp.array([-0.5, 0.0, 0.5, 1.0, 3.9, 4.0])
    np.testing.assert_array_equal(persistence.betti0(p, scales), [5, 4, 4, 2, 2, 1])
    np.testing.assert_array_equal(persistence.betti0(jnp.zeros(0), scales), np.ones(6))


@pytest.mark.parametrize(
    'bars, clusters',
    [([], 1), ([2.0], 1), ([2.0, 2.0, 2.0], 1), ([1.0, 1.1, 5.0], 2), ([0.0, 0.0, 9.0, 9.5], 3)],
)
def test_clusters_are_the_components_inside_the_largest_gap(bars, clusters):
    assert persistence.number_of_clusters(jnp.array(bars, jnp.float32)) == clusters


def stop_by_loops(scores, patience, min_delta):
    for t in range(patience, len(scores)):
        if min(scores[: t - patience + 1]) - min(scores[: t + 1]) <= min_delta:
            break
    else:
        t = len(scores) - 1
    return int(np.argmin(scores[: t + 1])), t


@pytest.mark.parametrize('patience', [1, 2, 3, 8, 20])
@pytest.mark.parametrize('min_delta', [0.0, 0.25])
def test_stop_rule_agrees_with_loops(patience, min_delta):
    for seed in range(8):
        scores = np.random.default_rng(seed).integers(0, 8, size=8) / 8 + np.linspace(1, 0, 8)
        scores = np.round(scores * 64) / 64  # exact in float32
        ours = persistence.stop_rule(jnp.asarray(scores, jnp.float32), patience, min_delta)
        assert tuple(map(int, ours)) == stop_by_loops(scores, patience, min_delta)


@pytest.mark.parametrize(
    'scores, patience, expected',
    [
        ([0.9, 0.5, 0.6, 0.7, 0.1], 2, (1, 3)),  # what comes after the stop is not seen
        ([0.9, 0.5, 0.6, 0.4, 0.1], 2, (4, 4)),  # still falling: the last one
        ([0.3], 2, (0, 0)),
        ([0.5, 0.5, 0.5], 1, (0, 1)),  # the first of equal ones
    ],
)
def test_stop_rule_by_hand(scores, patience, expected):
    assert tuple(map(int, persistence.stop_rule(jnp.array(scores), patience))) == expected


def test_gradient_of_the_bars_follows_the_tree(float64):
    """The sum of the bars has the gradient of its tree's edges, where all lengths differ."""
    x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
    gradient = jax.grad(lambda v: jnp.sum(persistence.h0_persistence(v)))(jnp.asarray(x))
    np.testing.assert_allclose(gradient, [[-1, 0], [1, -1], [0, 1]], atol=1e-12)


def test_gradient_is_finite_at_coinciding_points():
    gradient = jax.grad(lambda v: jnp.sum(persistence.h0_persistence(v)))
    x = jnp.array([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    assert np.all(np.isfinite(gradient(x)))
    np.testing.assert_array_equal(gradient(jnp.ones((3, 2))), np.zeros((3, 2)))


@pytest.mark.parametrize(
    'call, match',
    [
        (lambda x: persistence.h0_persistence(x, 'manhattan'), 'metric: expected one of'),
        (lambda x: persistence.persistence_score(x[0], 'max'), 'statistic: expected one of'),
        (lambda x: persistence.stop_rule(x[0], 0), 'patience: expected at least 1'),
        (lambda x: persistence.stop_rule(x[0], 1, -0.1), 'min_delta: expected a fall >= 0'),
        (lambda x: persistence.stop_rule(x[0, :0], 1), 'scores: expected at least one'),
    ],
)
def test_wrong_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call(jnp.ones((3, 2)))


@pytest.mark.slow
def test_four_thousand_points_in_linear_memory():
    x = np.random.default_rng(8).normal(size=(4000, 64)).astype(np.float32)
    program = persistence.h0_persistence.lower(jnp.asarray(x), 'euclidean').compile()
    assert program.memory_analysis().temp_size_in_bytes < 8 * x.nbytes
    np.testing.assert_allclose(
        program(jnp.asarray(x)), tree_lengths(x.astype(np.float64)), rtol=1e-5
    )
