import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.distance import cdist

from jaxsep.ops.chamfer import chamfer_distance, chamfer_scores, chamfer_similarity


def sets(rng, count, size, dim=3):
    """Padded sets of different sizes, one of them empty; NaN in the padding."""
    x = rng.normal(size=(count, size, dim)).astype(np.float32)
    mask = np.arange(size)[None] < rng.integers(1, size + 1, count)[:, None]
    mask[-1] = False
    return np.where(mask[..., None], x, np.float32(np.nan)), mask


def oracle(q, q_mask, p, p_mask):
    if not q_mask.any() or not p_mask.any():
        return 0.0
    return float(sum(max(np.dot(a, b) for b in p[p_mask]) for a in q[q_mask].astype(np.float64)))


@pytest.fixture(scope='module')
def data():
    rng = np.random.default_rng(0)
    return sets(rng, 3, 4), sets(rng, 7, 5)


@pytest.mark.parametrize('chunk_size', [None, 3])
def test_scores_agree_with_a_loop_whatever_the_chunks(data, chunk_size):
    (q, qm), (p, pm) = data
    found = chamfer_scores(*map(jnp.asarray, (q, p, qm, pm)), chunk_size=chunk_size)
    expected = [[oracle(a, am, b, bm) for b, bm in zip(p, pm)] for a, am in zip(q, qm)]  # noqa: B905
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    normalized = chamfer_scores(*map(jnp.asarray, (q, p, qm, pm)), normalize=True)
    np.testing.assert_allclose(
        normalized, expected / np.maximum(qm.sum(1), 1)[:, None], rtol=1e-5, atol=1e-6
    )


def test_golden_similarities(golden):
    arrays = golden('muvera')
    for case in ('basic', 'nofill', 'ams', 'final', 'ksim0', 'single_doc'):
        found = chamfer_similarity(
            jnp.asarray(arrays[f'{case}/q']), jnp.asarray(arrays[f'{case}/p'])
        )
        np.testing.assert_allclose(found, arrays[f'{case}/chamfer'], rtol=1e-5)


def test_a_set_of_unit_vectors_is_most_similar_to_itself():
    x = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    scores = chamfer_scores(jnp.asarray(x), jnp.asarray(x), normalize=True)
    np.testing.assert_allclose(np.diag(scores), 1.0, rtol=1e-6)
    assert (np.asarray(scores) <= 1 + 1e-6).all()


def test_gradients_are_finite_zero_of_empty_sets_and_the_same_in_chunks(data):
    q, p, qm, pm = (jnp.asarray(a) for a in (data[0][0], data[1][0], data[0][1], data[1][1]))
    q = q.at[0, 0].set(0.0)  # a tie

    def total(q, p, chunk_size):
        return jnp.sum(jnp.sin(chamfer_scores(q, p, qm, pm, chunk_size=chunk_size)))

    whole, parts = (jax.grad(total, argnums=(0, 1))(q, p, chunk) for chunk in (None, 3))
    for a, b, mask in zip(whole, parts, (qm, pm), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(np.asarray(a)[~np.asarray(mask)], 0.0)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_differences(float64):
    rng = np.random.default_rng(2)
    q, p = (jnp.asarray(rng.normal(size=(n, 3))) for n in (3, 4))
    check_grads(chamfer_similarity, (q, p), order=1, modes=['rev'])
    check_grads(chamfer_distance, (q, p), order=1, modes=['rev'])


def test_distance_agrees_with_scipy_and_is_symmetric():
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(n, 3)).astype(np.float32) + 7 for n in (6, 4))
    x_mask, y_mask = np.arange(6) < 5, np.arange(4) != 1
    squares = cdist(x[x_mask], y[y_mask], 'sqeuclidean')
    expected = squares.min(1).mean() + squares.min(0).mean()
    x[5], y[1] = np.nan, np.inf
    found = chamfer_distance(*map(jnp.asarray, (x, y, x_mask, y_mask)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(
        chamfer_distance(*map(jnp.asarray, (y, x, y_mask, x_mask))), found, rtol=1e-6
    )


def test_distance_is_exactly_zero_for_a_set_and_its_permutation():
    x = jnp.asarray(np.random.default_rng(4).normal(size=(8, 3)).astype(np.float32)) + 100
    value, grad = jax.value_and_grad(chamfer_distance)(x, x[::-1])
    assert float(value) == 0.0
    np.testing.assert_array_equal(grad, 0.0)


def test_empty_sets_have_distance_and_gradient_zero():
    x, none = jnp.ones((3, 2)), jnp.zeros(4, bool)
    value, grad = jax.value_and_grad(chamfer_distance)(x, jnp.ones((4, 2)) * 5, None, none)
    assert float(value) == 0.0
    np.testing.assert_array_equal(grad, 0.0)
    assert float(chamfer_distance(x, jnp.zeros((0, 2)))) == 0.0
    assert chamfer_scores(jnp.zeros((2, 0, 2)), x[None]).tolist() == [[0.0], [0.0]]


def test_wrong_chunk_size_is_named():
    with pytest.raises(ValueError, match='chunk_size: expected .* got 0'):
        chamfer_scores(jnp.ones((1, 1, 1)), jnp.ones((1, 1, 1)), chunk_size=0)
