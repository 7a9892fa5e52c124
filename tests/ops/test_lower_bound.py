import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops.lower_bound import lower_bound

CASES = [  # x, cotangent, whether it passes at a bound of 1
    (2.0, 3.0, True), (2.0, -3.0, True), (1.0, 3.0, True), (1.0, -3.0, True),
    (0.5, 3.0, False), (0.5, -3.0, True), (-1e30, 3.0, False), (-1e30, -3.0, True),
]  # fmt: skip


def test_values_are_bounded_and_gradients_pass_above_or_where_they_raise():
    x, g, passes = (np.array(column) for column in zip(*CASES, strict=True))
    x, g = x.astype(np.float32), g.astype(np.float32)
    y, pull_back = jax.vjp(lambda x: lower_bound(x, 1.0), jnp.asarray(x))
    np.testing.assert_array_equal(y, np.maximum(x, 1))
    np.testing.assert_array_equal(pull_back(jnp.asarray(g))[0], np.where(passes, g, 0))


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_it_keeps_the_type_under_jit_and_vmap_and_an_empty_array(dtype):
    bounded = jax.jit(jax.vmap(lambda x: lower_bound(x, 0.5)))
    for size in (0, 3):
        x = jnp.zeros((size, 2), dtype)
        assert bounded(x).dtype == dtype and bounded(x).shape == (size, 2)
        grad = jax.grad(lambda x: -jnp.sum(bounded(x)))(x)
        assert grad.dtype == dtype
        np.testing.assert_array_equal(grad.astype(jnp.float32), -1)


def test_descent_brings_a_parameter_back_over_its_bound_and_not_further_below():
    def descend(sign):
        x = jnp.float32(-0.2)
        for _ in range(20):
            x = x - 0.1 * jax.grad(lambda x: sign * lower_bound(x, 0.0))(x)
        return x

    assert descend(-1.0) > 0 and descend(1.0) == np.float32(-0.2)
