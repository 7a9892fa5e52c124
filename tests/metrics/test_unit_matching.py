"""Units of two networks, checked against the original's numbers, numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import mutual_info_score

from jaxsep.metrics import unit_matching as um


@pytest.fixture(scope='module')
def arrays(golden):
    return golden('convergent_learning')


@pytest.fixture(scope='module')
def acts(arrays):
    return tuple(jnp.asarray(arrays[name], jnp.float32) for name in ('actsA', 'actsB'))


def test_golden_correlations(arrays, acts):
    a, b = acts
    np.testing.assert_allclose(um.unit_correlation(a, b), arrays['corr_between'], atol=1e-5)
    np.testing.assert_allclose(um.unit_correlation(a, a), arrays['corr_within_A'], atol=1e-5)


def test_golden_matchings(arrays, acts):
    between = um.unit_correlation(*acts)
    order, semi = um.bipartite_match(between), um.semi_match(between)
    np.testing.assert_array_equal(order, arrays['match/bipartite'])
    np.testing.assert_array_equal(semi, arrays['match/semi'])
    for found, name in ((order, 'bipartite'), (semi, 'semi')):
        mean = um.matched_values(between, found).mean()
        np.testing.assert_allclose(mean, arrays[f'match/{name}_mean_corr'], rtol=1e-5)
    permuted = um.permute_columns(between, order)
    np.testing.assert_allclose(permuted, arrays['match/permuted_between'], atol=1e-5)
    np.testing.assert_array_equal(jnp.diagonal(permuted), um.matched_values(between, order))
    np.testing.assert_array_equal(um.permute_rows(between.T, order), permuted.T)


def test_golden_matching_within_a_network(arrays, float64):
    within = jnp.asarray(arrays['corr_within_A'])
    order = np.asarray(um.bipartite_match(within, ignore_diagonal=True))
    theirs = arrays['match/within_ignore_diag']
    assert (order != np.arange(7)).all()
    # Symmetric, hence not unique: the sum is.
    expected = arrays['corr_within_A'][np.arange(7), theirs].sum()
    np.testing.assert_allclose(um.matched_values(within, jnp.asarray(order)).sum(), expected, 1e-9)


def test_golden_loops(arrays):
    units, lengths = um.follow_loops(arrays['match/within_ignore_diag'])
    np.testing.assert_array_equal(units, arrays['match/loops_order'])
    np.testing.assert_array_equal(lengths, arrays['match/loops_lengths'])


def test_golden_information(arrays, acts):
    a, b = acts
    num_bins = int(arrays['mi/num_bins'])
    edges = [um.percentile_bins(x[:, 0], num_bins) for x in acts]
    # Interpolated between two samples at a rounded place.
    np.testing.assert_allclose(edges[0], arrays['mi/edges_x_00'], rtol=1e-4)
    np.testing.assert_allclose(edges[1], arrays['mi/edges_y_00'], rtol=1e-4)
    counts = um.joint_histograms(a, b, num_bins, chunk_size=150)
    np.testing.assert_array_equal(counts[0, 0], arrays['mi/hist_00'])
    value, less_bias = um.unit_information(a, b, num_bins, chunk_size=150)
    np.testing.assert_allclose(value, arrays['mi/matrix'], atol=1e-5)
    np.testing.assert_allclose(less_bias, arrays['mi/matrix_less_bias'], atol=1e-5)
    np.testing.assert_array_equal(um.bipartite_match(value), arrays['mi/bipartite_by_mi'])


def test_correlation_agrees_with_numpy_and_ignores_scale_and_shift():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 5))
    expected = np.corrcoef(x.T)[:3, 3:]
    scaled = x * [1e4, 1e-4, 1, 3, -1] + [100, 0, 0, -5, 0]
    a, b = jnp.asarray(scaled[:, :3], jnp.float32), jnp.asarray(scaled[:, 3:], jnp.float32)
    found = um.unit_correlation(a, b)
    np.testing.assert_allclose(found, expected * [[1, -1]], atol=1e-5)


def test_moments_of_batches_merge_to_those_of_all_rows(acts):
    a, b = acts
    parts = [um.unit_moments(a[i:j], b[i:j]) for i, j in ((0, 1), (1, 150), (150, 150), (150, 400))]
    merged = parts[0]
    for part in parts[1:]:
        merged = um.merge_moments(merged, part)
    for ours, whole in zip(merged, um.unit_moments(a, b), strict=True):
        np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        um.correlation_of_moments(merged), um.unit_correlation(a, b), atol=1e-5
    )


def test_constant_units_have_no_correlation_and_no_gradient_there_is_nan():
    a = jnp.stack([jnp.full(6, 0.1), jnp.arange(6.0), jnp.zeros(6)], axis=1)
    found = np.asarray(um.unit_correlation(a, a))
    np.testing.assert_array_equal(found[[0, 2]], 0.0)
    np.testing.assert_allclose(found[1], [0, 1, 0], atol=1e-6)
    grads = jax.jit(jax.grad(lambda x: um.unit_correlation(x, x).sum()))(a)
    assert np.isfinite(grads).all()


def test_no_rows_have_no_correlation_and_no_information():
    nothing = jnp.zeros((0, 3))
    np.testing.assert_array_equal(um.unit_correlation(nothing, nothing), np.zeros((3, 3)))
    value, less = um.mutual_information(jnp.zeros((2, 3, 4)))
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_array_equal(less, [0, 0])


def test_matching_is_as_good_as_scipys_and_no_better_than_sharing():
    rng = np.random.default_rng(1)
    match = jax.jit(um.bipartite_match, static_argnames='ignore_diagonal')
    for case in range(6):
        similarity = rng.normal(size=(12, 12)) * 10.0 ** (case - 3)
        if case == 5:
            similarity = np.round(similarity / 100.0)  # many ties
        own = similarity.astype(np.float32)
        for ignore in (False, True):
            order = np.asarray(match(jnp.asarray(own), ignore_diagonal=ignore))
            cost = -similarity + np.where(np.eye(12, dtype=bool) & ignore, 1e9, 0)
            best = similarity[linear_sum_assignment(cost)].sum()
            assert sorted(order) == list(range(12)) and not (ignore and any(order == np.arange(12)))
            np.testing.assert_allclose(similarity[np.arange(12), order].sum(), best, rtol=1e-5)
            shared = um.matched_values(jnp.asarray(own), um.semi_match(jnp.asarray(own)))
            assert shared.sum() >= own[np.arange(12), order].sum() - 1e-3


def test_renamed_units_are_found_again(acts):
    a, _ = acts
    order = np.random.default_rng(2).permutation(7)
    found = um.bipartite_match(um.unit_correlation(a[:, order], a))
    np.testing.assert_array_equal(found, order)
    np.testing.assert_array_equal(um.permute_columns(a, found), a[:, order])


def test_loops_of_the_identity_and_of_one_cycle():
    assert um.follow_loops(np.arange(3))[1].tolist() == [1, 1, 1]
    assert um.follow_loops(jnp.array([1, 2, 0]))[1].tolist() == [3]
    assert um.follow_loops(np.arange(0))[0].size == 0
    with pytest.raises(ValueError, match='permutation of 0 to 2'):
        um.follow_loops(np.array([1, 1, 0]))


def test_bins_are_those_of_numpy_and_information_that_of_sklearn():
    rng = np.random.default_rng(3)
    x = np.maximum(rng.normal(size=(300, 4)) @ (np.eye(4) + 0.5), 0).astype(np.float32)
    edges = [np.asarray(um.percentile_bins(jnp.asarray(column), 6)) for column in x.T]
    for column, edge in zip(x.T, edges, strict=True):
        silent = 100.1 * np.mean(column < 1e-6)
        expected = np.percentile(column, [0, *np.linspace(silent, 100, 6)])
        np.testing.assert_allclose(edge[1:], expected[1:], rtol=1e-4)
        np.testing.assert_allclose(edge[0], expected[0] - 0.01, rtol=1e-6)
        assert edge[-1] == column.max()
    counts, *_ = np.histogram2d(x[:, 0], x[:, 3], bins=[edges[0], edges[3]])
    np.testing.assert_array_equal(
        um.joint_histograms(jnp.asarray(x), jnp.asarray(x), 6)[0, 3], counts
    )
    value, less = um.unit_information(jnp.asarray(x), jnp.asarray(x), 6)
    bins = [np.asarray(um.bin_of(jnp.asarray(x[:, i]), jnp.asarray(edges[i]))) for i in (0, 3)]
    np.testing.assert_allclose(value[0, 3], mutual_info_score(*bins), rtol=1e-4)
    np.testing.assert_allclose(value - less, 36 / (2 * 300 * np.log(2)), rtol=1e-3)


def test_all_samples_are_counted_even_of_units_that_are_silent_or_constant():
    a = np.random.default_rng(4).normal(size=(300, 4)).astype(np.float32)
    a[:, 0], a[:, 1], a[1:, 2] = 0.0, 0.7, 0.0  # never, always the same, once
    counts = um.joint_histograms(jnp.asarray(a), jnp.asarray(a), 6)
    np.testing.assert_array_equal(counts.sum((2, 3)), np.full((4, 4), 300))
    value, _ = um.unit_information(jnp.asarray(a), jnp.asarray(a), 6)
    np.testing.assert_allclose(value[:2], 0.0, atol=1e-6)


def test_samples_are_places():
    maps = jnp.arange(24.0).reshape(2, 2, 2, 3)
    assert um.as_samples(maps).shape == (8, 3)
    np.testing.assert_array_equal(um.as_samples(maps)[5], maps[1, 0, 1])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='num_bins: expected at least 2, got 1'):
        um.percentile_bins(jnp.zeros(4), 1)
    with pytest.raises(ValueError, match='at least 2 units, got 1'):
        um.bipartite_match(jnp.zeros((1, 1)), ignore_diagonal=True)


def test_correlation_does_not_depend_on_the_scale_of_units():
    rng = np.random.default_rng(9)
    a, b = (jnp.asarray(rng.normal(size=(12, 3)), jnp.float32) for _ in range(2))
    scales = jnp.array([[2.0**90, 2.0**-90, 1.0]])
    np.testing.assert_allclose(
        um.unit_correlation(a * scales, b), um.unit_correlation(a, b), rtol=1e-5
    )
