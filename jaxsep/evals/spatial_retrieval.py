"""Retrieval among the test rows by spatial search: the patches of one in those of the other."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, classes, column
from jaxsep.metrics import ranking
from jaxsep.metrics.spatial_search import REDUCTIONS, spatial_search_distances

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    label: str = 'label',
    output: str = 'vectors',
    query_patches: int | None = None,
    reference_patches: int | None = None,
    reduction: str = 'mean',
    chunk_size: int = 64,
) -> dict[str, float]:
    """Every row is looked for among all others; those of its own label are the right ones.

    Args:
      splits: 'test', a dict of columns; `output` [b, p, d] holds p patches of each row.
      query_patches: how many of the patches, first ones first, a query looks with; all by default.
        With 1 for both numbers it is retrieval by the first patch alone.
      reference_patches: the same for the rows that are searched.
      reduction: of the query's patches, see `spatial_search_distances`.
      chunk_size: queries at a time.

    Returns:
      'spatial_map', the mean average precision, and 'spatial_recall@1', over the queries that have a
      right row.
    """
    (labels,), _ = classes(splits, NEEDS, label)
    vectors = column(splits, 'test', output)
    if vectors.ndim != 3:
        raise ValueError(f'{output!r} must hold patches [b, p, d], got shape {vectors.shape}')
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction must be one of {REDUCTIONS}, got {reduction!r}')
    for name, number in (
        ('query_patches', query_patches),
        ('reference_patches', reference_patches),
    ):
        if number is not None and not 1 <= number <= vectors.shape[1]:
            raise ValueError(f'{name} must be 1 to {vectors.shape[1]}, got {number}')
    queries = jnp.asarray(vectors[:, :query_patches])
    references = jnp.asarray(vectors[:, :reference_patches])
    found = {'spatial_map': [], 'spatial_recall@1': []}
    rows = np.arange(len(labels))
    for start in range(0, len(rows), chunk_size):
        part = rows[start : start + chunk_size]
        scores = -spatial_search_distances(queries[part], references, reduction)
        relevant = jnp.asarray(labels[part][:, None] == labels[None, :])
        others = jnp.asarray(part[:, None] != rows[None, :])
        for name, (values, valid) in (
            ('spatial_map', ranking.average_precision(scores, relevant, mask=others)),
            ('spatial_recall@1', ranking.recall_any(scores, relevant, 1, others)),
        ):
            found[name].append(np.asarray(values, np.float64)[np.asarray(valid)])
    means = {name: np.concatenate(values) for name, values in found.items()}
    return {name: float(v.mean()) if len(v) else 0.0 for name, v in means.items()}
