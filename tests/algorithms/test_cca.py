import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms import alignment
from jaxsep.algorithms.cca import cca_fit, project_x, project_y
from jaxsep.metrics.local_cka import local_cka, local_cka_rbf
from jaxsep.metrics.similarity import cca, linear_cka

fit = jax.jit(cca_fit, static_argnums=(2, 3))


@pytest.fixture(scope='module')
def data(golden):
    return golden('latent_alignment')


def spaces(data):
    """The full spaces and the common subspace, as jax arrays in float64."""
    names = ('X_anchor', 'Y_anchor', 'X_query', 'Y_query')
    full = [jnp.asarray(data[name]) for name in names]
    fitted = fit(full[0], full[1], int(data['k']))
    maps = (project_x, project_y, project_x, project_y)
    return fitted, {'full': full, 'sub': [m(fitted, z) for m, z in zip(maps, full, strict=True)]}


def test_everything_agrees_with_the_original_code_in_both_spaces(data, float64):
    fitted, found = spaces(data)
    np.testing.assert_allclose(fitted.correlations, data['cca/correlations'], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(fitted.x_map, data['cca/Wx'], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(fitted.y_map, data['cca/Wy'], rtol=1e-5, atol=1e-8)
    for space, (x, y, a, b) in found.items():
        want = {k.removeprefix(f'{space}/'): v for k, v in data.items() if k.startswith(space)}
        scores = np.asarray(local_cka(x, y, a, b))
        np.testing.assert_allclose(scores, want['local_cka'], rtol=1e-9)
        rbf = local_cka_rbf(x, y, a[:3], b[:3])
        np.testing.assert_allclose(rbf, want['local_cka_rbf_first3x3'], rtol=1e-8)
        np.testing.assert_allclose(linear_cka(x, y), want['cka_linear'], rtol=1e-9)
        linear = jnp.asarray(a) @ alignment.linear_align(x, y)
        np.testing.assert_allclose(
            cosines(linear, b), want['linear_map_cos'], rtol=1e-8, atol=1e-10
        )
        transform = alignment.affine_align(x, y)
        np.testing.assert_allclose(transform, want['affine_T'], rtol=1e-7, atol=1e-9)
        predicted = alignment.apply_affine(transform, a)
        np.testing.assert_allclose(predicted, want['affine_pred'], rtol=1e-7, atol=1e-9)
        affine = cosines(predicted, b)
        np.testing.assert_allclose(affine, want['affine_cos'], rtol=1e-7, atol=1e-9)
        for name, table in (('cka', scores), ('aff', affine)):
            matched = alignment.best_matching(table)
            np.testing.assert_array_equal(matched, want[f'{name}_match'])
            assert np.mean(matched == np.arange(10)) == want[f'{name}_match_acc']
            assert np.mean(alignment.true_ranks(table) < 5) == want[f'{name}_top5']


def cosines(a, b):
    a, b = (np.asarray(z) / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    return a @ b.T


def test_float32_is_close_enough_to_match(data):
    names = ('X_anchor', 'Y_anchor', 'X_query', 'Y_query')
    x, y, a, b = (jnp.asarray(data[name], jnp.float32) for name in names)
    scores = local_cka(x, y, a, b)
    np.testing.assert_allclose(scores, data['full/local_cka'], rtol=2e-6)
    np.testing.assert_array_equal(
        alignment.best_matching(np.asarray(scores)), data['full/cka_match']
    )
    fitted = fit(x, y, 3)
    np.testing.assert_allclose(fitted.x_map, data['cca/Wx'], rtol=1e-3, atol=1e-4)


def pairs(seed=0, n=40, p=4, q=5):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 2))
    x = np.concatenate([shared, rng.normal(size=(n, p - 2))], 1) @ rng.normal(size=(p, p)) + 3
    y = np.concatenate([shared, rng.normal(size=(n, q - 2))], 1) @ rng.normal(size=(q, q)) - 1
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def test_variates_are_white_and_correlate_coordinate_by_coordinate():
    x, y = pairs()
    fitted = fit(x, y, 3)
    a, b = np.asarray(project_x(fitted, x)), np.asarray(project_y(fitted, y))
    np.testing.assert_allclose(np.cov(a.T), np.eye(3), atol=1e-4)
    np.testing.assert_allclose(np.cov(b.T), np.eye(3), atol=1e-4)
    cross = (a - a.mean(0)).T @ (b - b.mean(0)) / 39
    np.testing.assert_allclose(cross, np.diag(fitted.correlations[:3]), atol=1e-4)
    np.testing.assert_allclose(fitted.correlations[:2], 1, atol=1e-3)
    np.testing.assert_allclose(fitted.correlations, cca(x, y), atol=1e-4)


def test_a_ridge_is_that_of_the_covariances():
    x, y = pairs(1)
    fitted = fit(x, y, 3, 0.5)
    sxx, syy = (np.cov(np.asarray(z, float).T) for z in (x, y))
    sxy = np.cov(np.asarray(x, float).T, np.asarray(y, float).T)[:4, 4:]
    roots = []
    for s in (sxx, syy):
        values, vectors = np.linalg.eigh(s + 0.5 * np.trace(s) / len(s) * np.eye(len(s)))
        roots.append(vectors @ np.diag(values**-0.5) @ vectors.T)
    u, rho, _ = np.linalg.svd(roots[0] @ sxy @ roots[1])
    np.testing.assert_allclose(fitted.correlations, rho, rtol=1e-4)
    want = roots[0] @ u[:, :3]
    np.testing.assert_allclose(np.abs(fitted.x_map), np.abs(want), rtol=1e-3, atol=1e-4)


def test_constant_coordinates_and_few_rows_stay_finite():
    x, y = pairs(2)
    flat = x.at[:, 0].set(7.0)
    assert all(np.isfinite(z).all() for z in fit(flat, y, 4))
    assert all(np.isfinite(z).all() for z in fit(0 * x, y, 4))
    few = fit(x[:3], y[:3], 4)
    assert all(np.isfinite(z).all() for z in few)
    assert np.all(few.x_map[:, 3] == 0), 'three rows have two directions'


def test_local_cka_is_plain_cka_with_one_more_row_and_zero_for_a_constant_side():
    x, y = pairs(3)
    a, b = x[:3] + 1, y[:2] - 1
    want = [[linear_cka(jnp.vstack([x, u]), jnp.vstack([y, v])) for v in b] for u in a]
    np.testing.assert_allclose(local_cka(x, y, a, b), want, rtol=1e-5)
    zero = local_cka(0 * x, y, 0 * a, b)
    np.testing.assert_array_equal(zero, 0)
    assert np.isfinite(local_cka_rbf(0 * x, y, 0 * a, b)).all()


def test_an_affine_relation_is_found_exactly_and_ties_rank_the_true_one_by_order():
    x, _ = pairs(4)
    y = 2.0 * x[:, ::-1] + 5.0
    transform = alignment.affine_align(x, y)
    np.testing.assert_allclose(alignment.apply_affine(transform, x), y, atol=1e-3)
    np.testing.assert_array_equal(alignment.true_ranks(np.zeros((3, 3))), [0, 1, 2])


def test_wrong_sizes_are_named():
    x, y = pairs(5)
    with pytest.raises(ValueError, match='k: expected 1 to 4 directions, got 5'):
        cca_fit(x, y, 5)
    with pytest.raises(ValueError, match='as many rows as x'):
        alignment.affine_align(x, y[:-1])
