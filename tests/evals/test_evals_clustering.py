"""Clusters against classes, and against one another."""

import numpy as np
import pytest

from jaxsep.evals.clustering import evaluate, repeatability


def splits(cluster, label, separable):
    """A training split with these columns."""
    columns = dict(cluster=np.array(cluster), label=np.array(label))
    return {'train': {**columns, 'separable': np.array(separable, bool)}}


def pair_counting_index(a, b):
    """The adjusted Rand index from all pairs of points."""
    n = len(a)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    same_a = [a[i] == a[j] for i, j in pairs]
    same_b = [b[i] == b[j] for i, j in pairs]
    both = sum(p and q for p, q in zip(same_a, same_b, strict=True))
    chance = sum(same_a) * sum(same_b) / len(pairs)
    return (both - chance) / ((sum(same_a) + sum(same_b)) / 2 - chance)


def test_agrees_with_counting_pairs():
    rng = np.random.default_rng(0)
    cluster, label = rng.integers(3, size=30), rng.integers(3, size=30)
    label[:15] = cluster[:15]
    separable = np.arange(30) < 20
    found = evaluate(splits(cluster, label, separable))
    np.testing.assert_allclose(found['adjusted_rand_index'], pair_counting_index(cluster, label))
    np.testing.assert_allclose(
        found['separable_adjusted_rand_index'], pair_counting_index(cluster[:20], label[:20])
    )
    assert found['separable_fraction'] == pytest.approx(2 / 3)
    assert found['num_clusters'] == 3


def test_names_of_clusters_do_not_matter():
    found = evaluate(splits([2, 2, 0, 0], [0, 0, 1, 1], [True] * 4))
    assert found['adjusted_rand_index'] == found['separable_adjusted_rand_index'] == 1.0
    assert found['normalized_mutual_information'] == pytest.approx(1.0)


@pytest.mark.parametrize('separable', [[False] * 4, [True, False, False, False]])
def test_no_separable_pair_gives_zero(separable):
    found = evaluate(splits([0, 0, 1, 1], [0, 0, 1, 1], separable))
    assert found['separable_adjusted_rand_index'] == 0.0


def test_another_split_and_label_can_be_named():
    tables = {'test': {'cluster': np.array([0, 1]), 'kind': np.array([1, 0])}}
    tables['test']['separable'] = np.array([True, True])
    assert evaluate(tables, label='kind', split='test')['adjusted_rand_index'] == 1.0


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match='separable'):
        evaluate({'train': {'cluster': np.arange(2), 'label': np.arange(2)}})


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="column 'cluster'"):
        evaluate(splits([0, 1, 2], [0, 1], [True, True]))


def test_one_run_is_not_repeatable():
    with pytest.raises(ValueError, match='labelings: expected at least 2, got 1'):
        repeatability([np.zeros(3)])


def test_smallest_pair_is_reported():
    runs = [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]
    found = repeatability(runs)
    other = pair_counting_index(runs[0], runs[2])
    assert found['min_adjusted_rand_index'] == pytest.approx(other)
    assert found['mean_adjusted_rand_index'] == pytest.approx((1 + 2 * other) / 3)
