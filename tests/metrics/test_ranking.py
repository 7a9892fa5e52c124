"""Ranking measures against the golden numbers, scikit-learn, a loop, and their laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from jaxsep.metrics import ranking

KS = (1, 5, 10)


@jax.jit
def measures(scores, grades, mask=None, relevant=None):
    """Everything on one list of scores, in one program."""
    relevant = grades > 0 if relevant is None else relevant
    found = {'ap': ranking.average_precision(scores, relevant, mask=mask)}
    found['rr'] = ranking.reciprocal_rank(scores, relevant, mask)
    for k in KS:
        found[f'any@{k}'] = ranking.recall_any(scores, relevant, k, mask)
        found[f'frac@{k}'] = ranking.recall_frac(scores, relevant, k, mask)
        found[f'precision@{k}'] = ranking.precision(scores, relevant, k, mask)
        found[f'ap@{k}'] = ranking.average_precision(scores, relevant, k, mask)
        for gain in ranking.GAINS:
            found[f'{gain}@{k}'] = ranking.ndcg(scores, grades, k, mask, gain=gain)
    return found


def lists(seed, q=7, n=12, decimals=1):
    """Scores with ties, grades 0 to 3 with a query that has none."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(q, n)).round(decimals)
    grades = np.maximum(rng.integers(-3, 4, size=(q, n)), 0)
    grades[2] = 0
    return scores.astype(np.float32), grades.astype(np.int32)


def by_loops(scores, grades):
    """The same in float64 for one query, from the definitions."""
    order = np.argsort(-scores.astype(float), kind='stable')
    ranked = grades[order].astype(float)
    hits, total = ranked > 0, (grades > 0).sum()
    precisions = [hits[: r + 1].sum() / (r + 1) if hits[r] else 0.0 for r in range(len(hits))]
    found = {'ap': sum(precisions) / max(total, 1)}
    found['rr'] = 1 / (1 + np.flatnonzero(hits)[0]) if total else 0.0
    for k in KS:
        found[f'any@{k}'] = float(hits[:k].any())
        found[f'frac@{k}'] = hits[:k].sum() / max(total, 1)
        found[f'precision@{k}'] = hits[:k].sum() / k
        found[f'ap@{k}'] = sum(precisions[:k]) / max(total, 1)
        for gain in ranking.GAINS:

            def gained(g, gain=gain):
                return g if gain == 'linear' else 2.0**g - 1

            discount = 1 / np.log2(np.arange(2, len(ranked) + 2))
            best = (gained(-np.sort(-grades.astype(float))) * discount)[:k].sum()
            found[f'{gain}@{k}'] = (gained(ranked) * discount)[:k].sum() / best if total else 0.0
    return found


def test_golden(golden, float64):
    a = {k[5:]: jnp.asarray(v) for k, v in golden('shared_retrieval').items() if k[:5] == 'rank/'}
    np.testing.assert_array_equal(ranking.ranking(a['scores']), a['order'])
    found = measures(a['scores'], a['grades'], None, a['relevant'])
    np.testing.assert_array_equal(found['ap'].valid, a['has_positive'])

    def close(got, want):
        return np.testing.assert_allclose(got, want, rtol=1e-12)

    for k in KS:
        close(ranking.mean_over_valid(found[f'any@{k}']), a[f'recall_any@{k}'])
        close(ranking.mean_over_valid(found[f'frac@{k}']), a[f'recall_frac@{k}'])
        close(ranking.mean_over_valid(found[f'precision@{k}']), a[f'precision@{k}'])
        close(found[f'linear@{k}'].values, a[f'ndcg_linear@{k}'])
        close(found[f'exponential@{k}'].values, a[f'ndcg_exp2@{k}'])
    close(found['rr'].values, a['reciprocal_rank'])
    close(found['ap'].values, a['average_precision'])
    close(found['ap@5'].values, a['ap_at5'])
    for over, name in (('all', 'all_queries'), ('with_positive', 'queries_with_positive')):
        close(ranking.mean_reciprocal_rank(a['scores'], a['relevant'], over=over), a[f'mrr_{name}'])


