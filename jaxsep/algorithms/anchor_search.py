"""Nearest items under a score that is expensive: anchors, a product of matrices, a second look.

A query is described by its exact scores with a few anchor items. What those say of all other items
was learnt from anchor queries, whose scores with all items are known: a CUR decomposition of the
score matrix (`jaxsep.algorithms.cur`). The best items by this approximation are scored exactly.

Yadav 2022 (ANNCUR), https://arxiv.org/abs/2210.12579
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.algorithms.cur import pseudo_inverse
from jaxsep.ops.geometry import in_float32


def item_index(
    scores: Float[Array, 'q m'], anchors: Int[Array, 'a'], rtol: float | None = None
) -> tuple[Float[Array, 'a q'], Float[Array, 'a m']]:
    """U = pinv(R[:, anchors]) and the item vectors E = U R, one column per item.

    With about as many anchors as queries the matrix that is inverted is square and
    ill-conditioned and the approximation collapses: take well fewer or well more, or a larger rtol.

    Args:
      scores: R, the exact scores of the anchor queries (rows) with all items. Where the anchor
        items themselves serve as queries, their scores with all items.
      anchors: the anchor items, in the order in which queries will give their scores.
      rtol: singular values up to rtol times the largest count as 0; see
        `jaxsep.algorithms.cur.pseudo_inverse`.
    """
    scores = in_float32(scores)
    core = pseudo_inverse(scores[:, anchors], rtol)
    return core, jnp.matmul(core, scores, precision=jax.lax.Precision.HIGHEST)


def approximate_scores(
    anchor_scores: Float[Array, 'n a'],
    items: Float[Array, 'a m'],
    anchors: Int[Array, 'a'] | None = None,
) -> Float[Array, 'n m']:
    """Scores of queries with all items, from their exact scores with the anchors.

    Args:
      items: from `item_index`.
      anchors: where given, the anchors' own entries are the exact scores, which were paid for,
        rather than their approximation.
    """
    anchor_scores = in_float32(anchor_scores)
    scores = jnp.matmul(anchor_scores, items, precision=jax.lax.Precision.HIGHEST)
    return scores if anchors is None else scores.at[:, anchors].set(anchor_scores)


def rerank_recall(
    approximate: Float[Array, 'n m'],
    exact: Float[Array, 'n m'],
    k: int,
    num_retrieved: int,
) -> Float[Array, 'n']:
    """Share of the k best items that are among the `num_retrieved` best by approximate score.

    After the second look, the exact scores of what was retrieved, the k best of those are
    returned; an item of the true k best is among them whenever it was retrieved. Equal scores go
    to the lower index. One number per query.
    """
    if not 1 <= k <= num_retrieved <= exact.shape[1]:
        raise ValueError(
            f'k, num_retrieved: expected 1 <= k <= num_retrieved <= {exact.shape[1]} items, '
            f'got {k} and {num_retrieved}'
        )
    _, wanted = jax.lax.top_k(exact, k)
    _, retrieved = jax.lax.top_k(approximate, num_retrieved)
    found = jnp.any(wanted[:, :, None] == retrieved[:, None, :], axis=2)
    return jnp.mean(found.astype(jnp.float32), axis=1)
