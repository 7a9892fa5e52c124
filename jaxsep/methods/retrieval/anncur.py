"""ANNCUR: Nearest Neighbor Search for Cross-Encoders using Matrix Factorization (Yadav et al., 2022).

A cross-encoder scores a query and an item together, so its items cannot be indexed. Known are the
scores of some anchor queries with all items; of a new query only its scores with a few anchor
items are bought. A CUR decomposition turns these into approximate scores with all items, by one
matrix product, and the best of them are scored exactly.

https://arxiv.org/abs/2210.12579. As in the released code anchors are drawn uniformly and kept in
ascending order; unlike there, the exact scores of anchor items are put back before ranking.
"""

import jax
import jax.numpy as jnp

from jaxsep.algorithms.anchor_search import approximate_scores, item_index
from jaxsep.method import Estimator


def make(*, num_anchors: int = 50, rtol: float = 1e-5, put_back: bool = True) -> Estimator:
    """ANNCUR as an Estimator, fitted on items and asked by queries.

    Rows to fit on are items with `anchor_scores`, their scores with the anchor queries. Outputs of
    such rows: `embedding` [b, num_anchors], the item's vector. Outputs of queries, rows with
    `item_scores` (their exact scores with all items, of which only those of the anchors are
    looked at): `embedding`, the scores with the anchors, and `approximate_scores` [b, items]; and
    `exact_scores`, handed on for the evaluation.

    Args:
      num_anchors: anchor items, k_i; the paper has 10 to 2000. Keep it away from the number of
        anchor queries, where the decomposition is ill-conditioned.
      rtol: cut-off of the pseudo-inverse; 1e-10 in float64, 1e-5 for float32.
      put_back: anchor items are ranked by their exact scores.
    """
    if num_anchors < 1:
        raise ValueError(f'num_anchors: expected at least 1, got {num_anchors}')

    def fit(key, data):
        scores = jnp.asarray(data['anchor_scores']).T
        if num_anchors > scores.shape[1]:
            raise ValueError(
                f'num_anchors: expected at most {scores.shape[1]} (the items), got {num_anchors}'
            )
        anchors = jnp.sort(jax.random.permutation(key, scores.shape[1])[:num_anchors])
        core, items = item_index(scores, anchors, rtol)
        return {'anchors': anchors, 'core': core, 'items': items}

    def outputs(fitted, batch):
        if 'item_scores' not in batch:
            scores = jnp.asarray(batch['anchor_scores'])
            highest = jax.lax.Precision.HIGHEST
            return {'embedding': jnp.matmul(scores, fitted['core'].T, precision=highest)}
        exact = jnp.asarray(batch['item_scores'])
        known = exact[:, fitted['anchors']]
        anchors = fitted['anchors'] if put_back else None
        approximate = approximate_scores(known, fitted['items'], anchors)
        return {'embedding': known, 'approximate_scores': approximate, 'exact_scores': exact}

    return Estimator(fit, outputs)
