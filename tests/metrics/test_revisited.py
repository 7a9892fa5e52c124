"""The revisited landmarks' measures against the golden numbers and their laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.metrics.revisited import PROTOCOLS, revisited_map


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_golden(golden, float64, protocol):
    a = golden('shared_retrieval')
    scores, labels = jnp.asarray(a['revisited/similarity'].T), jnp.asarray(a['revisited/label'])
    found = revisited_map(scores, labels, protocol, tuple(a['revisited/kappas'].tolist()))
    case = {k: a[f'revisited/{protocol}/{k}'] for k in ('map', 'ap', 'mean_precision', 'precision')}
    np.testing.assert_array_equal(found.valid, case['ap'] >= 0)
    expected = np.where(case['ap'] >= 0, case['ap'], 0)
    np.testing.assert_allclose(found.average_precision, expected, rtol=1e-12)
    np.testing.assert_allclose(found.mean_average_precision, case['map'], rtol=1e-12)
    np.testing.assert_allclose(found.precision, case['precision'], rtol=1e-12)
    np.testing.assert_allclose(found.mean_precision, case['mean_precision'], rtol=1e-12)


def by_loops(scores, positive, kept, k):
    """AP and precision at k of one query, after removing what is not kept."""
    order = [i for i in np.argsort(-scores, kind='stable') if kept[i]]
    ranks = [r for r, i in enumerate(order) if positive[i]]
    value = 0.0
    for j, r in enumerate(ranks):
        value += (1.0 if r == 0 else j / r) + (j + 1) / (r + 1)
    depth = min(ranks[-1] + 1, k)
    return value / (2 * len(ranks)), sum(r < depth for r in ranks) / depth


def test_agrees_with_a_loop_where_scores_tie_and_skips_queries_without_positives():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 11)).round(1).astype(np.float32)
    labels = rng.integers(0, 4, size=(5, 11)).astype(np.int32)
    labels[3] = 2 + np.arange(11) % 2  # junk and negatives only
    found = jax.jit(revisited_map)(jnp.asarray(scores), jnp.asarray(labels))
    assert found.valid.tolist() == [True, True, True, False, True]
    for i in np.flatnonzero(found.valid):
        ap, precision = by_loops(scores[i], labels[i] < 2, labels[i] != 2, 5)
        np.testing.assert_allclose(found.average_precision[i], ap, rtol=1e-5)
        np.testing.assert_allclose(found.precision[i, 1], precision, rtol=1e-5)
    np.testing.assert_allclose(
        found.mean_average_precision,
        np.asarray(found.average_precision)[found.valid].mean(),
        rtol=1e-5,
    )


def test_a_ranking_that_is_perfect_but_for_ignored_items_has_the_value_1():
    labels = jnp.array([[2, 0, 2, 1, 1, 3, 2, 3]])
    found = revisited_map(-jnp.arange(8.0)[None, :], labels)
    assert found.mean_average_precision == 1
    assert (found.mean_precision == 1).all()


def test_no_valid_query_gives_0_and_wrong_protocols_are_named():
    found = revisited_map(jnp.ones((2, 3)), jnp.full((2, 3), 3))
    assert found.mean_average_precision == 0 and (found.mean_precision == 0).all()
    with pytest.raises(ValueError, match="protocol: .* got 'difficult'"):
        revisited_map.__wrapped__.__wrapped__(jnp.ones((1, 1)), jnp.ones((1, 1), int), 'difficult')
