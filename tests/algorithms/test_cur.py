"""CUR against the golden numbers, numpy's pseudo-inverse, and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms import cur


def matrix_of_rank(rank, n=9, m=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, m))


@pytest.mark.parametrize('oracle', [False, True])
def test_golden(golden, float64, oracle):
    a = {k[4:]: jnp.asarray(v) for k, v in golden('shared_retrieval').items() if k[:4] == 'cur/'}
    end = '_oracle' if oracle else ''
    factors = cur.cur(a['matrix'], a['rows'], a['cols'], float(a['rtol']), oracle=oracle)
    np.testing.assert_allclose(factors.core, a[f'U{end}'], rtol=1e-9)
    np.testing.assert_allclose(cur.approximation(factors), a[f'approx{end}'], rtol=1e-9, atol=1e-12)


def test_pseudo_inverse_agrees_with_numpy_and_cuts_relative_to_the_largest(float64):
    x = np.diag([1e6, 1.0, 1e-3]) @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for rtol in (1e-10, 1e-7, 1e-3):
        expected = np.linalg.pinv(x, rcond=rtol)
        np.testing.assert_allclose(cur.pseudo_inverse(jnp.asarray(x), rtol), expected, atol=1e-7)


def test_repeated_columns_are_no_trouble_and_zeros_give_zeros():
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    x[:, 3] = x[:, 1]
    inverse = jax.jit(cur.pseudo_inverse)(jnp.asarray(x))
    np.testing.assert_allclose(inverse, np.linalg.pinv(x, rcond=1e-5), rtol=1e-3, atol=1e-5)
    assert (jax.jit(cur.pseudo_inverse)(jnp.zeros((6, 4))) == 0).all()


def test_exact_where_the_intersection_has_the_rank_of_the_matrix(float64):
    s = jnp.asarray(matrix_of_rank(3))
    for oracle in (False, True):
        factors = cur.cur(s, jnp.array([5, 0, 7]), jnp.array([6, 2, 3, 1]), oracle=oracle)
        np.testing.assert_allclose(cur.approximation(factors), s, rtol=1e-8, atol=1e-10)
        assert cur.relative_error(s, cur.approximation(factors)) < 1e-10


def test_the_oracle_is_the_best_core(float64):
    s = jnp.asarray(np.random.default_rng(2).normal(size=(9, 7)))
    rows, cols = jnp.array([1, 4, 6]), jnp.array([0, 2])
    best = cur.cur(s, rows, cols, oracle=True)

    def error(core):
        return cur.relative_error(s, cur.approximation(best._replace(core=core)))

    gradient = jax.grad(error)(best.core)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    assert error(best.core) < error(cur.cur(s, rows, cols).core)


def test_both_preferences_are_factors_of_the_same_approximation(float64):
    s = jnp.asarray(np.random.default_rng(3).normal(size=(9, 7)))
    factors = cur.cur(s, jnp.array([1, 4, 6]), jnp.array([0, 2]))
    kept_rows, found_cols = cur.latent_factors(factors, 'rows')
    found_rows, kept_cols = cur.latent_factors(factors, 'cols')
    np.testing.assert_array_equal(kept_rows, s[:, jnp.array([0, 2])])
    np.testing.assert_array_equal(kept_cols, s[jnp.array([1, 4, 6])])
    np.testing.assert_allclose(kept_rows @ found_cols, found_rows @ kept_cols, rtol=1e-10)
    with pytest.raises(ValueError, match="approx_preference: .* got 'both'"):
        cur.latent_factors.__wrapped__(factors, 'both')


def test_new_rows_need_their_columns_only(float64):
    s = jnp.asarray(matrix_of_rank(3))
    cols = jnp.array([6, 2, 3, 1])
    factors = cur.cur_from_parts(s[5:, cols], s[:5], s[:5, cols])
    np.testing.assert_allclose(cur.approximation(factors), s[5:], rtol=1e-8, atol=1e-10)
