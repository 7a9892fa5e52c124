"""How many of the best items a search finds that may look at few exact scores."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.anchor_search import rerank_recall
from jaxsep.evals.columns import Splits, vectors

NEEDS = ('test',)


def evaluate(
    splits: Splits,
    *,
    num_retrieved: int,
    ks: Sequence[int] = (1, 10, 50),
    approximate: str = 'approximate_scores',
    exact: str = 'exact_scores',
) -> dict[str, float]:
    """Mean over the queries of `jaxsep.algorithms.anchor_search.rerank_recall`.

    Args:
      num_retrieved: items that are scored exactly; what finding the anchors' scores cost comes on top.
      ks: sizes of the true list.

    Returns:
      'recall@k' for each k, and 'relative_error' of the approximate scores (Frobenius).
    """
    approximated = jnp.asarray(vectors(splits, 'test', approximate))
    scores = jnp.asarray(vectors(splits, 'test', exact))
    found = {
        f'recall@{k}': float(np.mean(rerank_recall(approximated, scores, k, num_retrieved)))
        for k in ks
    }
    error = jnp.linalg.norm(approximated - scores) / jnp.linalg.norm(scores)
    return {**found, 'relative_error': float(error)}
