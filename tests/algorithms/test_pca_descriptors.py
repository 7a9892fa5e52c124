import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.pca_descriptors import fit_pca, post_process
from jaxsep.ops.geometry import l2_normalize


@pytest.fixture
def fitted(golden):
    g = golden('off_the_shelf')
    x, new = (jnp.asarray(g[name], jnp.float32) for name in ('X', 'X_new'))
    return g, x, new, fit_pca(l2_normalize(x), int(g['k']))


def test_components_are_those_of_scikit_learn_but_for_their_signs(fitted):
    g, _, _, pca = fitted
    np.testing.assert_allclose(pca.mean, g['pca/mean'], rtol=1e-5)
    np.testing.assert_allclose(pca.variances, g['pca/explained_variance'], rtol=1e-5)
    projector = np.asarray(pca.components).T @ np.asarray(pca.components)
    np.testing.assert_allclose(projector, g['pca/projector'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('power', [0.5, 2])
def test_descriptors_are_those_of_the_golden_fixture(fitted, power):
    g, x, new, pca = fitted
    ours, train = (np.asarray(post_process(z, pca, power)) for z in (new, x))
    gram = g[f'post_pow{power}/gram_new_vs_train']
    # Signs of the axes are arbitrary: products of descriptors are not. The root of a number near 0
    # doubles its digits of error.
    np.testing.assert_allclose(ours @ train.T, gram, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(
        np.linalg.norm(ours, axis=1), g[f'post_pow{power}/norms'], rtol=1e-5, atol=1e-5
    )
    if power == 2:
        np.testing.assert_allclose(
            np.abs(ours), g['post/abs_descriptor_pow2'], rtol=1e-4, atol=1e-5
        )


def test_power_one_is_whitened_and_of_unit_norm_and_scale_does_not_matter(fitted):
    _, x, new, pca = fitted
    white = np.asarray((l2_normalize(x) - pca.mean[None]) @ pca.components.T)
    white = white / np.sqrt(np.asarray(pca.variances))
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=1e-4)
    found = post_process(x, pca, 1.0)
    unit = white / np.linalg.norm(white, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(post_process(7 * new, pca), post_process(new, pca), rtol=1e-4)
    several = post_process(new.reshape(3, 5, -1), pca)
    np.testing.assert_allclose(several[1, 2], post_process(new, pca)[7], rtol=1e-4, atol=1e-6)


def test_rows_and_components_without_direction_are_finite():
    flat = jnp.tile(jnp.array([[3.0, 4.0, 0.0]]), (5, 1))
    pca = fit_pca(l2_normalize(flat), 2)
    np.testing.assert_array_equal(post_process(flat, pca), 0)
    assert jnp.isfinite(post_process(jnp.zeros((2, 3)), pca, 0.5)).all()


def test_more_components_than_there_are_is_refused():
    with pytest.raises(ValueError, match='num_components: expected 1 to 3 of 5 rows with 3'):
        fit_pca(jnp.ones((5, 3)), 4)
