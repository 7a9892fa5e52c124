"""Maxima as NumPy's, with a gradient that XLA cannot lose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.extremes import reduce_max, reduce_min


def array(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize('axis', [None, 0, -1, (1, 2), (0, 3), (2, 0), (-1, 1)])
def test_value_and_gradient_are_those_of_numpy(axis):
    x = array((2, 3, 4, 5))
    value, back = jax.vjp(lambda x: reduce_max(x, axis), x)
    np.testing.assert_array_equal(value, np.max(x, axis=axis))
    cotangent = 1 + array(value.shape, 1)
    axes = tuple(range(4)) if axis is None else axis
    np.testing.assert_array_equal(
        back(cotangent)[0],
        jnp.where(x == jnp.max(x, axes, keepdims=True), jnp.expand_dims(cotangent, axes), 0.0),
    )


def test_the_smallest_is_minus_the_largest_of_what_is_turned_round():
    x = array((3, 4))
    np.testing.assert_array_equal(reduce_min(x, 1), np.min(x, axis=1))
    assert reduce_min(jnp.zeros((2, 0)), 1, empty=3.0).tolist() == [3.0, 3.0]


def test_the_first_of_equals_gets_the_gradient():
    grad = jax.grad(lambda x: jnp.sum(reduce_max(x, 0)))(jnp.array([[1.0, 2], [3, 2], [3, 2]]))
    assert grad.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_nothing_has_no_largest():
    with pytest.raises(ValueError, match=r'x: expected entries along axis 1, got shape \(2, 0\)'):
        reduce_max(jnp.zeros((2, 0)), 1)
    assert reduce_max(jnp.zeros((2, 0)), 1, empty=-1.0).tolist() == [-1.0, -1.0]
    assert reduce_max(jnp.zeros((0, 2)), 1).shape == (0,)


@pytest.mark.parametrize('axis', [(1, 2), -1])
@pytest.mark.parametrize(
    'make', [lambda x, s, b: x * s + b, lambda x, s, b: abs(x * s * s + b * x)]
)
def test_the_gradient_finds_the_largest_when_it_is_computed_once_more(make, axis):
    """That of `jnp.max` loses some of these, as these tests compile it."""
    x, s, b = array((2, 3, 3, 5)), array((1, 1, 1, 5), 1), array((1, 1, 1, 5), 2)
    grad = jax.grad(lambda *given: jnp.sum(reduce_max(make(*given), axis)), (0, 1, 2))
    compiled = jax.jit(grad)(x, s, b)
    with jax.disable_jit():
        expected = grad(x, s, b)
    for found, one in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('axis', [2, (0, -3), ()])
def test_axes_that_do_not_exist_are_named(axis):
    with pytest.raises(ValueError, match='axis: expected axes of 2 dimensions, got'):
        reduce_max(jnp.zeros((2, 3)), axis)
    assert reduce_max(jnp.float32(2.0)) == 2.0


def test_forward_mode_and_second_derivatives():
    x = array((3, 4))
    f = lambda x: jnp.sum(jnp.square(reduce_max(x, 1)))  # noqa: E731
    top = jnp.max(x, 1, keepdims=True)
    np.testing.assert_allclose(
        jax.jvp(f, (x,), (jnp.ones_like(x),))[1], 2 * jnp.sum(top), rtol=1e-6
    )
    second = jax.hessian(f)(x).reshape(12, 12)
    np.testing.assert_array_equal(second, np.diag(2.0 * np.asarray(x == top).ravel()))
