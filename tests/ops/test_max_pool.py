"""Max-pooling equals XLA's in value and gradient, ties and padding included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.max_pool import max_pool

CASES = {
    'halves': dict(),
    'odd sides are cut': dict(shape=(2, 5, 7, 3)),
    'overlapping': dict(window=(3, 3), strides=(2, 2), padding='SAME'),
    'every pixel': dict(window=(3, 3), strides=(1, 1), padding=((1, 1), (1, 1))),
    'gaps between windows': dict(window=(1, 2), strides=(2, 3)),
    'uneven padding': dict(window=(3, 2), strides=(2, 2), padding=((0, 2), (1, 0))),
}


def xla(x, window=(2, 2), strides=None, padding='VALID'):
    if not isinstance(padding, str):
        padding = ((0, 0), *padding, (0, 0))
    strides = (1, *(strides or window), 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, *window, 1), strides, padding)


def value_and_gradient(pool, x, options):
    value = pool(x, **options)
    cotangent = jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape)
    return value, jax.jit(lambda x, g: jax.vjp(lambda x: pool(x, **options), x)[1](g)[0])(
        x, cotangent
    )


@pytest.mark.parametrize('case', CASES)
def test_value_and_gradient_are_those_of_xla(case):
    """With many ties: values are among four numbers, so that the order of reading decides."""
    options = dict(CASES[case])
    shape = options.pop('shape', (2, 6, 8, 3))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 4, shape), jnp.float32)
    ours, theirs = (value_and_gradient(pool, x, options) for pool in (max_pool, xla))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6, atol=1e-6)


def test_padding_is_never_the_largest():
    x = -jnp.ones((1, 2, 2, 1))
    assert max_pool(x, (3, 3), (1, 1), 'SAME').ravel().tolist() == [-1.0] * 4


def test_the_first_of_equals_gets_the_gradient():
    grad = jax.grad(lambda x: jnp.sum(max_pool(x)))(jnp.zeros((1, 2, 2, 1)))
    assert grad.ravel().tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('make', [lambda x, s, b: x * s + b, lambda x, s, b: (x - s) * (x - b)])
def test_the_gradient_finds_the_largest_when_the_image_is_computed_once_more(make, seed):
    """A compiler may round the pixel otherwise where it looks for the one that equals the largest."""
    rng = np.random.default_rng(seed)
    x, s, b = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((4, 8, 10, 5), (1, 1, 1, 5), (1, 1, 1, 5))
    )
    grad = jax.grad(lambda x, s, b: jnp.sum(jnp.square(max_pool(make(x, s, b)))), (0, 1, 2))
    compiled = jax.jit(grad)(x, s, b)
    with jax.disable_jit():
        expected = grad(x, s, b)
    for found, one in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-4)


def test_nan_in_a_window_stays_and_images_smaller_than_the_window_give_none():
    x = jnp.zeros((1, 2, 4, 1)).at[0, 1, 0, 0].set(jnp.nan)
    value, grad = jax.value_and_grad(lambda x: max_pool(x)[0, 0, 0, 0])(x)
    assert jnp.isnan(value) and jnp.isnan(max_pool(x)).ravel().tolist() == [True, False]
    assert grad.ravel().tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    small = jnp.ones((1, 2, 5, 1))
    value, back = jax.vjp(lambda x: max_pool(x, (3, 3), (1, 1)), small)
    assert value.shape == (1, 0, 3, 1) and back(value)[0].tolist() == (0 * small).tolist()


def test_of_large_windows_xla_finds_the_largest():
    x = jnp.asarray(np.random.default_rng(2).permutation(81).reshape(1, 9, 9, 1), jnp.float32)
    grad = jax.grad(lambda x: jnp.sum(max_pool(x, (9, 9))))(x)
    np.testing.assert_array_equal(grad, x == x.max())


def test_half_precision_stays_what_it_is():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 4, 2)), jnp.bfloat16)
    value, grad = max_pool(x), jax.grad(lambda x: max_pool(x).sum())(x)
    assert value.dtype == grad.dtype == jnp.bfloat16
    assert float(grad.sum()) == 8.0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(window=(2,)), 'window and strides: expected two numbers'),
        (dict(strides=(0, 1)), 'window and strides'),
        (dict(padding=((0, 2), (0, 0))), 'padding: expected 0 to 1 for a window of 2'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        max_pool(jnp.zeros((1, 4, 4, 1)), **options)
