"""The radii of PS and PM against the original code and plain numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxsep.metrics import mapss
from jaxsep.metrics import mapss_intervals as intervals

FLOAT32_EPS = np.finfo(np.float32).eps


@jax.jit
def radii(coordinates, mask, num_kept):
    return [f(coordinates, mask, num_kept) for f in (intervals.ps_radii, intervals.pm_radii)]


mapped = jax.jit(mapss.diffusion_map, static_argnames=('alpha',))


@pytest.mark.parametrize('case', 'abc')
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(np.float32, 5e-4), (np.float64, 1e-7)], ids=['float32', 'float64']
)
def test_the_original_code_agrees(golden, case, dtype, tolerance):
    """In float32 within 5e-4: 1e-9 joins a matrix here, and the corners move PM by up to 0.6."""
    g = {k[2:]: v for k, v in golden('mapss').items() if k.startswith(f'{case}/')}
    s, p = int(g['n_src']), int(g['n_dist']) + 2
    points, mask = np.zeros((3, 26, 16), dtype), np.zeros((3, 26), bool)
    points[:s, :p, : g['X'].shape[1]] = g['X'].reshape(s, p, -1)
    mask[:s, :p] = True  # among as many absent points as make one shape of all cases
    with jax.enable_x64(dtype is np.float64):
        found = mapped(points.reshape(3 * 26, 16), mask.ravel(), alpha=float(g['alpha']))
        of_ps, of_pm = radii(found.coordinates.reshape(3, 26, -1), mask, found.num_kept)
    for name, value in (
        ('ps_bias', of_ps.bias),
        ('ps_prob', of_ps.prob),
        ('pm_bias', of_pm.bias),
        ('pm_prob', of_pm.prob),
    ):
        np.testing.assert_allclose(
            value[:s], g[f'f64/{name}'], atol=tolerance, rtol=0, err_msg=name
        )


def safe_covariance(x):
    covariance = np.cov(x.T)
    spectrum = np.linalg.svd(covariance, compute_uv=False)
    short = np.sum(spectrum > spectrum[0] * len(covariance) * FLOAT32_EPS) < len(covariance)
    return covariance + 1e-6 * np.eye(len(covariance)) * short


def numpy_ps_radii(x, kept, delta):
    s, p, _ = x.shape
    bias, prob = [], []
    for i in range(s):
        found = []
        for j in range(s):
            cluster = np.delete(x[j], 1, axis=0)
            mean, n = cluster.mean(axis=0), p - 1
            u, w = np.split(x[i, 1] - mean, [kept])
            d, c = np.split(cluster - mean, [kept], axis=1)
            sd, sc, cross = safe_covariance(d), safe_covariance(c), d.T @ c / (n - 1)
            r = w - cross.T @ np.linalg.solve(sd, u)
            inner = sc - cross.T @ np.linalg.solve(sd, cross) + 1e-9 * np.eye(len(w))
            residual = np.sqrt(r @ np.linalg.solve(inner, r))
            found.append((np.sqrt(u @ np.linalg.solve(sd, u) + 1e-6), residual, sd))
        a, own, own_cov = found.pop(i)
        b, other, other_cov = min(found, key=lambda given: given[0])
        bias.append((b * own + a * other) / (a + b) ** 2)
        n, log = max(int(0.7 * (p - 1)), 3), np.log(4 / delta)
        errors = []
        for distance, cov in ((a, own_cov), (b, other_cov)):
            values = np.linalg.eigvalsh(cov)
            largest, least = values[-1], max(values[0], 1e-9, 0.05 * values[-1])
            ratio = np.trace(cov) / largest
            mean_error = np.sqrt(2 * largest * log / n)
            errors.append(
                2 * np.sqrt(distance) * mean_error * np.sqrt(largest / least)
                + distance * (np.sqrt(ratio / n) + (ratio + log) / n)
            )
        prob.append(min(1, np.hypot(a, b) / (a + b) ** 2 * np.hypot(*errors)))
    return np.array(bias), np.array(prob)


def numpy_pm_radii(x, kept, delta):
    s, p, _ = x.shape
    n = p - 2
    bias, prob = [], []
    for i in range(s):
        u, w = np.split(x[i] - x[i, 0], [kept], axis=1)
        d, c = u[2:], w[2:]
        sd, sc, cross = safe_covariance(d), safe_covariance(c), d.T @ c / (n - 1)
        inner = sc - cross.T @ np.linalg.solve(sd, cross) + 1e-9 * np.eye(w.shape[1])
        r = w - u @ np.linalg.solve(sd, cross)
        energy = np.sum(r * np.linalg.solve(inner, r.T).T, axis=1)
        squared = np.sum(u * np.linalg.solve(sd, u.T).T, axis=1)
        a, values, full = squared[1], squared[2:], (squared + energy)[2:]
        mean, var = values.mean(), values.var(ddof=1) + 1e-12
        k, theta = mean**2 / var, var / mean
        centre = scipy.special.gammaincc(k, a / theta)

        def worst(dk, dt, da, k=k, theta=theta, a=a, centre=centre):
            return max(
                abs(
                    scipy.special.gammaincc(
                        max(k + i * dk, 1e-6), max(a + m * da, 1e-8) / max(theta + j * dt, 1e-6)
                    )
                    - centre
                )
                for i, j, m in itertools.product((-1, 1), repeat=3)
            )

        f = energy[2:].max() * n / (n - 1)
        bias.append(
            worst(
                f * (full.mean() + mean) / var,
                f * (full.var(ddof=1) + 1e-12 + var) / (mean**2 + 1e-9),
                energy[1],
            )
        )
        log, largest, sd = np.log(6 / delta), values.max() + 1e-12, np.sqrt(var)
        e1 = np.sqrt(2 * var * log / n) + 3 * largest * log / n
        e2 = np.sqrt(2 * largest**2 * log / n) + 3 * largest**2 * log / n
        dk = 2 * mean / (var + 1e-9) * e1 + 2 * mean**2 / (sd**3 + 1e-9) * e2
        dt = var / (mean**2 + 1e-9) * e1 + 2 * sd / (mean + 1e-9) * e2
        prob.append(
            worst(
                min(dk, k / 2),
                min(dt, theta / 2),
                min(largest * np.sqrt(2 * log / n), a / 2 + 1e-12),
            )
        )
    return np.array(bias), np.array(prob)


def coordinates(seed=0, s=3, p=12):
    rng = np.random.default_rng(seed)
    k = s * p - 1
    scale = 0.3 * 0.8 ** np.arange(k)
    return (rng.standard_normal((s, 1, k)) + rng.standard_normal((s, p, k))) * scale


@pytest.mark.parametrize('kept', [4, 9, 20, 29], ids=lambda kept: f'{kept} of 35 kept')
def test_plain_numpy_agrees(kept, float64):
    """Kept or dropped coordinates fewer or more than points: all four cases of the ridge."""
    x = coordinates()
    of_ps, of_pm = radii(x, np.ones(x.shape[:2], bool), jnp.int32(kept))
    for ours, expected in (
        (of_ps, numpy_ps_radii(x, kept, 0.05)),
        (of_pm, numpy_pm_radii(x, kept, 0.05)),
    ):
        np.testing.assert_allclose(ours.bias, expected[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.prob, expected[1], rtol=1e-5, atol=1e-7)


def test_absent_points_change_nothing(float64):
    x, mask = coordinates(), np.ones((3, 12), bool)
    mask[:, 6:] = False
    x[:, 6:], x[:, :, 17:] = 0, 0
    of_ps, of_pm = radii(x, mask, jnp.int32(4))
    for ours, expected in (
        (of_ps, numpy_ps_radii(x[:, :6, :17], 4, 0.05)),
        (of_pm, numpy_pm_radii(x[:, :6, :17], 4, 0.05)),
    ):
        np.testing.assert_allclose(ours.bias, expected[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.prob, expected[1], rtol=1e-5, atol=1e-7)


def test_nothing_is_uncertain_where_nothing_is_dropped_and_for_absent_sources(float64):
    x = coordinates()
    mask = np.ones(x.shape[:2], bool)
    assert not any(np.any(v) for v in jax.tree.leaves(radii(x, mask, jnp.int32(35))))
    mask[2] = False
    for value in jax.tree.leaves(radii(np.where(mask[:, :, None], x, 0), mask, jnp.int32(5))):
        assert value[2] == 0 and np.all(value[:2] > 0)


def test_more_confidence_needs_larger_radii(float64):
    """Where PS is not cut at 1. The box of PM is, at half of k and theta: what moves is its other side."""
    x = 0.01 * coordinates()
    mask = np.ones(x.shape[:2], bool)

    @jax.jit
    def sure(x, mask, kept):
        return [f(x, mask, kept, 0.01) for f in (intervals.ps_radii, intervals.pm_radii)]

    for place, kept in enumerate((4, 9)):
        more, less = (f(x, mask, jnp.int32(kept))[place] for f in (sure, radii))
        np.testing.assert_allclose(more.bias, less.bias, rtol=1e-6)
        assert np.all(more.prob >= less.prob)
        larger = np.asarray(more.prob > less.prob)
        assert larger.all() if place == 0 else larger.any()


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('scale', [0.0, 1e-6, 1.0])
def test_radii_of_degenerate_clouds_are_finite(dtype, scale):
    with jax.enable_x64(dtype is np.float64):
        x = (coordinates() * scale).astype(dtype)
        for value in jax.tree.leaves(radii(x, np.ones(x.shape[:2], bool), jnp.int32(9))):
            assert np.isfinite(value).all()


@pytest.mark.parametrize('measure', [intervals.ps_radii, intervals.pm_radii])
def test_a_wrong_delta_is_named(measure):
    with pytest.raises(ValueError, match='^delta: expected'):
        measure(jnp.zeros((2, 4, 7)), jnp.ones((2, 4), bool), jnp.int32(3), delta=1.0)


def test_a_source_without_distortions_has_finite_radii():
    found = jax.jit(intervals.box_radii, static_argnums=3)(
        jnp.ones(3), jnp.ones(3), jnp.zeros(3, bool), 0.05
    )
    assert np.isfinite(found).all()
