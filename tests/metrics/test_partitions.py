import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from jaxsep.metrics.partitions import normalized_mutual_information

agreement = jax.jit(normalized_mutual_information, static_argnums=(2, 3))


@pytest.mark.parametrize('seed', range(4))
def test_agrees_with_scikit_learn_on_the_points_that_are_present(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, 50)
    b = np.where(rng.random(50) < 0.25 * seed, a, rng.integers(0, 5, 50))
    present = rng.random(50) < 0.8
    got = agreement(jnp.asarray(a), jnp.asarray(b), 4, 5, jnp.asarray(present))
    want = normalized_mutual_info_score(a[present], b[present])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_is_one_for_the_same_partition_and_for_trivial_ones_and_zero_for_one_against_many():
    a, everyone = jnp.arange(50) % 4, jnp.ones(50, bool)
    np.testing.assert_allclose(agreement(a, 3 - a, 4, 5, everyone), 1, rtol=1e-6)
    np.testing.assert_allclose(agreement(0 * a, 0 * a, 4, 5, everyone), 1)
    np.testing.assert_allclose(agreement(a, 0 * a, 4, 5, everyone), 0, atol=1e-6)
    np.testing.assert_allclose(agreement(a, a, 4, 5, ~everyone), 1)
