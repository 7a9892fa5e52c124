import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from jaxsep.algorithms import streaming_lda

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(4, 4))
Y = np.arange(60) % 3
X = (RNG.normal(size=(60, 4)) @ MIX + 2 * RNG.normal(size=(3, 4))[Y]).astype(np.float32)


def learn(*sessions, **options):
    state = streaming_lda.empty(4, 4)
    for rows in sessions:
        state = streaming_lda.update(state, jnp.asarray(X[rows]), jnp.asarray(Y[rows]), **options)
    return state


def test_posteriors_are_those_of_scikit_learn():
    ours = jax.nn.softmax(
        streaming_lda.scores(
            learn(slice(None), normalize=False), jnp.asarray(X), shrinkage=1e-7, normalize=False
        )
    )
    theirs = LinearDiscriminantAnalysis(solver='lsqr', priors=[1 / 3] * 3).fit(X, Y)
    np.testing.assert_allclose(ours[:, :3], theirs.predict_proba(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(ours[:, 3], 0)


def test_sessions_and_their_order_change_nothing():
    whole = learn(slice(None))
    by_class = learn(*(np.flatnonzero(Y == c) for c in (2, 0, 1)))
    in_parts = streaming_lda.merge(learn(slice(40, 60)), learn(slice(0, 40)))
    for other in (by_class, in_parts):
        np.testing.assert_array_equal(other.means.count, whole.means.count)
        np.testing.assert_allclose(other.means.sum, whole.means.sum, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other.scatter, whole.scatter, rtol=1e-4, atol=1e-5)


def test_the_scatter_is_that_of_the_formula_in_float64():
    x = X.astype(np.float64)
    apart = x - np.stack([x[Y == c].mean(axis=0) for c in range(3)])[Y]
    found = learn(slice(None), normalize=False)
    np.testing.assert_allclose(found.scatter, apart.T @ apart, rtol=1e-4, atol=1e-4)


def test_nothing_seen_and_foreign_labels_and_zero_rows_are_finite():
    nothing = streaming_lda.empty(4, 4)
    assert np.all(np.isneginf(streaming_lda.scores(nothing, jnp.asarray(X[:2]))))
    foreign = streaming_lda.update(nothing, jnp.asarray(X[:2]), jnp.array([-1, 4]))
    assert not np.any(foreign.scatter) and not np.any(foreign.means.count)
    zeros = streaming_lda.update(nothing, jnp.zeros((3, 4)), jnp.array([0, 0, 1]))
    found = streaming_lda.scores(zeros, jnp.zeros((1, 4)))
    assert np.all(np.isfinite(found[:, :2]))
    with pytest.raises(ValueError, match='shrinkage: expected 0 < shrinkage <= 1, got 0.0'):
        streaming_lda.scores(nothing, jnp.asarray(X), shrinkage=0.0)
