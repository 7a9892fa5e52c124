import numpy as np
import pytest

from jaxsep.evals.chamfer_recall import evaluate


@pytest.fixture(scope='module')
def table():
    rng = np.random.default_rng(0)
    n, t, d = 12, 3, 4
    mask = np.arange(t)[None] < rng.integers(1, t + 1, n)[:, None]
    query_mask = mask[::-1].copy()
    query_mask[7:] = False
    return dict(
        document_vectors=rng.normal(size=(n, t, d)).astype(np.float32),
        document_mask=mask,
        query_vectors=rng.normal(size=(n, t, d)).astype(np.float32),
        query_mask=query_mask,
        embedding=rng.normal(size=(n, 5)).astype(np.float32),
        query_embedding=rng.normal(size=(n, 5)).astype(np.float32),
    )


def exact(table):
    q, p = table['query_vectors'], table['document_vectors']
    scores = np.zeros((7, len(p)))
    for i in range(7):
        for j in range(len(p)):
            products = q[i][table['query_mask'][i]] @ p[j][table['document_mask'][j]].T
            scores[i, j] = products.max(1).sum()
    return scores


def place(scores, wanted):
    return sorted(range(len(scores)), key=lambda j: -scores[j]).index(wanted)


def test_numbers_agree_with_loops(table):
    found = evaluate({'test': table}, ks=(1, 4), single_vector=True, own_row=True)
    chamfer, inner = exact(table), table['query_embedding'][:7] @ table['embedding'].T
    best = chamfer.argmax(1)
    for k in (1, 4):
        recall = np.mean([place(inner[i], best[i]) < k for i in range(7)])
        own = np.mean([place(inner[i], i) < k for i in range(7)])
        exactly = np.mean([place(chamfer[i], i) < k for i in range(7)])
        assert found[f'recall@{k}'] == pytest.approx(recall)
        assert found[f'own_recall@{k}'] == pytest.approx(own)
        assert found[f'exact_own_recall@{k}'] == pytest.approx(exactly)
    reranked = []
    for i in range(7):
        four = np.argsort(-inner[i])[:4]
        reranked.append(four[chamfer[i][four].argmax()] == i)
    assert found['reranked_own_recall@1'] == pytest.approx(np.mean(reranked))
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(chamfer, inner, strict=True)]
    assert found['correlation'] == pytest.approx(np.mean(correlations), abs=1e-5)
    assert 0 < found['single_vector_recall@4'] <= 1


def test_exact_scores_as_embeddings_find_everything(table):
    scores = exact(table)
    whole = {**table, 'embedding': np.eye(12, dtype=np.float32)}
    whole['query_embedding'] = np.zeros((12, 12), np.float32)
    whole['query_embedding'][:7] = scores
    found = evaluate({'test': whole}, ks=(1,), single_vector=True, own_row=True)
    assert found['recall@1'] == 1.0 and found['correlation'] == pytest.approx(1.0)
    assert found['own_recall@1'] == found['exact_own_recall@1'] == found['reranked_own_recall@1']


def test_one_query_vector_is_found_by_the_heuristic(table):
    single = {**table, 'query_mask': table['query_mask'] & (np.arange(3) == 0)[None]}
    found = evaluate({'test': single}, ks=(1,), single_vector=True)
    assert found['single_vector_recall@1'] == 1.0


def test_wrong_input_is_named(table):
    with pytest.raises(ValueError, match='ks'):
        evaluate({'test': table}, ks=())
    empty = {**table, 'query_mask': np.zeros_like(table['query_mask'])}
    with pytest.raises(ValueError, match='there is no query'):
        evaluate({'test': empty})
