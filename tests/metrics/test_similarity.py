import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import sklearn.cross_decomposition
import sklearn.linear_model

from jaxsep.metrics import similarity as sim


def pair(golden, case='D', dtype=np.float64):
    values = golden('separability_metrics')
    a, b = (jnp.asarray(values[f'{case}/{side}'].astype(dtype)) for side in 'AB')
    return values, a, b


def cloud(seed=0, n=40, p=6, q=7):
    """Two views that share some directions."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, p))
    return a, a @ rng.normal(size=(p, q)) + rng.normal(size=(n, q)) + 1.0


def rotation(d, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


MEASURES = {
    'cka': sim.cka,
    'cka_unbiased': functools.partial(sim.cka, unbiased=True),
    **{
        f'cka_rbf{sigma}{suffix}': functools.partial(
            sim.cka, kernel='rbf', sigma=float(sigma), unbiased=bool(suffix)
        )
        for sigma in (1, 3)
        for suffix in ('', '_unbiased')
    },
    'linear_cka': sim.linear_cka,
    **{
        f'{measure.__name__}{k}': functools.partial(measure, k=k)
        for measure in (sim.mutual_knn, sim.cycle_knn, sim.cknna)
        for k in (3, 10)
    },
    'cca': sim.cca,
    'svcca': sim.svcca,
    'pwcca': sim.pwcca,
    'procrustes_distance': sim.procrustes_distance,
    'linear_regression_r2': sim.linear_regression_r2,
}
CORRELATIONS = ('cca', 'pwcca', 'linear_regression_r2')


@jax.jit
def measure_all(a, b):
    return {name: measure(a, b) for name, measure in MEASURES.items()}


def released_cka(k, l, unbiased):  # noqa: E741
    """The golden values carry the constant of the code that made them."""
    between, own_k, own_l = (sim.hsic(*p, unbiased) for p in ((k, l), (k, k), (l, l)))
    return between / (jnp.sqrt(own_k * own_l) + 1e-6)


GOLDEN = {
    'cka': 'cka_ip_biased',
    'cka_unbiased': 'cka_ip_unbiased',
    'cka_rbf1': 'cka_rbf_sigma1_biased',
    'cka_rbf3': 'cka_rbf_sigma3_biased',
    'cka_rbf1_unbiased': 'cka_rbf_sigma1_unbiased',
    'cka_rbf3_unbiased': 'cka_rbf_sigma3_unbiased',
    'linear_cka': 'cka_linear_feature_space',
    'mutual_knn3': 'mutual_knn3',
    'mutual_knn10': 'mutual_knn10',
    'cycle_knn3': 'cycle_knn3',
    'cycle_knn10': 'cycle_knn10',
    'cknna3': 'cknna3',
    'cknna10': 'cknna10',
    'cca': 'cca_coefs',
    'svcca': 'svcca_mean',
    'pwcca': 'pwcca_definition',
    'procrustes_distance': 'procrustes_distance',
    'linear_regression_r2': 'linear_regression_R2_A_to_B',
}
# Their codes add 1e-6 to denominators (unbiased ones are near 1e-2) and 1e-10 to covariances.
TOLERANCE = {'cka_rbf1_unbiased': 1e-3, 'cka_rbf3_unbiased': 1e-4, 'cknna3': 1e-3, 'cknna10': 1e-4}


def test_golden_values(golden, float64):
    values, a, b = pair(golden)
    ours = measure_all(a, b)
    for name, key in GOLDEN.items():
        rtol = TOLERANCE.get(name, 1e-6)
        np.testing.assert_allclose(ours[name], values[f'D/{key}'], rtol=rtol, err_msg=name)
    # The released PWCCA code computes another number than the paper's definition.
    assert abs(ours['pwcca'] - values['D/pwcca_released_code']) > 0.01


def test_golden_values_in_float32(golden):
    values, a, b = pair(golden, dtype=np.float32)
    ours = measure_all(a, b)
    for name, key in GOLDEN.items():
        assert ours[name].dtype == jnp.float32, name
        rtol = 1e-3 if 'unbiased' in name or 'cknna' in name else 1e-4
        np.testing.assert_allclose(ours[name], values[f'D/{key}'], rtol=rtol, err_msg=name)


@pytest.mark.parametrize('kind', ['biased', 'unbiased'])
def test_golden_hsic_and_the_constant_that_their_cka_carries(golden, float64, kind):
    values, a, b = pair(golden)
    unbiased = kind == 'unbiased'
    kernels = {'ip': (a @ a.T, b @ b.T)}
    for sigma in (1, 3):
        squares = [np.sum((x[:, None] - x[None]) ** 2, -1) for x in (np.array(a), np.array(b))]
        kernels[f'rbf_sigma{sigma}'] = [jnp.asarray(np.exp(-s / 2 / sigma**2)) for s in squares]
    for name, (k, l) in kernels.items():  # noqa: E741
        between, own_k, own_l = (sim.hsic(*p, unbiased) for p in ((k, l), (k, k), (l, l)))
        if name == 'ip':
            np.testing.assert_allclose(between, values[f'D/hsic_{kind}_linear'], rtol=1e-9)
        released = between / (np.sqrt(own_k * own_l) + 1e-6)
        np.testing.assert_allclose(released, values[f'D/cka_{name}_{kind}'], rtol=1e-9)


def test_golden_svcca_with_truncation(golden, float64):
    values, a, b = pair(golden, 'D2')
    np.testing.assert_allclose(sim.svcca(a, b), values['D2/svcca99_mean'], rtol=1e-6)
    mean = np.mean(sim.cca(a, b))
    np.testing.assert_allclose(mean, values['D2/cca_mean_no_truncation'], rtol=1e-6)
    for side, kept in zip('AB', values['D2/svcca99_kept'], strict=True):
        x = values[f'D2/{side}']
        s = np.linalg.svd(x - np.mean(x, axis=0), compute_uv=False)
        assert np.sum(sim.leading_directions(jnp.asarray(s), 0.99)) == kept


@pytest.mark.parametrize('unbiased', [False, True])
def test_hsic_agrees_with_loops_over_pairs_triples_and_quadruples(float64, unbiased):
    """Gretton's double centring, and Song's average over distinct indices."""
    rng = np.random.default_rng(1)
    n = 6
    k, l = rng.normal(size=(n, n)), rng.normal(size=(n, n))  # noqa: E741
    k, l = k + k.T, l + l.T  # noqa: E741
    if unbiased:
        total = {2: [], 3: [], 4: []}
        for i, j, q, r in np.ndindex(n, n, n, n):
            if len({i, j, q, r}) == 4:
                total[2].append(k[i, j] * l[i, j])
                total[3].append(k[i, j] * l[i, q])
                total[4].append(k[i, j] * l[q, r])
        expected = np.mean(total[2]) - 2 * np.mean(total[3]) + np.mean(total[4])
    else:
        h = np.eye(n) - 1 / n
        expected = np.trace(k @ h @ l @ h)
    np.testing.assert_allclose(sim.hsic(jnp.asarray(k), jnp.asarray(l), unbiased), expected)


def test_neighbour_measures_agree_with_loops(float64):
    a, b = cloud(2)
    k = 3
    near = []
    for x in (a, b):
        lists = []
        for i in range(len(x)):
            cosines = [x[i] @ y / np.linalg.norm(x[i]) / np.linalg.norm(y) for y in x]
            cosines[i] = -np.inf
            lists.append(sorted(range(len(x)), key=lambda j: -cosines[j])[:k])
        near.append(lists)
    mutual = np.mean([len(set(u) & set(v)) / k for u, v in zip(*near, strict=True)])
    cycle = np.mean([any(i in near[0][j] for j in near[1][i]) for i in range(len(a))])
    a, b = jnp.asarray(a), jnp.asarray(b)
    np.testing.assert_allclose(sim.mutual_knn(a, b, k), mutual, rtol=1e-12)
    np.testing.assert_allclose(sim.cycle_knn(a, b, k), cycle, rtol=1e-12)
    assert 0 < mutual < 1 and 0 < cycle < 1


def test_all_neighbours_make_cknna_the_unbiased_cka_of_directions(float64):
    a, b = (jnp.asarray(x) for x in cloud(3))
    directions = [jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True)) for x in cloud(3)]
    expected = sim.cka(*directions, unbiased=True)
    np.testing.assert_allclose(sim.cknna(a, b, len(a) - 1), expected, rtol=1e-9)


def test_cca_agrees_with_inverse_square_roots_of_covariances(float64):
    a, b = cloud(4)
    cov = np.cov(a.T, b.T)
    roots = [np.real(scipy.linalg.sqrtm(np.linalg.inv(c))) for c in (cov[:6, :6], cov[6:, 6:])]
    expected = np.linalg.svd(roots[0] @ cov[:6, 6:] @ roots[1], compute_uv=False)
    np.testing.assert_allclose(sim.cca(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-8)


def test_cca_agrees_with_scikit_learn(float64):
    a, b = cloud(5, n=40, p=2, q=2)
    model = sklearn.cross_decomposition.CCA(n_components=2, max_iter=5000, tol=1e-12)
    u, v = model.fit_transform(a, b)
    expected = [np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(sim.cca(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-6)


def test_procrustes_agrees_with_scipy(float64):
    a, b = cloud(6, p=6, q=6)
    _, _, expected = scipy.spatial.procrustes(a, b)
    np.testing.assert_allclose(
        sim.procrustes_distance(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-9
    )


def test_regression_agrees_with_scikit_learn(float64):
    a, b = cloud(7)
    residual = b - sklearn.linear_model.LinearRegression().fit(a, b).predict(a)
    expected = 1 - np.sum(residual**2) / np.sum((b - b.mean(0)) ** 2)
    ours = sim.linear_regression_r2(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_feature_space_and_kernel_form_of_linear_cka_are_equal(float64):
    a, b = map(jnp.asarray, cloud(8))
    np.testing.assert_allclose(sim.linear_cka(a, b), sim.cka(a, b), rtol=1e-12)


def test_equal_representations_agree_perfectly(float64):
    a = jnp.asarray(cloud(10)[0])
    for name, value in measure_all(a, a).items():
        np.testing.assert_allclose(value, 0.0 if 'distance' in name else 1.0, atol=1e-9)


def test_rotation_and_joint_order_change_nothing(float64):
    a, b = cloud(11)
    order = np.random.default_rng(0).permutation(len(a))
    expected = measure_all(jnp.asarray(a), jnp.asarray(b))
    turned = measure_all(jnp.asarray(a @ rotation(6)), jnp.asarray(b @ rotation(7)))
    shuffled = measure_all(jnp.asarray(a[order]), jnp.asarray(b[order]))
    for name in MEASURES:
        if name != 'pwcca':  # its weights are sums of absolute values over coordinates
            np.testing.assert_allclose(turned[name], expected[name], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(shuffled[name], expected[name], rtol=1e-9, err_msg=name)


def test_isotropic_scale_and_shift_change_nothing_where_promised(float64):
    a, b = cloud(12)
    expected = measure_all(jnp.asarray(a), jnp.asarray(b))
    scaled = measure_all(jnp.asarray(100.0 * a), jnp.asarray(0.01 * b))
    shifted = measure_all(jnp.asarray(a + 30.0), jnp.asarray(b - 7.0))
    for name in MEASURES:
        if 'rbf' not in name:
            np.testing.assert_allclose(scaled[name], expected[name], rtol=1e-9, err_msg=name)
        if 'knn' not in name and name != 'cknna':
            np.testing.assert_allclose(shifted[name], expected[name], rtol=1e-9, err_msg=name)


def test_only_correlations_are_invariant_to_every_invertible_linear_map(float64):
    a, b = cloud(13)
    stretch = np.diag([1.0, 5.0, 0.2, 3.0, 0.5, 2.0]) @ rotation(6)
    expected = measure_all(jnp.asarray(a), jnp.asarray(b))
    ours = measure_all(jnp.asarray(a @ stretch), jnp.asarray(b))
    for name in ('cca', 'linear_regression_r2'):
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-9, err_msg=name)
    for name in ('linear_cka', 'procrustes_distance', 'pwcca'):
        assert abs(ours[name] - expected[name]) > 1e-3, name


def test_symmetric_measures_are_symmetric(float64):
    a, b = cloud(14, q=6)
    there, back = (
        measure_all(jnp.asarray(a), jnp.asarray(b)),
        measure_all(jnp.asarray(b), jnp.asarray(a)),
    )
    for name in set(MEASURES) - {
        'cycle_knn3',
        'cycle_knn10',
        'cknna3',
        'cknna10',
        'pwcca',
        'linear_regression_r2',
    }:
        np.testing.assert_allclose(there[name], back[name], rtol=1e-9, err_msg=name)


def test_unbiased_cka_of_independent_noise_is_near_zero_and_the_biased_one_is_not(float64):
    rng = np.random.default_rng(15)
    a, b = (jnp.asarray(rng.normal(size=(30, 200))) for _ in range(2))
    assert sim.cka(a, b) > 0.8
    assert abs(sim.cka(a, b, unbiased=True)) < 0.1


def test_wider_than_points_is_explained_perfectly(float64):
    a, b = cloud(16, n=5, p=6, q=2)
    np.testing.assert_allclose(sim.cca(jnp.asarray(a), jnp.asarray(b)), 1.0, rtol=1e-9)
    np.testing.assert_allclose(sim.linear_regression_r2(jnp.asarray(a), jnp.asarray(b)), 1.0)


def test_directions_beyond_the_rank_have_no_correlation(float64):
    a, b = cloud(17)
    doubled = np.concatenate([a, a @ rotation(6)], axis=1)
    ours = sim.cca(jnp.asarray(doubled), jnp.asarray(b))
    np.testing.assert_allclose(ours[:6], sim.cca(jnp.asarray(a), jnp.asarray(b)), rtol=1e-9)
    assert np.all(np.abs(ours[6:]) < 1e-12)


@jax.jit
@jax.grad
def gradient_of_alignments(a, b):
    return sim.cka(a, b) + sim.cka(a, b, unbiased=True) + sim.linear_cka(a, b)


@pytest.mark.parametrize('value', [0.0, 3.1])
def test_constant_representation_has_nothing_in_common(value):
    b = jnp.asarray(cloud(18)[1], jnp.float32)
    a = jnp.full((40, 6), value, jnp.float32)
    ours = measure_all(a, b)
    for name in ('cka', 'cka_unbiased', 'linear_cka', *CORRELATIONS, 'svcca'):
        assert np.all(ours[name] == 0), name
    assert ours['procrustes_distance'] == 1
    assert all(np.all(np.isfinite(v)) for v in ours.values())
    assert np.all(np.isfinite(gradient_of_alignments(a, b)))


@pytest.mark.parametrize('scale', [1e-25, 1e25])
def test_scale_neither_overflows_nor_vanishes_in_float32(scale):
    a, b = (jnp.asarray(x, jnp.float32) for x in cloud(19))
    expected = measure_all(a, b)
    ours = measure_all(a * np.float32(scale), b)
    for name in [name for name in MEASURES if 'rbf' not in name]:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-4, err_msg=name)


def test_gradients_agree_with_differences(float64):
    """Along one random direction, of a weighted sum: one compilation for all."""
    weights = {'cka': 1.0, 'cka_unbiased': -0.7, 'cka_rbf1': 1.9, 'linear_cka': 0.6}

    @jax.jit
    @jax.value_and_grad
    def together(a):
        return sum(weight * MEASURES[name](a, b) for name, weight in weights.items())

    a, b = (jnp.asarray(x) for x in cloud(20, n=7, p=2, q=3))
    direction = np.random.default_rng(21).normal(size=a.shape)
    difference = (together(a + 1e-5 * direction)[0] - together(a - 1e-5 * direction)[0]) / 2e-5
    np.testing.assert_allclose(np.sum(together(a)[1] * direction), difference, rtol=1e-6)


@pytest.mark.parametrize(
    'call, match',
    [
        (lambda a: sim.cka(a, a, kernel='poly'), 'kernel: expected one of'),
        (lambda a: sim.cka(a, a, kernel='rbf', sigma=0.0), 'sigma: expected a positive'),
        (lambda a: sim.cka(a[:3], a[:3], unbiased=True), 'expected at least 4 points, got 3'),
        (lambda a: sim.mutual_knn(a, a, 5), 'k: expected 1 <= k < 5'),
        (lambda a: sim.cycle_knn(a, a, 0), 'k: expected 1 <= k < 5'),
        (lambda a: sim.cknna(a, a, 1), 'k: expected at least 2'),
        (lambda a: sim.svcca(a, a, 0.0), 'fraction: expected 0 < fraction <= 1'),
        *[
            (functools.partial(lambda f, a: f(a, a[1:]), measure), 'b: expected as many rows')
            for measure in MEASURES.values()
        ],
    ],
)
def test_wrong_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call(jnp.ones((5, 2)))
