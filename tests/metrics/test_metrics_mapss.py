"""PS, PM and the diffusion map against the original code and plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxsep.metrics import mapss

TOLERANCE = {np.float32: 2e-4, np.float64: 1e-9}
NAMES = {np.float32: 'f32', np.float64: 'f64'}


@pytest.fixture(params=[np.float32, np.float64], ids=['float32', 'float64'])
def dtype(request):
    with jax.enable_x64(request.param is np.float64):
        yield request.param


mapped = jax.jit(mapss.diffusion_map, static_argnames=('alpha',))


@jax.jit
def measured(coordinates, mask, num_kept):
    """PS, PM and PM by ranks."""
    given = coordinates, mask, num_kept
    return mapss.ps(*given), mapss.pm(*given), mapss.pm(*given, 'rank')


def everything(points, mask):
    s, p, d = points.shape
    found = mapped(points.reshape(s * p, d), mask.reshape(s * p))
    return found, measured(found.coordinates.reshape(s, p, -1), mask, found.num_kept)


def case_of(g, dtype):
    """A case of the golden file among 3 x 26 points, one shape for all cases, and which are its own."""
    s, p = int(g['n_src']), int(g['n_dist']) + 2
    points, mask = np.zeros((3, 26, 16), dtype), np.zeros((3, 26), bool)
    points[:s, :p, : g['X'].shape[1]] = g['X'].reshape(s, p, -1)
    mask[:s, :p] = True
    return points, mask


@pytest.mark.parametrize('case', 'abc')
def test_the_original_code_agrees(golden, case, dtype):
    g = {k[2:]: v for k, v in golden('mapss').items() if k.startswith(f'{case}/')}
    name, (points, mask) = NAMES[dtype], case_of(g, dtype)
    s, (there, outputs) = int(g['n_src']), (mask.ravel(), np.arange(3 * 26) % 26 == mapss.OUTPUT)
    found = mapped(points.reshape(3 * 26, 16), there, alpha=float(g['alpha']))
    kept = int(g[f'{name}/L'])
    assert int(found.num_kept) == kept and found.coordinates.dtype == dtype
    eigenvalues = np.asarray(found.eigenvalues)[: there.sum() - 1]
    np.testing.assert_allclose(eigenvalues, g[f'{name}/eigvals'], atol=1e-6)
    coordinates, expected = np.asarray(found.coordinates)[there, :kept], g[f'{name}/coords']
    np.testing.assert_allclose(np.abs(coordinates), np.abs(expected), atol=1e-6)
    np.testing.assert_allclose(
        coordinates @ coordinates.T, expected @ expected.T, rtol=0, atol=1e-6
    )
    scores = measured(found.coordinates.reshape(3, 26, -1), mask, found.num_kept)
    for value, key in zip(scores, ('ps', 'pm_gamma', 'pm_rank'), strict=True):
        np.testing.assert_allclose(
            value[:s], g[f'{name}/{key}'], atol=TOLERANCE[dtype], rtol=0, err_msg=key
        )
    norm = jax.jit(mapss.subgaussian_norm)(found, there & ~outputs)
    np.testing.assert_allclose(norm, g[f'{name}/cval'], rtol=1e-5)


def test_the_original_code_agrees_on_given_coordinates(golden, float64):
    g = golden('mapss')
    points = g['coords/coords'].reshape(2, int(g['coords/n_dist']) + 2, -1)
    ps, pm, _ = measured(points, np.ones(points.shape[:2], bool), jnp.int32(points.shape[2]))
    np.testing.assert_allclose(ps, g['coords/ps'], rtol=1e-10)
    np.testing.assert_allclose(pm, g['coords/pm'], rtol=1e-10)


@jax.jit
def inverted(differences, num_dims, u):
    """The inverse covariance times u, u's squared distances, and what is outside of all directions."""
    given = mapss.precision(differences, num_dims)
    return mapss.apply_precision(given, u), mapss.squared_mahalanobis(given, u), given.outside


def test_the_precision_inverts_the_covariance_of_the_original_code(golden, float64):
    covariance = golden('mapss')['coords/safe_cov']
    root = np.linalg.cholesky(covariance).T
    applied, _, _ = inverted(root, jnp.int32(4), np.eye(4))
    np.testing.assert_allclose(applied, np.linalg.inv(covariance), rtol=1e-9)


def test_the_gamma_tail_is_that_of_the_original_code(golden, float64):
    g = golden('mapss')
    squared, there = g['tail/sq'], np.ones(len(g['tail/sq']), bool)
    tail = jax.jit(mapss.gamma_tail)
    for output, expected in zip(g['tail/d'], g['tail/pm'], strict=True):
        np.testing.assert_allclose(tail(output, squared, there), expected, atol=1e-12)
    constant = tail(np.float64(3.0), np.full(len(squared), 2.0), there)
    assert float(constant) == float(g['tail/pm_constant'])


