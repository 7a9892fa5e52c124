import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsep.ops.averages import average, cosine_momentum


def test_momentum_rises_from_its_start_to_one_as_a_cosine():
    share = jax.jit(lambda step: cosine_momentum(step, 0.9, 100))
    found = [float(share(jnp.int32(step))) for step in (0, 50, 100, 170)]
    np.testing.assert_allclose(found, [0.9, 0.95, 1.0, 1.0], rtol=1e-6)
    assert cosine_momentum(7, 0.9, 0) == 0.9


def test_averages_are_those_of_optax_and_exact_at_the_end():
    old, new = ({'w': jax.random.normal(jax.random.key(i), (5,))} for i in (0, 1))
    want = optax.incremental_update(new, old, 0.3)
    np.testing.assert_allclose(average(old, new, 0.7)['w'], want['w'], rtol=1e-6)
    np.testing.assert_array_equal(average(old, new, 1.0)['w'], old['w'])
