"""The ranking evaluation against a loop over queries, and its refusals."""

import numpy as np
import pytest

from jaxsep.evals import ranking


def split(seed=0, n=9):
    rng = np.random.default_rng(seed)
    return {
        'query_embedding': rng.normal(size=(n, 3)).astype(np.float32),
        'embedding': rng.normal(size=(n, 3)).astype(np.float32),
        'label': np.array([4, 4, 4, 7, 7, 7, 7, 9, 9])[:n],
    }


def by_loops(scores, relevant, k):
    found = {name: [] for name in ('any', 'frac', 'ndcg', 'mrr', 'map')}
    for row, right in zip(scores, relevant, strict=True):
        order = [i for i in np.argsort(-row, kind='stable') if row[i] > -np.inf]
        hits = right[order]
        if hits.any():
            ranks = 1 + np.flatnonzero(hits)
            found['any'].append(hits[:k].any())
            found['frac'].append(hits[:k].sum() / hits.sum())
            ideal = np.sum(1 / np.log2(1 + np.arange(1, 1 + min(k, hits.sum()))))
            found['ndcg'].append(np.sum(1 / np.log2(1 + ranks[ranks <= k])) / ideal)
            found['mrr'].append(1 / ranks[0])
            found['map'].append(np.mean(np.arange(1, 1 + len(ranks)) / ranks))
    names = {'any': f'recall_any@{k}', 'frac': f'recall_frac@{k}', 'ndcg': f'ndcg@{k}'}
    return {names.get(name, name): np.mean(values) for name, values in found.items()}


def test_the_own_row_is_the_right_item_without_a_label(monkeypatch):
    monkeypatch.setattr(ranking, 'CHUNK', 4 * 9)  # two chunks of 4 queries and one of 1
    data = split()
    scores = data['query_embedding'] @ data['embedding'].T
    got = ranking.evaluate({'test': data}, ks=(2,))
    assert got == pytest.approx(by_loops(scores, np.eye(9, dtype=bool), 2), rel=1e-5)


def test_the_same_label_is_right_and_the_own_row_can_be_left_out():
    data = split(1)
    data['label'][8] = 11  # nothing else of its label: left out
    unit = data['embedding'] / np.linalg.norm(data['embedding'], axis=1, keepdims=True)
    scores = np.where(np.eye(9, dtype=bool), -np.inf, unit @ unit.T)
    relevant = data['label'][:, None] == data['label'][None, :]
    relevant &= ~np.eye(9, dtype=bool)
    got = ranking.evaluate(
        {'test': data}, query_output='embedding', label='label', similarity='cosine',
        exclude_self=True, ks=(3,),
    )  # fmt: skip
    assert got == pytest.approx(by_loops(scores, relevant, 3), rel=1e-5)


def test_no_query_with_a_right_item_gives_0():
    data = split()
    data['label'] = np.arange(9)
    got = ranking.evaluate({'test': data}, label='label', exclude_self=True, ks=(2,))
    assert set(got.values()) == {0.0}


@pytest.mark.parametrize(
    'options, message',
    [
        ({'ks': ()}, 'ks must hold'),
        ({'similarity': 'euclidean'}, "got 'euclidean'"),
        ({'exclude_self': True}, 'exclude_self needs a label'),
        ({'query_output': 'query'}, "no column 'query'"),
        ({'item_output': 'label'}, 'same number of dimensions, got 3 and 1'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ranking.evaluate({'test': split()}, **options)