def numpy_scores(clouds):
    """PS and PM of the points of each source in loops, covariances in the coordinates themselves."""
    x, ends = np.concatenate(clouds), np.cumsum([len(cloud) for cloud in clouds])
    squared = np.array([[np.sum((a - b) ** 2) for b in x] for a in x])
    between = np.sort(squared[np.triu_indices(len(x), 1)])
    kernel = np.exp(-squared / (2 * between[(len(between) - 1) // 2]))
    degrees = kernel.sum(axis=1)
    kernel = kernel / np.outer(degrees, degrees)
    degrees = kernel.sum(axis=1)
    values, vectors = np.linalg.eigh(kernel / np.sqrt(np.outer(degrees, degrees)))
    values, vectors = values[::-1][1:], vectors[:, ::-1][:, 1:]
    kept = int(np.sum(np.cumsum(values) / np.sum(values) < 0.99)) + 1
    x = np.split((vectors * values)[:, :kept], ends[:-1])

    def inverse(covariance):
        spectrum = np.linalg.svd(covariance, compute_uv=False)
        rank = np.sum(spectrum > spectrum[0] * kept * np.finfo(np.float32).eps)
        return np.linalg.inv(covariance + 1e-6 * np.eye(kept) * (rank < kept))

    ps, pm = [], []
    for i, points in enumerate(x):
        distances = []
        for other in x:
            cluster = np.delete(other, 1, axis=0)
            u = points[1] - cluster.mean(axis=0)
            distances.append(np.sqrt(u @ inverse(np.cov(cluster.T)) @ u + 1e-6))
        own, other = distances.pop(i), min(distances)
        ps.append(1 - own / (own + other + 1e-6))
        u = points[1:] - points[0]
        matrix = inverse(u[1:].T @ u[1:] / (len(points) - 3))
        a = np.array([v @ matrix @ v for v in u]) + 1e-6
        mean, variance = a[1:].mean(), a[1:].var(ddof=1)
        pm.append(scipy.stats.gamma.sf(a[0], mean**2 / variance, scale=variance / mean))
    return kept, np.array(ps), np.array(pm)


@pytest.mark.parametrize('spread', [0.3, 3.0], ids=['few kept', 'many kept'])
def test_plain_numpy_agrees(spread, float64):
    rng = np.random.default_rng(3)
    centres = 2 * rng.standard_normal((3, 1, 6))
    points = centres + rng.standard_normal((3, 14, 6)) * spread * np.linspace(1, 0.05, 6)
    kept, ps, pm = numpy_scores(points)
    found, (our_ps, our_pm, _) = everything(points, np.ones((3, 14), bool))
    assert int(found.num_kept) == kept
    np.testing.assert_allclose(our_ps, ps, atol=1e-8)
    np.testing.assert_allclose(our_pm, pm, atol=1e-8)


def cloud(seed=0, s=2, p=12, d=5):
    rng = np.random.default_rng(seed)
    return 2 * rng.standard_normal((s, 1, d)) + rng.standard_normal((s, p, d))


def test_absent_points_and_sources_change_nothing(float64):
    points, mask = cloud(s=3, p=14, d=6), np.ones((3, 14), bool)
    mask[0, 9:], mask[2] = False, False
    garbage = np.where(mask[:, :, None], points, 1e3)
    found, (ps, pm, _) = everything(garbage, mask)
    kept, expected_ps, expected_pm = numpy_scores([points[0, :9], points[1]])
    assert int(found.num_kept) == kept
    np.testing.assert_allclose(ps[:2], expected_ps, atol=1e-8)
    np.testing.assert_allclose(pm[:2], expected_pm, atol=1e-8)
    assert ps[2] == 0 and pm[2] == 0


def test_order_of_sources_and_distortions_and_motions_do_not_matter(float64):
    points, mask = cloud(), np.ones((2, 12), bool)
    _, (ps, pm, _) = everything(points, mask)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    order = np.array([0, 1, *np.random.default_rng(2).permutation(np.arange(2, 12))])
    moved = 7 * (points[::-1][:, order] @ rotation) + 3
    _, (moved_ps, moved_pm, _) = everything(moved, mask)
    np.testing.assert_allclose(moved_ps[::-1], ps, atol=1e-9)
    np.testing.assert_allclose(moved_pm[::-1], pm, atol=1e-9)


def test_ps_falls_as_the_output_moves_to_the_other_source_and_is_a_half_between_mirrored_ones(
    float64,
):
    left = cloud(s=1)[0]
    left = left - left[0] - np.array([4.0, 0, 0, 0, 0])
    mirror = np.array([-1.0, 1, 1, 1, 1])
    mask = np.ones((2, 12), bool)
    scores = []
    for place in (-4.0, -2.0, 0.0, 3.0):
        points = np.stack([left, left * mirror])
        points[:, 1] = 0
        points[0, 1, 0] = place
        scores.append(float(everything(points, mask)[1][0][0]))
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores[2], 0.5, atol=1e-6)


def test_pm_falls_with_the_distance_from_the_reference(float64):
    points, mask = cloud(), np.ones((2, 12), bool)
    scores = []
    for distance in (0.0, 0.5, 2.0, 6.0):
        points[0, 1] = points[0, 0] + distance * np.array([1.0, 0, 0, 0, 0])
        scores.append(float(everything(points, mask)[1][1][0]))
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.99 and scores[-1] < 0.1


median = jax.jit(mapss.lower_median)


@pytest.mark.parametrize('n', [2, 3, 4, 6, 7])
def test_the_median_is_the_lower_one_of_what_is_there(n, dtype):
    x = np.random.default_rng(n).random((7, 7)).astype(dtype)
    above = np.sort(x[:n, :n][np.triu_indices(n, 1)])
    assert median(x, np.arange(7) < n) == above[(len(above) - 1) // 2]


def test_the_median_of_nothing_is_0_and_of_equal_values_that_value():
    x = np.full((7, 7), 0.3, np.float32)
    assert median(x, np.zeros(7, bool)) == 0
    assert median(x, np.ones(7, bool)) == x[0, 0]


@pytest.mark.parametrize('num_dims', [3, 4, 7], ids=['full rank', 'one short', 'more than points'])
def test_the_ridge_joins_exactly_where_the_rank_is_short(num_dims, float64):
    rng = np.random.default_rng(0)
    x = np.zeros((6, 7))
    x[:, :3] = rng.standard_normal((6, 3))
    covariance = (x.T @ x)[:num_dims, :num_dims]
    ridge = 1e-6 * np.eye(num_dims) * (num_dims > 3)
    u = np.zeros((2, 7))
    u[:, :num_dims] = rng.standard_normal((2, num_dims))
    solved = np.linalg.solve(covariance + ridge, u[:, :num_dims].T).T
    applied, squared, _ = inverted(x, jnp.int32(num_dims), u)
    np.testing.assert_allclose(applied[:, :num_dims], solved, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(squared, np.sum(u[:, :num_dims] * solved, axis=1), rtol=1e-7)


def test_a_direction_under_the_float32_tolerance_counts_as_absent(float64):
    tolerance = np.finfo(np.float32).eps * 2
    for small, deficient in ((tolerance * 0.9, True), (tolerance * 1.1, False)):
        differences = np.zeros((6, 7))
        differences[0, 0], differences[1, 1] = 1, np.sqrt(small)
        _, _, outside = inverted(differences, jnp.int32(2), np.zeros((2, 7)))
        assert (float(outside) > 0) == deficient


@pytest.mark.parametrize('what', ['equal', 'two places', 'absent', 'huge', 'tiny'])
def test_degenerate_clouds_give_finite_scores(what, dtype):
    points, mask = cloud(), np.ones((2, 12), bool)
    if what == 'equal':
        points[:] = 1
    elif what == 'two places':
        points = points[:, :1] + 0 * points
    elif what == 'absent':
        mask[:] = False
    else:
        points *= {'huge': 1e6, 'tiny': 1e-6}[what]
    found, scores = everything(points.astype(dtype), mask)
    for values in (found.coordinates, found.eigenvalues, *scores):
        assert np.isfinite(values).all()
    assert all(np.all((np.asarray(x) >= 0) & (np.asarray(x) <= 1)) for x in scores)


def test_few_distortions_and_one_source():
    mask = np.zeros((2, 12), bool)
    mask[:, :3] = True  # one distortion
    points = cloud().astype(np.float32)
    assert not np.any(everything(points, mask)[1][1])
    mask[0], mask[1] = True, False
    ps = everything(points, mask)[1][0]
    assert 0 <= float(ps[0]) < 1e-2 and ps[1] == 0  # B is 0 without another source


@pytest.mark.parametrize(
    ('options', 'name'),
    [({'alpha': 1.5}, 'alpha'), ({'time': 0}, 'time'), ({'cutoff': 0.0}, 'cutoff')],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=f'^{name}: expected'):
        mapss.diffusion_map(jnp.zeros((4, 2)), **options)


def test_wrong_tail_and_too_few_points_are_named():
    with pytest.raises(ValueError, match='^tail: expected'):
        mapss.pm(jnp.zeros((2, 4, 7)), jnp.ones((2, 4), bool), jnp.int32(3), 'mean')
    with pytest.raises(ValueError, match='^points: expected'):
        mapss.diffusion_map(jnp.zeros((1, 2)))


@pytest.mark.parametrize('exponent', [-90, 90])
def test_the_map_does_not_depend_on_the_scale_of_the_points(exponent):
    points = jnp.asarray(np.random.default_rng(10).normal(size=(12, 3)), jnp.float32)
    found, expected = mapped(points * 2.0**exponent), mapped(points)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-4, atol=1e-6)


def test_one_point_has_a_median_distance_of_0():
    assert mapss.lower_median(jnp.zeros((1, 1)), jnp.ones(1, bool)) == 0
