"""Gaussian mixtures from a partition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.test_util import check_grads
from sklearn.mixture import GaussianMixture

from jaxsep.algorithms import gmm

COVARIANCES = ['full', 'diag']
LARGEST = 5  # components of all golden cases: fewer are padded, so that one program serves all


@pytest.fixture
def points():
    """50 points of three overlapping groups in two dimensions, and a rough partition."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=50)
    x = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])[truth] + rng.normal(size=(50, 2))
    return x, np.where(rng.random(50) < 0.1, 0, truth).astype(np.int32)


def loop_em(x, labels, k, covariance, reg, weights, steps):
    """EM point by point; returns weights, means, covariances, responsibilities, likelihood."""
    n, d = x.shape
    resp = np.zeros((n, k))
    resp[np.arange(n), labels] = 1.0
    for _ in range(steps + 1):
        fractions, means, covs = [], [], []
        for j in range(k):
            r = weights * resp[:, j]
            mean = sum(r[i] * x[i] for i in range(n)) / r.sum()
            cov = sum(r[i] * np.outer(x[i] - mean, x[i] - mean) for i in range(n)) / r.sum()
            cov = cov if covariance == 'full' else np.diag(np.diag(cov))
            fractions.append(r.sum() / weights.sum())
            means.append(mean)
            covs.append(cov + reg * np.eye(d))
        joint = np.array(
            [
                [
                    fractions[j] * scipy.stats.multivariate_normal.pdf(p, means[j], covs[j])
                    for j in range(k)
                ]
                for p in x
            ]
        )
        resp = joint / joint.sum(1, keepdims=True)
    likelihood = (weights * np.log(joint.sum(1))).sum() / weights.sum()
    return np.array(fractions), np.array(means), np.array(covs), resp, likelihood


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('covariance', COVARIANCES)
@pytest.mark.parametrize('k', [2, 3, 4, 5])
def test_golden(golden, float64, k, covariance, dtype):
    arrays = golden('ppp')
    expected = {
        name: arrays[f'k{k}/{covariance}/{name}']
        for name in ('gmm_posterior', 'loglik_mean', 'means', 'weights', 'bic', 'aic')
    }
    x = jnp.asarray(arrays['X'], dtype)
    labels = jnp.asarray(arrays[f'k{k}/kmeans_labels'])
    found = gmm.gmm_em(x, labels, LARGEST, covariance, float(arrays['reg_covar']))
    assert found.converged and found.means.dtype == dtype
    assert not np.any(np.asarray(found.weights)[k:])
    # The card's tolerances; EM converges linearly, so the last digits depend on the stop rule.
    atol = 1e-3 if dtype == 'float64' else 5e-3
    posterior = np.asarray(found.responsibilities)[:, :k]
    np.testing.assert_allclose(posterior, expected['gmm_posterior'], atol=atol)
    np.testing.assert_allclose(found.log_likelihood, expected['loglik_mean'], atol=1e-4)
    np.testing.assert_allclose(np.asarray(found.means)[:k], expected['means'], atol=atol)
    np.testing.assert_allclose(np.asarray(found.weights)[:k], expected['weights'], atol=atol)
    # 2 n times the tolerance of the log-likelihood.
    for name, criterion in (('bic', gmm.bic), ('aic', gmm.aic)):
        value = criterion(found.log_likelihood, x.shape[0], k, 2, covariance)
        np.testing.assert_allclose(value, expected[name], atol=0.036)


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_three_weighted_steps_agree_with_a_loop(points, float64, covariance):
    x, labels = points
    weights = np.random.default_rng(1).random(50)
    found = gmm.gmm_em(
        jnp.asarray(x),
        jnp.asarray(labels),
        3,
        covariance,
        1e-2,
        max_steps=3,
        weights=jnp.asarray(weights),
    )
    fractions, means, covs, resp, likelihood = loop_em(x, labels, 3, covariance, 1e-2, weights, 3)
    covariances = covs if covariance == 'full' else np.diagonal(covs, axis1=1, axis2=2)
    expected = (fractions, means, covariances, resp, likelihood)
    for ours, theirs in zip(found[:5], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)
    assert int(found.steps) == 3


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_partition_gives_fractions_means_and_biased_covariances(points, float64, covariance):
    x, labels = points
    found = gmm.gmm_from_partition(jnp.asarray(x), jnp.asarray(labels), 3, covariance, 0.5)
    for j in range(3):
        own = x[labels == j]
        cov = np.cov(own.T, bias=True)
        cov = cov + 0.5 * np.eye(2) if covariance == 'full' else np.diag(cov) + 0.5
        np.testing.assert_allclose(found.weights[j], len(own) / 50)
        np.testing.assert_allclose(found.means[j], own.mean(0))
        np.testing.assert_allclose(found.covariances[j], cov)


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_density_agrees_with_scipy_and_scikit_learn(points, float64, covariance):
    x, labels = points
    components = gmm.gmm_from_partition(jnp.asarray(x), jnp.asarray(labels), 3, covariance, 1e-3)
    weights, means, covariances = (np.asarray(leaf) for leaf in components)
    square = covariances if covariance == 'full' else np.array([np.diag(c) for c in covariances])
    expected = [
        np.log(weights[j]) + scipy.stats.multivariate_normal.logpdf(x, means[j], square[j])
        for j in range(3)
    ]
    found = gmm.log_joint(jnp.asarray(x), components)
    np.testing.assert_allclose(found, np.array(expected).T, rtol=1e-10)
    np.testing.assert_allclose(
        np.exp(gmm.log_prob(jnp.asarray(x), components)), np.exp(found).sum(1)
    )
    np.testing.assert_allclose(gmm.posterior(jnp.asarray(x), components).sum(1), 1.0)


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_converged_mixture_and_criteria_agree_with_scikit_learn(points, float64, covariance):
    x, labels = points
    start = gmm.gmm_from_partition(jnp.asarray(x), jnp.asarray(labels), 3, covariance, 1e-2)
    precisions = np.asarray(
        np.linalg.inv(start.covariances) if covariance == 'full' else 1 / start.covariances
    )
    expected = GaussianMixture(
        3,
        covariance_type=covariance,
        tol=1e-9,
        reg_covar=1e-2,
        max_iter=1000,
        weights_init=np.asarray(start.weights),
        means_init=np.asarray(start.means),
        precisions_init=precisions,
    ).fit(x)
    found = gmm.gmm_em(jnp.asarray(x), jnp.asarray(labels), 3, covariance, 1e-2)
    np.testing.assert_allclose(found.means, expected.means_, atol=1e-3)
    np.testing.assert_allclose(found.log_likelihood, expected.score(x), atol=1e-6)
    ours = [f(found.log_likelihood, 50, 3, 2, covariance) for f in (gmm.bic, gmm.aic)]
    np.testing.assert_allclose(ours, [expected.bic(x), expected.aic(x)], atol=1e-4)


