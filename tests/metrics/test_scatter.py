"""Fisher's criteria against goldens, loops in float64, and their invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from jaxsep.metrics import scatter

GOLDEN_NAMES = {
    'S_W': scatter.within_scatter,
    'S_B': scatter.between_scatter,
    'fisher_trace_ratio': scatter.fisher_trace_ratio,
    'fisher_trace_Sw_inv_Sb': scatter.fisher_trace,
    'fisher_max_eig': scatter.fisher_max_eigenvalue,
    'fisher_logdet_ratio': scatter.fisher_logdet_ratio,
    'fisher_ratio_per_feature': scatter.fisher_ratio_per_feature,
    'F1_ho_basu': scatter.ho_basu_f1,
    'fisher_trace_ratio_class_balanced': scatter.fisher_trace_ratio_balanced,
    'pairwise_fdr_mean_diff_over_std': scatter.pairwise_fisher_ratio,
}
SCALARS = (
    scatter.fisher_trace_ratio,
    scatter.fisher_trace_ratio_balanced,
    scatter.fisher_trace,
    scatter.fisher_max_eigenvalue,
    scatter.fisher_logdet_ratio,
    scatter.ho_basu_f1,
)


K = 6  # classes 3, 4 and 5 have no points


def points(seed=0, n=24, d=4, k=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % k).astype(np.int32)
    return rng.normal(size=(n, d)) + 2 * rng.normal(size=(k, d))[labels], labels


@jax.jit(static_argnames=('num_classes',))
def all_measures(x, labels, num_classes):
    return {name: measure(x, labels, num_classes) for name, measure in GOLDEN_NAMES.items()}


@jax.jit
def all_scalars(x, labels):
    return jnp.stack([measure(x, labels, K) for measure in SCALARS])


@pytest.mark.parametrize(
    'case, precision', [('A_digits', 'float32'), ('A_digits', 'float64'), ('A_toy', 'float64')]
)
def test_every_measure_equals_its_golden_value(golden, case, precision):
    arrays = golden('separability_metrics')
    with jax.enable_x64(precision == 'float64'):
        x = jnp.asarray(arrays[f'{case}/X'], precision)
        labels = jnp.asarray(arrays[f'{case}/y'])
        values = all_measures(x, labels, int(labels.max()) + 1)
    rtol = 1e-9 if precision == 'float64' else 1e-4
    for name, value in values.items():
        expected = arrays[f'{case}/{name}']
        assert value.dtype == precision
        atol = rtol * np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol, atol, err_msg=name)


def test_scatter_matrices_are_sums_over_points_and_add_up_to_the_total(float64):
    x, labels = points()
    mean, within, between = x.mean(0), np.zeros((4, 4)), np.zeros((4, 4))
    for c in range(3):
        middle = x[labels == c].mean(0)
        for point in x[labels == c]:
            within += np.outer(point - middle, point - middle)
            between += np.outer(middle - mean, middle - mean)
    got_within = scatter.within_scatter(jnp.asarray(x), jnp.asarray(labels), 3)
    got_between = scatter.between_scatter(jnp.asarray(x), jnp.asarray(labels), 3)
    np.testing.assert_allclose(got_within, within, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got_between, between, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got_within + got_between, np.cov(x.T, bias=True) * 24, rtol=1e-10)


def test_largest_eigenvalue_and_determinants_agree_with_scipy(float64):
    x, labels = points(1)
    within = np.asarray(scatter.within_scatter(jnp.asarray(x), jnp.asarray(labels), 3))
    between = np.asarray(scatter.between_scatter(jnp.asarray(x), jnp.asarray(labels), 3))
    eigenvalues = scipy.linalg.eigh(between, within, eigvals_only=True)
    args = jnp.asarray(x), jnp.asarray(labels), 3
    np.testing.assert_allclose(scatter.fisher_max_eigenvalue(*args), eigenvalues[-1], rtol=1e-9)
    logdets = np.linalg.slogdet(within + between)[1] - np.linalg.slogdet(within)[1]
    np.testing.assert_allclose(scatter.fisher_logdet_ratio(*args), logdets, rtol=1e-9)


def test_two_class_ratio_is_squared_difference_over_sum_of_biased_variances(float64):
    x, labels = points(2, k=2)
    zero, one = x[labels == 0], x[labels == 1]
    expected = (one.mean(0) - zero.mean(0)) ** 2 / (one.var(0) + zero.var(0))
    value = scatter.fisher_ratio_two_class(jnp.asarray(x), jnp.asarray(labels), 2)
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_two_class_ratio_refuses_three_classes():
    with pytest.raises(ValueError, match='num_classes=2, got 3'):
        scatter.fisher_ratio_two_class(jnp.zeros((3, 2)), jnp.arange(3), 3)


def test_gradients_agree_with_finite_differences(float64):
    x, labels = points(3)
    labels = jnp.asarray(labels)

    @jax.jit
    def measures(x):
        ratio = scatter.fisher_trace_ratio_balanced(x, labels, K)
        return ratio, scatter.fisher_logdet_ratio(x, labels, K)

    check_grads(lambda x: measures(jnp.asarray(x)), (x,), 1, ['rev'], rtol=1e-4)


def test_full_rank_criteria_are_invariant_to_linear_maps(float64):
    x, labels = points(4)
    mixed = x @ np.random.default_rng(5).normal(size=(4, 4)) + 3.0
    plain, moved = (all_scalars(jnp.asarray(x), jnp.asarray(labels)) for x in (x, mixed))
    for measure in (
        scatter.fisher_trace,
        scatter.fisher_max_eigenvalue,
        scatter.fisher_logdet_ratio,
    ):
        index = SCALARS.index(measure)
        np.testing.assert_allclose(moved[index], plain[index], rtol=1e-7)


def test_a_class_without_points_changes_nothing(float64):
    x, labels = points(6)
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    renamed = jnp.where(labels == 2, 4, labels)
    before, after = all_measures(x, labels, 3), all_measures(x, renamed, K)
    pairs = np.asarray(after.pop('pairwise_fdr_mean_diff_over_std'))
    expected = before.pop('pairwise_fdr_mean_diff_over_std')
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-10, atol=1e-12, err_msg=name)
    kept = np.array([0, 1, 4])
    np.testing.assert_allclose(pairs[np.ix_(kept, kept)], expected, rtol=1e-10)
    assert (pairs[[2, 3, 5]] == 0).all() and (pairs[:, [2, 3, 5]] == 0).all()


def test_balanced_ratio_does_not_depend_on_class_sizes(float64):
    x, labels = points(7)
    repeated = np.concatenate([x, x[labels == 1], x[labels == 1]])
    more = np.concatenate([labels, np.ones(2 * (labels == 1).sum(), np.int32)])
    once = scatter.fisher_trace_ratio_balanced(jnp.asarray(x), jnp.asarray(labels), 3)
    thrice = scatter.fisher_trace_ratio_balanced(jnp.asarray(repeated), jnp.asarray(more), 3)
    np.testing.assert_allclose(once, thrice, rtol=1e-10)


def test_constant_features_have_ratio_zero_also_where_means_round():
    x = jnp.full((6, 10), 0.1)
    labels = jnp.array([0, 0, 0, 1, 1, 1])
    assert (scatter.fisher_ratio_per_feature(x, labels, 2) == 0).all()
    assert all_scalars(x, labels).tolist() == [0, 0, 0, 0, 0, 1]


def test_classes_collapsed_to_points_have_an_infinite_ratio():
    labels = jnp.array([0, 0, 1, 1, 2, 2])
    x = jnp.eye(3, 10)[labels]
    ratio, balanced, trace, largest, logdet, f1 = all_scalars(x, labels)
    assert min(ratio, balanced, largest, logdet) == jnp.inf
    assert trace == 0  # by the definition of the pseudo-inverse
    assert f1 == 0
    assert scatter.pairwise_fisher_ratio(x, labels, K)[0, 1] == jnp.inf


def test_fewer_points_than_features_stay_finite():
    x, labels = points(8, n=6, d=10)
    assert jnp.isfinite(all_scalars(jnp.asarray(x, jnp.float32), jnp.asarray(labels))).all()


def test_bfloat16_points_give_float32():
    x, labels = points(9)
    value = scatter.fisher_trace_ratio(jnp.asarray(x, jnp.bfloat16), jnp.asarray(labels), 3)
    assert value.dtype == jnp.float32


@pytest.mark.parametrize('exponent', [-90, 90])
def test_ratios_do_not_depend_on_the_scale_of_the_points(exponent):
    x, y = points()
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    found, expected = all_scalars(x * 2.0**exponent, y), all_scalars(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for measure in (scatter.fisher_ratio_per_feature, scatter.pairwise_fisher_ratio):
        found, expected = (measure(z, y, K) for z in (x * 2.0**exponent, x))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
