import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import nnls
from sklearn.linear_model import OrthogonalMatchingPursuit

from jaxsep.ops import matching_pursuit as pursuit


def rows_and_atoms(seed=0, n=12, d=5, m=9, dtype=np.float32):
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(m, d))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return rng.normal(size=(n, d)).astype(dtype), atoms.astype(dtype)


@functools.partial(jax.jit, static_argnames=('k', 'form'))
def encode(x, w, k, form='auto'):
    """The pursuit, the error of the reconstruction, and its gradients in rows and atoms."""

    def error(x, w):
        found = pursuit.mp_encode(x, w, k, form=form)
        return jnp.mean(jnp.square(found.residual)), found

    (value, found), gradients = jax.value_and_grad(error, argnums=(0, 1), has_aux=True)(x, w)
    return found, value, gradients


# One program per number of steps and form; the tolerance is one rounding per step.
@pytest.mark.parametrize('form', ['gram', 'direct'])
@pytest.mark.parametrize('k', [1, 3, 8])
def test_codes_and_gradient_agree_with_the_original(golden, k, form):
    data = golden('mp_sae')
    atoms = pursuit.unit_dictionary(jnp.asarray(data['W_raw']))
    np.testing.assert_allclose(atoms, data['W_normalised'], rtol=1e-6)
    found, value, (_, gradient) = encode(data['X'], atoms, k, form)
    want = {name: data[f'mp_k{k}/{name}'] for name in ('codes', 'residual', 'mse', 'grad_W')}
    np.testing.assert_allclose(found.codes, want['codes'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.residual, want['residual'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, want['mse'], rtol=1e-6)
    np.testing.assert_allclose(gradient, want['grad_W'], rtol=1e-5, atol=1e-6)
    decoded = pursuit.decode(found.codes, atoms)
    np.testing.assert_allclose(decoded, data[f'mp_k{k}/recon'], rtol=1e-5, atol=1e-6)
    if k == 8:
        np.testing.assert_array_equal(found.indices, data['trace/index'])
        np.testing.assert_allclose(found.values, data['trace/value'], rtol=1e-5, atol=1e-6)


def test_gradient_in_the_rows_agrees_with_the_original(golden):
    data = golden('mp_sae')
    atoms = jnp.asarray(data['W_normalised'])

    def total(x):
        found = pursuit.mp_encode(x, atoms, 3)
        return jnp.sum(jnp.square(pursuit.decode(found.codes, atoms)))

    value, gradient = jax.jit(jax.value_and_grad(total))(data['X'])
    np.testing.assert_allclose(value, data['mp_k3/sum_sq_recon'], rtol=1e-6)
    want = data['mp_k3/grad_X_of_sum_sq_recon']
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-5)


until = jax.jit(functools.partial(pursuit.mp_encode_threshold, max_steps=12))


@pytest.mark.parametrize('tolerance', ['1', '0.3'])
def test_the_released_encoder_stops_each_row_where_the_original_does(golden, tolerance):
    data = golden('mp_sae')
    found, steps = until(data['X'], data['W_normalised'], float(tolerance))
    want = {k: data[f'released_thr{tolerance}/{k}'] for k in ('codes', 'residual', 'steps')}
    np.testing.assert_array_equal(steps, want['steps'])
    np.testing.assert_allclose(found.codes, want['codes'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.residual, want['residual'], rtol=1e-5, atol=1e-6)


orthogonal = jax.jit(
    functools.partial(pursuit.omp_encode, num_inner_steps=200), static_argnames='num_steps'
)


# The card's tolerance: the original stops the inner steps at a gradient of 1e-5.
@pytest.mark.parametrize('k', [2, 4])
def test_orthogonal_pursuit_agrees_with_the_original(golden, k):
    data = golden('mp_sae')
    found = orthogonal(data['X'], data['W_normalised'], num_steps=k)
    np.testing.assert_allclose(found.codes, data[f'omp_k{k}/codes'], atol=1e-3)
    np.testing.assert_allclose(found.residual, data[f'omp_k{k}/residual'], atol=1e-3)


def oracle(x, w, k):
    """The card, row by row."""
    residuals, codes = x.copy(), np.zeros((len(x), len(w)))
    for i in range(len(x)):
        for _ in range(k):
            c = w @ residuals[i]
            j = int(np.argmax(c))
            codes[i, j] += c[j]
            residuals[i] -= c[j] * w[j]
    return residuals, codes


def test_agrees_with_loops_and_has_exact_gradients(float64):
    x, w = rows_and_atoms(1, dtype=np.float64)
    want = oracle(x, w, 6)
    x, w = jnp.asarray(x), jnp.asarray(w)
    for form in ('gram', 'direct'):
        found, _, _ = encode(x, w, 6, form)
        np.testing.assert_allclose(found.residual, want[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.codes, want[1], rtol=1e-10, atol=1e-12)

    def weighted(x, w):  # codes and residual both reach the value
        found = pursuit.mp_encode(x, w, 6, form='gram')
        scales = jnp.arange(9.0)
        return jnp.sum(jnp.sin(found.codes) * scales[None, :]) + jnp.sum(found.residual**3)

    check_grads(jax.jit(weighted), (x, w), order=1, modes=('rev', 'fwd'))

    def until_small(x, w):
        found, _ = pursuit.mp_encode_threshold(x, w, 0.5, max_steps=6)
        return jnp.sum(jnp.sin(found.codes)) + jnp.sum(found.residual**3)

    check_grads(jax.jit(until_small), (x, w), order=1, modes=('rev',))


def test_each_step_takes_the_square_of_its_value_from_the_squared_norm():
    """Hence the error never rises with more steps, trained or not."""
    x, w = rows_and_atoms(2)
    found, _, _ = encode(x, w, 6)
    squares = np.sum(np.asarray(found.values, np.float64) ** 2, axis=1)
    left = np.sum(np.asarray(found.residual, np.float64) ** 2, axis=1)
    np.testing.assert_allclose(left, np.sum(x.astype(float) ** 2, axis=1) - squares, rtol=1e-5)


def test_fewer_steps_are_a_prefix_of_more():
    x, w = rows_and_atoms(3)
    many, few = encode(x, w, 6)[0], encode(x, w, 3)[0]
    np.testing.assert_array_equal(many.indices[:, :3], few.indices)
    np.testing.assert_array_equal(many.values[:, :3], few.values)


def test_orthogonal_atoms_are_found_with_their_exact_values():
    basis = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0].astype(np.float32)
    codes = np.zeros((12, 6), np.float32)
    codes[:, [1, 4]] = np.random.default_rng(5).uniform(1, 2, (12, 2))
    for found in (
        encode(codes @ basis, basis, 3)[0],
        orthogonal(codes @ basis, basis, num_steps=3),
    ):
        np.testing.assert_allclose(found.codes, codes, atol=2e-6)
        np.testing.assert_allclose(found.residual, 0, atol=2e-6)


def test_the_first_of_equal_atoms_is_taken_and_a_negative_one_where_all_are():
    w = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    x = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], np.float32)
    for form in ('gram', 'direct'):
        found, _, gradients = encode(x, w, 1, form)
        np.testing.assert_array_equal(found.codes, [[2, 0], [-2, 0], [0, 0]])
        assert all(np.all(np.isfinite(g)) for g in gradients)
    found, steps = until(x, w, 0.1)
    np.testing.assert_array_equal(found.codes, [[2, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(steps, [1, 1, 1])


def test_without_rows_everything_is_empty():
    _, w = rows_and_atoms()
    x = np.zeros((0, 5), np.float32)
    found, _ = until(x, w, 0.1)
    for each in (encode(x, w, 3)[0], found, orthogonal(x, w, num_steps=3)):
        assert each.codes.shape == (0, 9) and each.residual.shape == (0, 5)


def test_orthogonal_pursuit_solves_non_negative_least_squares_on_its_atoms():
    x, w = rows_and_atoms(6, n=10, d=15, m=6)
    found = orthogonal(x, w, num_steps=4)
    for row, codes, chosen in zip(x, found.codes, found.indices, strict=True):
        assert len(set(chosen.tolist())) == 4
        want, _ = nnls(w[chosen].T, row)
        np.testing.assert_allclose(codes[chosen], want, atol=2e-4)


def test_orthogonal_pursuit_is_that_of_scikit_learn_where_codes_are_positive():
    rng = np.random.default_rng(7)
    _, w = rows_and_atoms(8, d=40, m=6)
    codes = np.zeros((12, 6))
    for row in codes:
        row[rng.choice(6, 3, replace=False)] = rng.uniform(1, 2, 3)
    x = (codes @ w).astype(np.float32)
    model = OrthogonalMatchingPursuit(n_nonzero_coefs=3, fit_intercept=False)
    want = model.fit(w.T.astype(float), x.T.astype(float)).coef_
    np.testing.assert_allclose(want, codes, atol=1e-5)
    np.testing.assert_allclose(orthogonal(x, w, num_steps=3).codes, want, atol=1e-4)


def test_unit_dictionary_scales_rows_and_leaves_zero_atoms_zero_with_finite_gradient():
    w = np.array([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]], np.float32)

    def total(w):
        unit = pursuit.unit_dictionary(w)
        return jnp.sum(unit), unit

    value, gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(w)
    value, got = value
    np.testing.assert_allclose(got, [[0.6, 0.8], [0, 0], [1, 0]], atol=2e-5)
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_dropout_leaves_out_whole_atoms_and_keeps_the_norm_of_the_rest():
    _, w = rows_and_atoms(9, m=200)
    kept = np.asarray(pursuit.dictionary_dropout(jax.random.key(0), jnp.asarray(w), 0.3))
    gone = ~kept.any(axis=1)
    assert 35 < gone.sum() < 85
    np.testing.assert_array_equal(kept[~gone], w[~gone])


def test_wrong_arguments_are_named():
    x, w = map(jnp.asarray, rows_and_atoms())
    with pytest.raises(ValueError, match='num_steps: expected at least 1, got 0'):
        pursuit.mp_encode(x, w, 0)
    with pytest.raises(ValueError, match="form: expected one of .*, got 'fast'"):
        pursuit.mp_encode(x, w, 1, form='fast')
    with pytest.raises(ValueError, match='num_steps: expected at most the 9 atoms, got 10'):
        pursuit.omp_encode(x, w, 10)
    with pytest.raises(ValueError, match='rate: expected 0 <= rate < 1, got 1'):
        pursuit.dictionary_dropout(jax.random.key(0), w, 1.0)
