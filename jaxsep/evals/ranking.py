"""Recall, MRR, NDCG and MAP of items ranked for queries, both named outputs of the same rows."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.metrics import ranking
from jaxsep.ops.geometry import inner_products, l2_normalize

NEEDS = ('test',)
SIMILARITIES = ('inner', 'cosine')
CHUNK = 1 << 22
"""Scores that are held at a time."""


def evaluate(
    splits: Splits,
    *,
    query_output: str = 'query_embedding',
    item_output: str = 'embedding',
    label: str | None = None,
    similarity: str = 'inner',
    exclude_self: bool = False,
    ks: tuple[int, ...] = (1, 5, 10),
) -> dict[str, float]:
    """How early the items that belong to each query come when all items of the split are ranked.

    Row i of `query_output` is a query, row j of `item_output` an item. The item of its own row is
    the only right one for a query, or, with `label`, every item of the same label is. Means over
    the queries that have a right item; equal scores are ranked by row.

    Args:
      splits: 'test', a dict of columns.
      similarity: 'inner' product or 'cosine'.
      exclude_self: leaves the item of the query's own row out (queries and items are the same
        things); needs `label`.
      ks: depths; a depth beyond the number of items is the whole list.

    Returns:
      'recall_any@k' (is one found), 'recall_frac@k' (the share found) and 'ndcg@k' for each k of
      `ks`, 'mrr' and 'map'.
    """
    ks = tuple(int(k) for k in ks)
    if not ks or min(ks) < 1:
        raise ValueError(f'ks must hold at least one positive integer, got {ks}')
    if similarity not in SIMILARITIES:
        raise ValueError(f'similarity must be one of {SIMILARITIES}, got {similarity!r}')
    if exclude_self and label is None:
        raise ValueError('exclude_self needs a label: without one, the own row is the right item')
    queries, items = (vectors(splits, 'test', output) for output in (query_output, item_output))
    if queries.shape[1] != items.shape[1]:
        raise ValueError(
            f'{query_output!r} and {item_output!r} must have the same number of dimensions, '
            f'got {queries.shape[1]} and {items.shape[1]}'
        )
    rows = np.arange(len(items), dtype=np.int32)
    labels = rows if label is None else classes(splits, NEEDS, label)[0][0]
    prepare = l2_normalize if similarity == 'cosine' else jnp.asarray
    queries, items = prepare(jnp.asarray(queries)), prepare(jnp.asarray(items))
    found = {}
    chunk = max(CHUNK // len(rows), 1)
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        scores = inner_products(queries[start : start + chunk], items)
        relevant = jnp.asarray(labels[part][:, None] == labels[None, :])
        mask = jnp.asarray(part[:, None] != rows[None, :]) if exclude_self else None
        for name, (values, valid) in _measures(scores, relevant, mask, ks).items():
            found.setdefault(name, []).append(np.asarray(values, np.float64)[np.asarray(valid)])
    means = {name: np.concatenate(values) for name, values in found.items()}
    return {name: float(v.mean()) if len(v) else 0.0 for name, v in means.items()}


def _measures(scores, relevant, mask, ks):
    measures = {'mrr': ranking.reciprocal_rank(scores, relevant, mask)}
    measures['map'] = ranking.average_precision(scores, relevant, mask=mask)
    for k in ks:
        measures[f'recall_any@{k}'] = ranking.recall_any(scores, relevant, k, mask)
        measures[f'recall_frac@{k}'] = ranking.recall_frac(scores, relevant, k, mask)
        measures[f'ndcg@{k}'] = ranking.ndcg(scores, relevant, k, mask)
    return measures
