import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.models.blocks.attention import attend

rng = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def oracle(query, key, value, heads, mask=None, scaling=True):
    """Head by head and query by query."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    b, q, d = query.shape
    out, weights, c = np.zeros((b, q, d)), np.zeros((b, heads, q, key.shape[1])), d // heads
    for i, h, j in np.ndindex(b, heads, q):
        part = slice(h * c, (h + 1) * c)
        scores = key[i, :, part] @ query[i, j, part] / (np.sqrt(c) if scaling else 1)
        if mask is not None:
            scores = np.where(mask[i], scores, -np.inf)
        a = np.exp(scores - scores.max())
        weights[i, h, j] = a / a.sum()
        out[i, j, part] = weights[i, h, j] @ value[i, :, part]
    return out, weights


@pytest.mark.parametrize('scaling', [True, False])
def test_each_query_takes_the_weighted_mean_of_the_values(scaling):
    query, key, value = draw(2, 3, 6), draw(2, 5, 6), draw(2, 5, 6)
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
    for m in (None, mask):
        given = None if m is None else jnp.asarray(m)
        found = attend(query, key, value, 2, mask=given, scaling=scaling)
        for a, b in zip(found, oracle(query, key, value, 2, m, scaling), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_masked_places_get_no_gradient_and_a_row_without_places_attends_alike():
    x, mask = draw(2, 4, 6), jnp.array([[True, True, False, False], [False] * 4])

    def loss(value):
        out, weights = attend(x, x, value, 3, mask=mask)
        return jnp.sum(out[0]), weights

    grad, weights = jax.grad(loss, has_aux=True)(x)
    np.testing.assert_array_equal(grad[0, 2:], 0)
    assert np.all(grad[0, :2] != 0)
    np.testing.assert_allclose(weights[1], 0.25, rtol=1e-6)


def test_the_softmax_is_float32_for_half_precision_and_finite_at_extreme_scores():
    x = draw(1, 4, 4).astype(jnp.bfloat16)
    out, weights = attend(x, x, x, 2)
    assert out.dtype == jnp.bfloat16 and weights.dtype == jnp.float32
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    grad = jax.grad(lambda y: jnp.sum(attend(y, y, y, 1)[0]))(1e4 * draw(1, 3, 2))
    assert np.isfinite(grad).all()


def test_changed_weights_are_used_and_not_returned():
    x = draw(1, 3, 4)
    out, weights = attend(x, x, x, 2, change=(lambda a: 0 * a, lambda a: a + 1))
    np.testing.assert_allclose(out, jnp.broadcast_to(x.sum(1, keepdims=True), x.shape), rtol=1e-5)
    np.testing.assert_allclose(weights, oracle(x, x, x, 2)[1], rtol=1e-4)


def test_the_gradient_is_the_derivative(float64):
    x = [jnp.asarray(rng.normal(size=(1, 2, 4))) for _ in range(3)]
    check_grads(jax.jit(lambda q, k, v: attend(q, k, v, 2)[0]), x, order=1, modes=['rev'])


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match='num_heads: expected a divisor of the width 6, got 4'):
        attend(*[jnp.zeros((1, 2, 6))] * 3, 4)
