"""Sums over blocks of pairs against the full matrix, in value, gradient and memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.ops import chunked

N, M, D = 11, 7, 3


def rows(n, seed, scale=1.0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, D)) * scale, jnp.float32)


GROUPS_X = jnp.asarray([0, 0, 1, 1, 1, 2, 3, 3, 0, 4, 5], jnp.int32)
GROUPS_Y = jnp.asarray([0, 1, 1, 2, 6, 6, 9], jnp.int32)


def oracle(x, y, kept):
    """Log-sum-exp over kept pairs, and its gradient for weights w, with loops in float64."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    result = np.full(len(x), -np.inf)
    for i in range(len(x)):
        terms = [x[i] @ y[j] for j in range(len(y)) if kept(i, j)]
        if terms:
            result[i] = max(terms) + np.log(sum(np.exp(t - max(terms)) for t in terms))
    return result


def weighted(function):
    """A scalar in which every row counts differently, and -inf counts nothing."""

    def total(*arguments):
        values = function(*arguments)
        values = jnp.concatenate(values) if isinstance(values, tuple) else values
        kept = values > -jnp.inf
        return jnp.sum(jnp.where(kept, values, 0.0) * (1.0 + jnp.arange(len(values)))), values

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))


SELF = {
    'others': lambda i, j: i != j,
    'different': lambda i, j: GROUPS_X[i] != GROUPS_X[j],
    'same': lambda i, j: GROUPS_X[i] == GROUPS_X[j] and i != j,
}


