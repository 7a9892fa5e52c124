"""Probabilistic partitive partitioning, its pieces and the estimator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from jaxsep.algorithms import gmm, ppp
from jaxsep.algorithms.kmeans import kmeans, maximin_seeds
from jaxsep.evals.clustering import repeatability
from jaxsep.methods.separability.ppp import make

KEY = jax.random.key(0)
OPTIONS = dict(num_clusters_range=(2, 5), covariance='diag')


@pytest.fixture(scope='module')
def groups():
    """Three well separated groups of unequal size, 96 rows, and their labels."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, size=96, p=[0.5, 0.3, 0.2])
    centres = np.array([[0.0, 0.0], [8.0, 1.0], [2.0, 9.0]])
    x = centres[truth] * [1.0, 100.0] + rng.normal(size=(96, 2)) * [1.0, 100.0]
    return x.astype(np.float32), truth


@pytest.fixture(scope='module')
def fitted(groups):
    """An estimator fitted to the groups under jit, and its outputs."""
    estimator = make(**OPTIONS)
    state = jax.jit(estimator.fit)(KEY, {'features': groups[0]})
    return state, jax.jit(estimator.outputs)(state, {'features': groups[0]})


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('covariance', ['full', 'diag'])
@pytest.mark.parametrize('k', [2, 3, 4, 5])
def test_golden(golden, float64, k, covariance, dtype):
    arrays = golden('ppp')
    x = jnp.asarray(arrays['X'], dtype)
    # Components beyond k are empty, so that one program serves all k.
    labels = kmeans(x, x[maximin_seeds(x, 5)], active=jnp.asarray(np.arange(5) < k)).labels
    mixture = gmm.gmm_em(x, labels, 5, covariance, float(arrays['reg_covar']))
    agreement, own = ppp.validate(labels, mixture.responsibilities)
    expected = {
        name: arrays[f'k{k}/{covariance}/{name}']
        for name in ('agreement', 'mean_own_posterior', 'separable_set_p0.95')
    }
    np.testing.assert_allclose(agreement, expected['agreement'], rtol=1e-6)
    # The card's tolerance of posteriors, in double and in single precision.
    atol = 1e-3 if dtype == 'float64' else 5e-3
    np.testing.assert_allclose(own.mean(), expected['mean_own_posterior'], atol=atol)
    separable = ppp.separable_set(own, 0.95)
    np.testing.assert_array_equal(separable, expected['separable_set_p0.95'] == 1)


@pytest.mark.parametrize('covariance', ['full', 'diag'])
def test_all_candidates_of_one_program_are_the_golden_ones(golden, float64, covariance):
    arrays = golden('ppp')
    found = ppp.choose_k(
        jnp.asarray(arrays['X']), (2, 5), covariance=covariance, regularization=1e-6
    )
    expected = {
        name: np.array([arrays[f'k{k}/{covariance}/{name}'] for k in (2, 3, 4, 5)])
        for name in ('bic', 'agreement', 'mean_own_posterior')
    }
    np.testing.assert_allclose(found.bic, expected['bic'], atol=0.036)
    np.testing.assert_allclose(found.agreement, expected['agreement'])
    np.testing.assert_allclose(found.own_posterior, expected['mean_own_posterior'], atol=1e-3)
    accepted = expected['agreement'] >= 0.9
    best = 2 + int(np.argmin(np.where(accepted, expected['bic'], np.inf)))
    assert int(found.num_clusters) == best


def test_validate_agrees_with_a_loop():
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=20).astype(np.int32)
    posterior = rng.dirichlet(np.ones(3), size=20).astype(np.float32)
    weights = rng.random(20).astype(np.float32)
    agree = sum(w for w, j, r in zip(weights, labels, posterior, strict=True) if max(r) == r[j])
    agreement, own = ppp.validate(*map(jnp.asarray, (labels, posterior, weights)))
    np.testing.assert_allclose(agreement, agree / weights.sum(), rtol=1e-5)
    np.testing.assert_array_equal(own, [r[j] for j, r in zip(labels, posterior, strict=True)])


def test_no_points_agree_on_nothing():
    agreement, own = ppp.validate(jnp.zeros(0, jnp.int32), jnp.zeros((0, 2)))
    assert float(agreement) == 0.0 and own.shape == (0,)


