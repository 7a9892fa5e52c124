"""Recall at k of retrieval among the test embeddings, by cosine similarity."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.metrics.retrieval import recall_across_groups, recall_at_k

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    label: str = 'label',
    output: str = 'embedding',
    across: str | None = None,
    ks: tuple[int, ...] = (1, 5),
) -> dict[str, float]:
    """The share of test points that find their label among their k most similar others.

    Without `across`, every point is looked for among all others. With it, for every
    ordered pair (a, b) of different values of that column, the points of a are looked
    for among those of b, and the recalls of all pairs are averaged: for the glyphs,
    `label='character', across='face'` asks whether a letter is recognised in another
    typeface. Points whose label their gallery lacks are left out, and so are pairs in
    which that leaves no point.

    Args:
      splits: 'test', a dict of columns with `output`, `label` and `across`.

    Returns:
      'recall@k' for each k of `ks`.
    """
    ks = tuple(int(k) for k in ks)
    if not ks or min(ks) < 1:
        raise ValueError(f'ks must hold at least one positive integer, got {ks}')
    (labels,), _ = classes(splits, NEEDS, label)
    embeddings, labels = jnp.asarray(vectors(splits, 'test', output)), jnp.asarray(labels)
    if across is None:
        recalls = recall_at_k(embeddings, labels, embeddings, labels, ks, exclude_self=True)
    else:
        (groups,), num_groups = classes(splits, NEEDS, across)
        if num_groups < 2:
            raise ValueError(f'across needs a column of at least two values, {across!r} has one')
        pairs, counts = recall_across_groups(
            embeddings, labels, jnp.asarray(groups), num_groups, ks
        )
        used = (np.asarray(counts) > 0) & ~np.eye(num_groups, dtype=bool)
        recalls = np.asarray(pairs)[used].sum(axis=0) / max(used.sum(), 1)
    return {f'recall@{k}': float(value) for k, value in zip(ks, recalls, strict=True)}
