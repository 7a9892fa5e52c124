import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import logsumexp

from jaxsep.ops import masks

masked_logsumexp = jax.jit(masks.masked_logsumexp, static_argnames='axis')


def random_logits_and_mask(seed=0, shape=(5, 7)):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.5
    mask[:, 0], mask[0] = True, True
    return rng.normal(size=shape) * 3, mask


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_masked_logsumexp_agrees_with_scipy_over_the_kept_entries(float64, axis):
    logits, mask = random_logits_and_mask()
    got = masked_logsumexp(jnp.asarray(logits), jnp.asarray(mask), axis=axis)
    want = logsumexp(np.where(mask, logits, -np.inf), axis=axis)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_masked_logsumexp_has_exact_gradients(float64):
    logits, mask = random_logits_and_mask(1)
    reduce = jax.jit(lambda x: masks.masked_logsumexp(x, jnp.asarray(mask)))
    check_grads(reduce, (jnp.asarray(logits),), order=2)


def test_masked_logsumexp_of_nothing_is_minus_infinity_with_zero_gradient():
    mask = jnp.array([[False, False], [True, False]])

    def total(x):
        values = masks.masked_logsumexp(x, mask)
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0.0)), values

    gradient, values = jax.jit(jax.grad(total, has_aux=True))(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(values, [-np.inf, 3.0])
    np.testing.assert_array_equal(gradient, [[0, 0], [1, 0]])
    pull = lambda x: jax.vjp(lambda x: masks.masked_logsumexp(x, mask), x)[1](jnp.ones(2))  # noqa: E731
    np.testing.assert_array_equal(jax.jit(pull)(jnp.ones((2, 2)))[0], [[0, 0], [1, 0]])
    assert masked_logsumexp(jnp.ones((3, 0)), jnp.ones((3, 0), bool)).tolist() == [-np.inf] * 3


def test_masked_reductions_ignore_what_is_masked_out_even_nan():
    values = jnp.array([1.0, jnp.nan, jnp.inf, 3.0])
    mask = jnp.array([True, False, False, True])
    for reduce in (masks.masked_logsumexp, masks.masked_mean):
        value, gradient = jax.jit(jax.value_and_grad(lambda x, r=reduce: r(x, mask)))(values)
        assert np.isfinite(value)
        np.testing.assert_array_equal(gradient[1:3], 0)
    assert jax.jit(masks.masked_mean)(values, mask) == 2


def test_masked_logsumexp_survives_huge_logits():
    logits = jnp.array([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    value = masked_logsumexp(logits, mask)
    np.testing.assert_allclose(value, [1e4 + np.log(2), -1e4 + np.log(2)])
    gradient = jax.jit(jax.grad(lambda x: masks.masked_logsumexp(x, mask).sum()))(logits)
    np.testing.assert_allclose(gradient, [[0.5, 0.5, 0], [0.5, 0.5, 0]])


def test_masked_mean_of_nothing_is_zero_with_zero_gradient():
    nothing = np.zeros((2, 3), bool)
    total = jax.jit(jax.value_and_grad(lambda x: masks.masked_mean(x, jnp.asarray(nothing)).sum()))
    value, gradient = total(jnp.ones((2, 3)))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_reductions_return_float32_for_half_precision():
    half, mask = jnp.ones(300, jnp.bfloat16), jnp.ones(300, bool)
    total, mean = masked_logsumexp(half, mask), jax.jit(masks.masked_mean)(half, mask)
    assert total.dtype == mean.dtype == jnp.float32
    np.testing.assert_allclose(total, 1 + np.log(300), rtol=1e-6)
    assert mean == 1


def test_label_masks_agree_with_their_definition():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 3, 6).astype(np.int32), rng.integers(0, 3, 4).astype(np.int32)
    same = masks.same_label_mask(jnp.asarray(a), jnp.asarray(b))
    multi_a, multi_b = rng.random((6, 5)) < 0.3, rng.random((4, 5)) < 0.3
    multi_a[0] = False
    shared = masks.multi_label_mask(jnp.asarray(multi_a), jnp.asarray(multi_b))
    same, shared = np.asarray(same), np.asarray(shared)
    for i in range(6):
        for j in range(4):
            assert same[i, j] == (a[i] == b[j])
            assert shared[i, j] == any(multi_a[i, k] and multi_b[j, k] for k in range(5))


def test_one_hot_labels_make_multi_label_the_same_as_same_label():
    labels = jnp.array([0, 2, 1, 2, 0])
    one_hot = jax.nn.one_hot(labels, 3, dtype=bool)
    np.testing.assert_array_equal(
        masks.multi_label_mask(one_hot, one_hot), masks.same_label_mask(labels, labels)
    )


@pytest.mark.parametrize('b', [0, 1, 4])
def test_two_view_positives_are_the_same_item_in_the_other_view(b):
    ids = jnp.tile(jnp.arange(b), 2)
    expected = masks.same_label_mask(ids, ids) & masks.off_diagonal(2 * b)
    np.testing.assert_array_equal(masks.two_view_positive_mask(b), expected)