def test_where_no_candidate_agrees_the_one_that_agrees_most_is_kept():
    chosen = ppp.choose_candidate(jnp.array([0.1, 0.7, 0.7]), jnp.array([1.0, 3.0, 2.0]), 0.9)
    assert int(chosen) == 1


def test_finds_the_groups_and_their_number(groups, fitted):
    state, outputs = fitted
    assert int(state.clustering.num_clusters) == 3
    assert adjusted_rand_score(groups[1], outputs['cluster']) == 1.0
    assert np.asarray(outputs['separable']).mean() > 0.95


def test_outputs_are_what_they_say(fitted):
    _, outputs = fitted
    assert set(outputs) == {'cluster', 'posterior', 'confidence', 'separable'}
    assert outputs['posterior'].shape == (96, 5) and outputs['cluster'].dtype == jnp.int32
    np.testing.assert_allclose(outputs['posterior'].sum(1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(outputs['posterior'][:, 3:], 0.0)
    own = np.asarray(outputs['posterior'])[np.arange(96), outputs['cluster']]
    np.testing.assert_array_equal(outputs['confidence'], own)
    np.testing.assert_array_equal(outputs['separable'], own >= 0.95)


def test_rows_do_not_depend_on_other_rows(groups, fitted):
    state, outputs = fitted
    part = make(**OPTIONS).outputs(state, {'features': groups[0][40:48]})
    np.testing.assert_array_equal(part['cluster'], outputs['cluster'][40:48])
    np.testing.assert_allclose(part['posterior'], outputs['posterior'][40:48], atol=1e-6)


def test_scale_and_offset_of_columns_do_not_matter(groups, fitted):
    moved = groups[0] * np.array([16.0, 0.25], np.float32) + np.array([64.0, -8.0], np.float32)
    estimator = make(**OPTIONS)
    state = jax.jit(estimator.fit)(KEY, {'features': moved})
    outputs = estimator.outputs(state, {'features': moved})
    np.testing.assert_array_equal(outputs['cluster'], fitted[1]['cluster'])
    # Single precision of the standardised columns, amplified by the distances.
    np.testing.assert_allclose(outputs['confidence'], fitted[1]['confidence'], atol=1e-3)


def test_sharded_rows_eager_and_other_keys_give_the_same(groups, fitted):
    mesh = jax.make_mesh((4,), ('b',), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('b'))
    estimator = make(**OPTIONS)
    sharded = {'features': jax.device_put(groups[0], rows)}
    four = jax.jit(estimator.fit)(jax.random.key(7), sharded)
    eager = estimator.fit(KEY, {'features': groups[0]})
    for other in (four, eager):
        for ours, theirs in zip(jax.tree.leaves(other), jax.tree.leaves(fitted[0]), strict=True):
            # Sums in another order; EM ends where responsibilities settle.
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_permuted_rows_give_the_same_partition(groups, fitted):
    fit, outputs = jax.jit(make(**OPTIONS).fit), jax.jit(make(**OPTIONS).outputs)
    labelings = [np.asarray(fitted[1]['cluster'])]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(96)
        state = fit(KEY, {'features': groups[0][order]})
        labelings.append(np.asarray(outputs(state, {'features': groups[0]})['cluster']))
    assert repeatability(labelings)['min_adjusted_rand_index'] == 1.0


@pytest.mark.parametrize('chunk_size', [32, 40])
def test_chunks_find_the_same_groups(groups, fitted, chunk_size):
    estimator = make(**OPTIONS, chunk_size=chunk_size)
    state = jax.jit(estimator.fit)(KEY, {'features': groups[0]})
    outputs = estimator.outputs(state, {'features': groups[0]})
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, fitted[0])
    assert int(state.clustering.num_clusters) == 3
    assert adjusted_rand_score(groups[1], outputs['cluster']) == 1.0
    # Every chunk's clusters were accepted and moments merge exactly, so these are the fractions.
    fractions = np.bincount(np.asarray(outputs['cluster']), minlength=5) / 96
    np.testing.assert_allclose(state.clustering.components.weights, fractions, atol=1e-6)


def test_one_chunk_is_no_chunk(groups, fitted):
    state = jax.jit(make(**OPTIONS, chunk_size=96).fit)(KEY, {'features': groups[0]})
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(fitted[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_chunked_bic_is_that_of_the_final_mixture(groups):
    x = jnp.asarray((groups[0] - groups[0].mean(0)) / groups[0].std(0))
    found = ppp.partitive_partitioning(x, (3, 3), covariance='diag', chunk_size=40)
    likelihood = jnp.mean(gmm.log_prob(x, found.components))
    np.testing.assert_allclose(found.bic[0], gmm.bic(likelihood, 96, 3, 2, 'diag'), rtol=1e-5)
    labels, posterior = ppp.classify(x, found)
    agreement, own = ppp.validate(labels, posterior)
    np.testing.assert_allclose(found.agreement[0], agreement, rtol=1e-6)
    np.testing.assert_allclose(found.own_posterior[0], own.mean(), rtol=1e-6)


@pytest.mark.parametrize('case', ['constant column', 'two distinct points', 'all equal'])
@pytest.mark.parametrize('chunk_size', [None, 40])
def test_degenerate_data_stay_finite(groups, case, chunk_size):
    x = groups[0].copy()
    if case == 'constant column':
        x[:, 0] = 0.1
    elif case == 'two distinct points':
        x = x[np.arange(96) % 2]
    else:
        x[:] = x[0]
    estimator = make(**OPTIONS, chunk_size=chunk_size)
    state = jax.jit(estimator.fit)(KEY, {'features': x})
    outputs = estimator.outputs(state, {'features': x})
    for leaf in jax.tree.leaves((state, outputs)):
        assert np.isfinite(leaf).all()
    if case != 'constant column':
        assert len(np.unique(outputs['cluster'])) == (2 if case == 'two distinct points' else 1)


def test_one_group_is_one_cluster_where_one_is_tried():
    x = np.random.default_rng(3).normal(size=(96, 2)).astype(np.float32)
    estimator = make(num_clusters_range=(1, 4), covariance='diag')
    state = jax.jit(estimator.fit)(KEY, {'features': x})
    assert int(state.clustering.num_clusters) == 1
    assert estimator.outputs(state, {'features': x})['separable'].all()


def test_embeddings_and_images_are_rows_of_features(groups, fitted):
    estimator = make(**OPTIONS)
    for name, values in (('embedding', groups[0]), ('image', groups[0].reshape(96, 2, 1, 1))):
        outputs = estimator.outputs(fitted[0], {'index': np.arange(96), name: values})
        np.testing.assert_array_equal(outputs['cluster'], fitted[1]['cluster'])


def test_separable_points_of_iris_are_easier():
    x, truth = load_iris(return_X_y=True)
    estimator = make(num_clusters_range=(3, 3))
    state = jax.jit(estimator.fit)(KEY, {'features': x.astype(np.float32)})
    outputs = estimator.outputs(state, {'features': x.astype(np.float32)})
    cluster, separable = np.asarray(outputs['cluster']), np.asarray(outputs['separable'])
    everywhere = adjusted_rand_score(truth, cluster)
    # The card, from scikit-learn: 0.62 on all points, 1.00 on the separable 78 %.
    np.testing.assert_allclose(everywhere, 0.62, atol=0.01)
    assert adjusted_rand_score(truth[separable], cluster[separable]) > everywhere + 0.2
    assert 0.6 < separable.mean() < 0.95


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_clusters_range=(5, 2)), 'num_clusters_range'),
        (dict(covariance='tied'), "covariance: expected 'full' or 'diag', got 'tied'"),
        (dict(threshold=1.5), r'threshold: expected a probability in \[0, 1\], got 1.5'),
        (dict(min_agreement=-0.1), 'min_agreement'),
        (dict(regularization=0.0), 'regularization'),
        (dict(trim=1.0), 'trim'),
        (dict(max_steps=0), 'max_steps'),
        (dict(chunk_size=4), 'chunk_size: expected at least .* 8, got 4'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_fewer_rows_than_clusters_name_both():
    with pytest.raises(ValueError, match=r'n = 4 .* got k = 8'):
        make().fit(KEY, {'features': jnp.zeros((4, 2))})


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"'features'.*\['index'\]"):
        make().fit(KEY, {'index': jnp.zeros(4)})