@pytest.mark.parametrize('chunk', [1, 4, 11, 'auto'])
@pytest.mark.parametrize('keep', SELF)
def test_a_set_with_itself_agrees_with_loops_and_with_the_full_gradient(keep, chunk):
    x = rows(N, 0)
    kept = np.array([[bool(SELF[keep](i, j)) for j in range(N)] for i in range(N)])

    def blocks(x, _):
        return chunked.self_logsumexp(x, chunk, keep=keep, groups=GROUPS_X)

    def full(x, _):
        logits = jnp.where(kept, x @ x.T, -jnp.inf)
        return jnp.where(kept.any(1), jax.nn.logsumexp(logits, axis=1, where=kept), -jnp.inf)

    (_, values), (grad, _) = weighted(blocks)(x, x)
    (_, want), (want_grad, _) = weighted(full)(x, x)
    np.testing.assert_allclose(values, oracle(x, x, lambda i, j: kept[i, j]), rtol=1e-5)
    np.testing.assert_allclose(values, want, rtol=1e-5)
    np.testing.assert_allclose(grad, want_grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('keep', ['all', 'different', 'same'])
def test_two_sets_agree_with_loops_and_with_the_full_gradient(keep):
    x, y, items = rows(N, 1), rows(M, 2), (jnp.arange(N), jnp.arange(M) + 3)
    same = np.asarray(GROUPS_X)[:, None] == np.asarray(GROUPS_Y)[None, :]
    itself = np.asarray(items[0])[:, None] == np.asarray(items[1])[None, :]
    kept = {'all': np.ones((N, M), bool), 'different': ~same, 'same': same & ~itself}[keep]

    def blocks(x, y):
        options = dict(keep=keep, groups=(GROUPS_X, GROUPS_Y), items=items)
        return chunked.cross_logsumexp(x, y, 4, **options)

    def full(x, y):
        logits = jnp.where(kept, x @ y.T, -jnp.inf)
        return jnp.where(kept.any(1), jax.nn.logsumexp(logits, axis=1, where=kept), -jnp.inf)

    (_, values), grads = weighted(blocks)(x, y)
    _, want_grads = weighted(full)(x, y)
    np.testing.assert_allclose(values, oracle(x, y, lambda i, j: kept[i, j]), rtol=1e-5)
    for grad, want in zip(grads, want_grads, strict=True):
        np.testing.assert_allclose(grad, want, rtol=1e-4, atol=1e-4)


def test_both_sides_are_the_rows_and_the_columns():
    x, y = rows(N, 3), rows(M, 4)
    (_, values), grads = weighted(lambda x, y: chunked.two_sided_logsumexp(x, y, 4))(x, y)
    want = oracle(x, y, lambda i, j: True), oracle(y, x, lambda i, j: True)
    np.testing.assert_allclose(values, np.concatenate(want), rtol=1e-5)

    def full(x, y):
        return jax.nn.logsumexp(x @ y.T, axis=1), jax.nn.logsumexp(x @ y.T, axis=0)

    for grad, wanted in zip(grads, weighted(full)(x, y)[1], strict=True):
        np.testing.assert_allclose(grad, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_agree_with_finite_differences(float64):
    x = jnp.asarray(np.random.default_rng(5).normal(size=(6, D)))

    @jax.jit
    def both(x):
        return chunked.self_logsumexp(x, 4), chunked.two_sided_logsumexp(x[:4], x[1:], 2)

    check_grads(both, (x,), order=1, modes=['rev'])


@pytest.mark.parametrize('scale', [0.0, 1e-20, 100.0])
def test_huge_equal_and_vanishing_logits_are_finite(scale):
    x = rows(N, 6, scale).at[1].set(0.0)
    x = x.at[2].set(x[3])
    (_, values), (grad, _) = weighted(lambda x, _: chunked.self_logsumexp(x, 4))(x, x)
    np.testing.assert_allclose(values, oracle(x, x, SELF['others']), rtol=1e-5)
    assert np.isfinite(grad).all()


def test_a_sum_of_nothing_is_minus_infinity_without_gradient():
    alone = functools.partial(chunked.self_logsumexp, chunk_size=2, keep='same')
    (_, values), (grad, _) = weighted(lambda x, _: alone(x, groups=jnp.arange(5)))(
        rows(5, 7), rows(5, 7)
    )
    np.testing.assert_array_equal(values, -np.inf)
    np.testing.assert_array_equal(grad, 0)
    assert chunked.self_logsumexp(jnp.zeros((0, D))).shape == (0,)
    np.testing.assert_array_equal(chunked.cross_logsumexp(rows(3, 0), jnp.zeros((0, D))), -np.inf)


def test_nan_stays_visible():
    x = rows(5, 8).at[0, 0].set(jnp.nan)
    assert np.isnan(chunked.self_logsumexp(x, 2)).all()


def test_rows_mapped_in_blocks_give_the_same_value_and_gradient():
    x, scale = rows(N, 9), jnp.arange(1.0, N + 1)

    def total(chunk):
        function = lambda x, s: jnp.sum(jnp.tanh(x), axis=1) * s  # noqa: E731
        return jax.jit(
            jax.value_and_grad(lambda x: chunked.map_rows(function, chunk, x, scale) @ scale)
        )

    want, want_grad = total(None)(x)
    for chunk in (4, 11):
        value, grad = total(chunk)(x)
        np.testing.assert_allclose(value, want, rtol=1e-6)
        np.testing.assert_allclose(grad, want_grad, rtol=1e-6)


@pytest.mark.parametrize(('rows', 'asked', 'size'), [(5000, 'auto', 500), (10, 'auto', 10), (9, 4, 4), (3, 8, 3), (0, 'auto', 1)])  # fmt: skip
def test_blocks_fill_the_rows(rows, asked, size):
    assert chunked.block_size(rows, asked) == size


@pytest.mark.parametrize('wrong', [0, -3])
def test_a_wrong_chunk_size_is_named(wrong):
    with pytest.raises(ValueError, match="chunk_size: expected a positive integer or 'auto', got"):
        chunked.block_size(10, wrong)


def test_memory_does_not_grow_with_the_square_of_the_rows():
    def temporary(n):
        grad = jax.grad(lambda x: jnp.sum(chunked.self_logsumexp(x, 64)))
        compiled = jax.jit(grad).lower(jax.ShapeDtypeStruct((n, D), jnp.float32)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = temporary(512), temporary(4096)
    assert large < small + 4096 * 4 * 40  # the whole matrix would be 67 MB
