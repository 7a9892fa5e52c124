import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxsep.algorithms import dsl

match = jax.jit(dsl.match_clusters, static_argnums=2)
scores_of = jax.jit(dsl.neuron_scores)
split = jax.jit(dsl.split_learner, static_argnames=('threshold', 'min_dims', 'min_important'))
drop = jax.jit(dsl.drop_singletons, static_argnums=(2, 3))


def test_scores_and_important_dimensions_agree_with_the_original(golden):
    a = golden('dsl')
    members = np.isin(np.arange(12), a['split/learner_dims'])
    t = jax.jit(dsl.taylor_importance)(
        jnp.asarray(a['split/activations']), jnp.asarray(a['split/gradients'])
    )
    scores = scores_of(t, jnp.asarray(members))
    np.testing.assert_allclose(scores, a['split/scores'], rtol=2e-5, atol=1e-6)
    kept = np.argsort(-np.asarray(scores))[: np.sum(scores > float(a['split/threshold']))]
    np.testing.assert_array_equal(kept, a['split/kept'])


def test_matching_agrees_with_the_original_but_for_its_inverted_permutation(golden):
    a = golden('dsl')
    previous, current = (jnp.asarray(a[f'reassign/{n}'].astype(np.int32)) for n in ('prev', 'curr'))
    np.testing.assert_array_equal(dsl.matching_cost(previous, current, 4), a['reassign/cost'])
    got = match(previous, current, 4)
    np.testing.assert_array_equal(got, a['reassign/reassigned'])
    assert np.any(got != a['reassign/reassigned_as_released'])


@pytest.mark.parametrize('seed', range(3))
def test_matching_is_scipys_optimum_and_leaves_unused_names_alone(seed):
    rng = np.random.default_rng(seed)
    previous, current = rng.integers(-1, 3, 30), rng.integers(-1, 3, 30)
    got = np.asarray(match(jnp.asarray(previous), jnp.asarray(current), 4, 3))
    np.testing.assert_array_equal(got == -1, current == -1)
    assert got.max() < 3
    shared = np.array(
        [[np.sum((current == i) & (previous == j)) for j in range(3)] for i in range(3)]
    )
    best = shared[linear_sum_assignment(-shared)].sum()
    assert np.sum((got == previous) & (got >= 0)) == best


def test_a_new_cluster_gets_the_name_that_is_free():
    previous = jnp.array([0, 0, 0, 1, 1, 1])
    current = jnp.array([2, 2, 1, 0, 0, 1])
    np.testing.assert_array_equal(match(previous, current, 4, 3), [0, 0, 2, 1, 1, 2])


def divide(importance, of_dim, number):
    scores = scores_of(importance, of_dim == number - 1)
    return split(scores, of_dim, number)


def test_the_last_learner_keeps_its_important_dimensions_and_the_rest_start_anew():
    of_dim = jnp.where(jnp.arange(16) < 4, 0, 1)
    importance = jnp.where(jnp.arange(16) % 2 == 0, 5.0, 0.1) * jnp.where(jnp.arange(16) < 8, -1, 1)
    new, renewed = divide(importance, of_dim, 2)
    np.testing.assert_array_equal(renewed, (np.arange(16) >= 4) & (np.arange(16) % 2 == 1))
    np.testing.assert_array_equal(new, np.where(renewed, 2, of_dim))


@pytest.mark.parametrize('case', ['too few dimensions', 'too few important', 'all alike'])
def test_a_learner_that_is_not_worth_dividing_stays_whole(case):
    of_dim = jnp.where(jnp.arange(16) < (6 if case == 'too few dimensions' else 4), 0, 1)
    importance = {
        'too few dimensions': jnp.where(jnp.arange(16) % 2 == 0, 5.0, 0.1),
        'too few important': jnp.where(jnp.arange(16) > 11, 5.0, 0.1),
        'all alike': jnp.ones(16),
    }[case]
    new, renewed = divide(importance, of_dim, 2)
    assert not renewed.any()
    np.testing.assert_array_equal(new, of_dim)


def test_reclustering_finds_separate_groups_and_keeps_their_names():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    features = jnp.asarray(np.eye(5)[truth] * 4 + 0.3 * rng.normal(size=(60, 5)), jnp.float32)
    present = jnp.arange(60) < 50
    again = jax.jit(dsl.recluster, static_argnums=4)
    got = again(features, present, jnp.asarray(truth), 3, 4)
    np.testing.assert_array_equal(got, np.where(present, truth, -1))
    two = again(features, present, jnp.asarray(truth), 2, 4)
    assert set(np.asarray(two)) == {-1, 0, 1}


def test_samples_alone_of_their_class_in_their_cluster_are_dropped():
    labels = jnp.array([0, 0, 0, 1, 1, 2, -1])
    clusters = jnp.array([1, 1, 0, 2, 2, 2, -1])
    np.testing.assert_array_equal(drop(labels, clusters, 3, 3), [1, 1, -1, 2, 2, -1, -1])
