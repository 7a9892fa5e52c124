import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsep.losses import dsl

# Gradients in rows of length 1e-38 are beyond float32.
NUMBERS = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)


@jax.jit
def slices(x, learner_of_dim):
    def weighted(x):
        y = dsl.split_normalise(x, learner_of_dim, 3)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size).reshape(y.shape))), y

    (_, y), gradient = jax.value_and_grad(weighted, has_aux=True)(x)
    return y, gradient


def test_split_normalise_agrees_with_the_original(golden):
    a = golden('dsl')
    groups = jnp.asarray(a['attention/group_of_dim'].astype(np.int32))
    got, _ = slices(jnp.asarray(a['attention/embedding_raw'], jnp.float32), groups)
    np.testing.assert_allclose(got, a['attention/embedding_split_normalised'], rtol=2e-5, atol=1e-7)


def test_split_normalise_agrees_with_loops_and_has_an_exact_gradient(float64):
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(3, 9)), np.array([0, 2, 2, 1, 0, 1, 1, 2, 2])
    want = np.zeros((3, 9))
    for i in range(3):
        for g in range(3):
            want[i, groups == g] = x[i, groups == g] / np.linalg.norm(x[i, groups == g])
    y, gradient = slices(jnp.asarray(x), jnp.asarray(groups))
    np.testing.assert_allclose(y, want, rtol=1e-13)
    way, weights = rng.normal(size=x.shape) * 1e-6, np.cos(np.arange(27).reshape(3, 9))
    ahead, behind = (slices(jnp.asarray(x + s * way), jnp.asarray(groups))[0] for s in (1, -1))
    slope = np.sum((np.asarray(ahead) - np.asarray(behind)) * weights) / 2
    np.testing.assert_allclose(np.sum(np.asarray(gradient) * way), slope, rtol=1e-6)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    arrays(np.float32, (3, 9), elements=NUMBERS),
    arrays(np.int64, 9, elements=st.integers(0, 2)),
)
def test_any_row_has_finite_slices_of_norm_one_or_zero_and_a_second_time_changes_nothing(x, groups):
    y, gradient = slices(jnp.asarray(x), jnp.asarray(groups))
    assert np.all(np.isfinite(gradient))
    for g in range(3):
        norms = np.linalg.norm(np.asarray(y)[:, groups == g], axis=1)
        zero = np.all(x[:, groups == g] == 0, axis=1)
        np.testing.assert_allclose(norms, np.where(zero, 0.0, 1.0), rtol=1e-5)
    np.testing.assert_allclose(slices(y, jnp.asarray(groups))[0], y, rtol=1e-5, atol=1e-6)


def test_rows_keep_the_dimensions_of_their_learner_or_all():
    x, of_dim = jnp.arange(1.0, 9.0).reshape(2, 4), jnp.array([0, 1, 1, 0])
    of_row = jnp.array([1, 0])
    own = dsl.own_slice(x, of_dim, of_row)
    np.testing.assert_array_equal(own, [[0, 2, 3, 0], [5, 0, 0, 8]])
    np.testing.assert_array_equal(dsl.own_slice(x, of_dim, of_row, whole=True), x)
    np.testing.assert_array_equal(dsl.own_slice(x, of_dim, jnp.array([-1, -1])), 0)


def test_half_precision_is_computed_in_float32():
    kind = jax.eval_shape(slices, jnp.ones((3, 9), jnp.bfloat16), jnp.zeros(9, jnp.int32))
    assert [k.dtype for k in kind] == [jnp.float32, jnp.bfloat16]