def test_gradient_of_the_log_density(points, float64):
    x, labels = points
    components = gmm.gmm_from_partition(jnp.asarray(x), jnp.asarray(labels), 3, 'full', 1e-2)
    log_prob = jax.jit(lambda p: gmm.log_prob(p, components))
    check_grads(log_prob, (jnp.asarray(x[:4]),), order=1, modes=['rev'])


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_likelihood_never_falls(points, float64, covariance):
    x, labels = points
    likelihoods = [
        float(
            gmm.gmm_em(
                jnp.asarray(x), jnp.asarray(labels), 3, covariance, 1e-9, max_steps=steps
            ).log_likelihood
        )
        for steps in (0, 3, 20)
    ]
    assert likelihoods == sorted(likelihoods)


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_padding_with_empty_components_changes_nothing(points, covariance):
    x, labels = (jnp.asarray(a) for a in (points[0].astype(np.float32), points[1]))
    plain = gmm.gmm_em(x, labels, 3, covariance, 1e-2)
    padded = gmm.gmm_em(x, labels, 5, covariance, 1e-2)
    np.testing.assert_allclose(padded.responsibilities[:, :3], plain.responsibilities, atol=1e-4)
    np.testing.assert_array_equal(padded.responsibilities[:, 3:], 0.0)
    np.testing.assert_array_equal(padded.weights[3:], 0.0)
    np.testing.assert_allclose(padded.log_likelihood, plain.log_likelihood, rtol=1e-6)


def test_one_component_is_the_normal_of_the_data(points, float64):
    x, _ = points
    found = gmm.gmm_em(jnp.asarray(x), jnp.zeros(50, jnp.int32), 1, 'full', 1e-9)
    np.testing.assert_allclose(found.means[0], x.mean(0))
    np.testing.assert_allclose(found.covariances[0], np.cov(x.T, bias=True) + 1e-9 * np.eye(2))
    np.testing.assert_array_equal(found.responsibilities, 1.0)


@pytest.mark.parametrize('covariance', COVARIANCES)
def test_merged_moments_are_those_of_all_points(points, float64, covariance):
    x, labels = points
    members = jnp.asarray(np.eye(6)[labels + 3 * (np.arange(50) % 2)])
    mass, means, covariances = gmm.moments(jnp.asarray(x), members, covariance)
    groups = jnp.array([0, 1, 2, 0, 1, 2])
    merged = gmm.merge(mass, means, covariances, groups, 3, 1e-2)
    direct = gmm.gmm_from_partition(jnp.asarray(x), jnp.asarray(labels), 3, covariance, 1e-2)
    for ours, theirs in zip(merged, direct, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('covariance', COVARIANCES)
@pytest.mark.parametrize('case', ['one point each', 'constant column', 'all equal', 'collinear'])
def test_finite_where_covariances_collapse(case, covariance):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(12, 3)).astype(np.float32)
    labels = np.arange(12) % 4
    if case == 'one point each':
        labels = np.minimum(np.arange(12), 3)
    elif case == 'constant column':
        x[:, 1] = 7.0
    elif case == 'all equal':
        x[:] = x[0]
    else:
        x = x[:, :1] * np.array([[1e3, 2e3, -3e3]], np.float32)
    found = gmm.gmm_em(jnp.asarray(x), jnp.asarray(labels, jnp.int32), 4, covariance, 1e-6)
    for leaf in found:
        assert np.isfinite(leaf).all()


def test_float32_ends_by_itself(points):
    x, labels = points
    found = gmm.gmm_em(jnp.asarray(x, jnp.float32), jnp.asarray(labels), 3, 'full', 1e-2)
    assert found.converged and int(found.steps) < 500


def test_bounded_steps_are_reported(points):
    x, labels = points
    found = gmm.gmm_em(jnp.asarray(x, jnp.float32), jnp.asarray(labels), 3, max_steps=2)
    assert int(found.steps) == 2 and not found.converged


def test_unknown_covariance_is_refused():
    with pytest.raises(ValueError, match="covariance: expected 'full' or 'diag', got 'tied'"):
        gmm.gmm_em(jnp.zeros((3, 1)), jnp.zeros(3, jnp.int32), 1, 'tied')
