"""How many candidates must be looked at until the document of largest Chamfer similarity is there."""

import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.multi_vector_search import single_vector_candidates
from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.ops.chamfer import chamfer_scores
from jaxsep.ops.geometry import inner_products

NEEDS = ('test',)
SETS = ('query_vectors', 'query_mask', 'document_vectors', 'document_mask')
CHUNK = 1 << 22
"""Scores that are held at a time."""


def evaluate(
    splits: Splits,
    *,
    query_output: str = 'query_embedding',
    item_output: str = 'embedding',
    ks: tuple[int, ...] = (1, 5, 10, 50),
    single_vector: bool = False,
    own_row: bool = False,
) -> dict[str, float]:
    """Recall of the exact nearest document by what is asked for first, and of the exact search.

    Queries are the rows whose `query_mask` holds a member, documents all rows of the split; the
    inner products of `query_output` and `item_output` rank the documents. Among equal ones the
    lower row is first.

    Args:
      splits: 'test', a dict of columns with both embeddings and the sets `query_vectors`,
        `query_mask`, `document_vectors`, `document_mask`.
      ks: numbers of candidates.
      single_vector: the same for the candidates of `single_vector_candidates`.
      own_row: the document of a query's own row is the right one for it: how often it is found.

    Returns:
      'recall@k' of the document of largest Chamfer similarity for each k of `ks` and 'correlation'
      of inner products and Chamfer similarities, the mean over queries. With `single_vector`
      'single_vector_recall@k'. With `own_row` 'own_recall@k' of the embeddings, 'exact_own_recall@k'
      of the Chamfer similarity, and 'reranked_own_recall@1' of the max(ks) candidates by it.
    """
    ks = tuple(int(k) for k in ks)
    if not ks or min(ks) < 1:
        raise ValueError(f'ks must hold at least one positive integer, got {ks}')
    query_sets, query_mask, document_sets, document_mask = (
        column(splits, 'test', name) for name in SETS
    )
    rows = np.flatnonzero(query_mask.any(axis=1))
    if not len(rows):
        raise ValueError('no row of query_mask holds a member: there is no query')
    queries, items = (vectors(splits, 'test', name) for name in (query_output, item_output))
    documents = jnp.asarray(document_sets), jnp.asarray(document_mask)
    items = jnp.asarray(items)
    chunk = max(min(CHUNK // len(items), len(rows)), 1)
    found = {}
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        # The last part is filled up, so that one program serves all.
        padded = np.resize(part, chunk)
        sets = jnp.asarray(query_sets[padded]), jnp.asarray(query_mask[padded])
        exact = np.asarray(chamfer_scores(sets[0], documents[0], sets[1], documents[1]))
        scores = np.asarray(inner_products(jnp.asarray(queries[padded]), items))
        exact, scores = exact[: len(part)], scores[: len(part)]
        best = exact.argmax(axis=1)
        measured = {'correlation': correlation(exact, scores)}
        measured |= recalls('recall', ranks(scores, best), ks)
        if single_vector:
            per_vector = min(4 * max(ks), document_mask.size)
            order = single_vector_candidates(
                sets[0], documents[0], per_vector, sets[1], documents[1]
            )
            order = np.asarray(order)[: len(part)]
            hits = np.concatenate([order == best[:, None], np.ones((len(part), 1), bool)], axis=1)
            place = hits.argmax(axis=1)
            place = np.where(place < order.shape[1], place, len(items))
            measured |= recalls('single_vector_recall', place, ks)
        if own_row:
            own, exactly = ranks(scores, part), ranks(exact, part)
            found_first = np.where(all_ranks(scores) < max(ks), exact, -np.inf)
            measured |= recalls('own_recall', own, ks) | recalls('exact_own_recall', exactly, ks)
            measured['reranked_own_recall@1'] = (own < max(ks)) & (ranks(found_first, part) == 0)
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return {name: float(np.mean(np.concatenate(values))) for name, values in found.items()}


def recalls(name: str, ranks_of: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Whether what is looked for is among the first k, for each query and k."""
    return {f'{name}@{k}': ranks_of < k for k in ks}


def ranks(scores: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Place of the wanted column in each row by descending score, from 0; the lower wins ties."""
    own = np.take_along_axis(scores, wanted[:, None], axis=1)
    before = (scores == own) & (np.arange(scores.shape[1])[None, :] < wanted[:, None])
    return ((scores > own) | before).sum(axis=1)


def all_ranks(scores: np.ndarray) -> np.ndarray:
    """Place of every column in its row by descending score, from 0."""
    order = np.argsort(-scores, axis=1, kind='stable')
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(scores.shape[1])[None, :], axis=1)
    return places


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's of each pair of rows; 0 where one of them is constant."""
    x, y = (z.astype(np.float64) - z.mean(axis=1, keepdims=True, dtype=np.float64) for z in (x, y))
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.where(scale > 0, (x * y).sum(axis=1) / np.where(scale > 0, scale, 1), 0.0)