def test_golden_bundles(golden):
    a = golden('shared_retrieval')
    scores, relevant = jnp.asarray(a['bundle/pred']), jnp.asarray(a['bundle/relevant']) > 0
    for k in (3, 10):
        found = ranking.bundle_metrics(scores, relevant, k)
        np.testing.assert_allclose(found.recall, a[f'bundle/recall@{k}'], rtol=1e-6)
        np.testing.assert_allclose(found.ndcg, a[f'bundle/ndcg@{k}'], rtol=1e-6)


def test_all_measures_agree_with_loops():
    scores, grades = lists(0)
    found = measures(jnp.asarray(scores), jnp.asarray(grades))
    for i in range(len(scores)):
        for name, expected in by_loops(scores[i], grades[i]).items():
            np.testing.assert_allclose(found[name].values[i], expected, rtol=1e-5, err_msg=name)


def test_measures_agree_with_sklearn_where_nothing_ties():
    scores, grades = lists(1, decimals=7)
    found = measures(jnp.asarray(scores), jnp.asarray(grades))
    for i in np.flatnonzero(grades.any(axis=1)):
        expected = average_precision_score(grades[i] > 0, scores[i])
        np.testing.assert_allclose(found['ap'].values[i], expected, rtol=1e-5)
        expected = ndcg_score(grades[i : i + 1], scores[i : i + 1], k=5, ignore_ties=True)
        np.testing.assert_allclose(found['linear@5'].values[i], expected, rtol=1e-5)


def test_masked_items_are_as_good_as_removed():
    scores, grades = lists(2)
    kept = np.arange(12) != 4
    mask = jnp.broadcast_to(kept[None, :], scores.shape)
    found = measures(jnp.asarray(scores), jnp.asarray(grades), mask)
    for i in range(len(scores)):
        for name, expected in by_loops(scores[i, kept], grades[i, kept]).items():
            np.testing.assert_allclose(found[name].values[i], expected, rtol=1e-5, err_msg=name)


def test_items_of_equal_score_are_ranked_by_index_also_zeros_of_both_signs():
    scores = jnp.array([[-0.0, 1.0, 0.0, -0.0, 1.0, -jnp.inf]])
    assert ranking.ranking(scores).tolist() == [[1, 4, 0, 2, 3, 5]]
    assert ranking.ranking(scores, 4).tolist() == [[1, 4, 0, 2]]
    assert ranking.ranking(scores, mask=scores < 1).tolist() == [[0, 2, 3, 5, 1, 4]]


def test_a_perfect_ranking_has_the_value_1_and_k_may_exceed_the_list():
    grades = jnp.array([[3, 2, 1, 0, 0]])
    for name, (values, valid) in measures(5.0 - jnp.arange(5.0)[None, :], grades).items():
        if name not in ('frac@1', 'ap@1') and not name.startswith('precision'):
            np.testing.assert_allclose(values, 1.0, rtol=1e-6, err_msg=name)
        assert valid.all()


def test_without_relevant_items_everything_is_0_and_only_precision_is_defined():
    for name, (values, valid) in measures(jnp.ones((2, 3)), jnp.zeros((2, 3), int)).items():
        assert (values == 0).all()
        assert valid.all() == name.startswith('precision')
        assert ranking.mean_over_valid(ranking.PerQuery(values, valid)) == 0


def test_wrong_arguments_are_named():
    scores, relevant = jnp.ones((1, 2)), jnp.ones((1, 2), bool)
    with pytest.raises(ValueError, match='k: expected a positive number of items, got 0'):
        ranking.recall_any(scores, relevant, 0)
    with pytest.raises(ValueError, match="over: .* got 'some'"):
        ranking.mean_reciprocal_rank.__wrapped__(scores, relevant, over='some')
