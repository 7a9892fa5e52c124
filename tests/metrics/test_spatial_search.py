import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.metrics.spatial_search import spatial_search_distances


@pytest.mark.parametrize(
    ('reduction', 'name'),
    [('mean', 'dist_mean_of_min'), ('sum', 'dist_sum_of_min'), ('min', 'dist_min')],
)
def test_distances_are_those_of_the_golden_fixture(golden, reduction, name):
    g = golden('off_the_shelf')
    query = jnp.asarray(g['spatial/query'][None], jnp.float32)
    references = jnp.asarray(g['spatial/refs'], jnp.float32)
    found = spatial_search_distances(query, references, reduction, 3)
    np.testing.assert_allclose(found[0], g[f'spatial/{name}'], rtol=1e-5)


def test_it_is_the_nearest_patch_of_each_patch_in_float64():
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(3, 2, 4)), rng.normal(size=(5, 3, 4))
    expected = [
        [np.mean([min(np.linalg.norm(p - r) for r in b) for p in a]) for b in references]
        for a in queries
    ]
    found = spatial_search_distances(
        jnp.asarray(queries, jnp.float32), jnp.asarray(references, jnp.float32)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_image_is_found_in_one_that_shows_more():
    rng = np.random.default_rng(1)
    patches = jnp.asarray(rng.normal(size=(1, 4, 8)), jnp.float32)
    within = spatial_search_distances(patches[:, 2:3], patches)
    np.testing.assert_allclose(within, 0, atol=2e-3)
    assert spatial_search_distances(patches, patches[:, 2:3])[0, 0] > 1
    one = spatial_search_distances(patches[:, :1], patches[:, 1:2])
    np.testing.assert_allclose(one[0, 0], jnp.linalg.norm(patches[0, 0] - patches[0, 1]), rtol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="reduction: expected one of .*, got 'max'"):
        spatial_search_distances(jnp.ones((1, 1, 2)), jnp.ones((1, 1, 2)), 'max')
    with pytest.raises(ValueError, match='queries, references: expected patches, got 1 and 0'):
        spatial_search_distances(jnp.ones((1, 1, 2)), jnp.ones((1, 0, 2)))


def test_distances_whose_squares_overflow_are_finite():
    rng = np.random.default_rng(8)
    x, y = (jnp.asarray(rng.normal(size=(2, 3, 4)), jnp.float32) for _ in range(2))
    found = spatial_search_distances(x * 2.0**90, y * 2.0**90)
    np.testing.assert_allclose(found, spatial_search_distances(x, y) * 2.0**90, rtol=1e-6)
