"""Scores that are expensive for real: Chamfer similarities between the patches of digits.

Every score compares all patches of a query with all of an item. An offline stand-in for a
cross-encoder: nothing but the scores is known, and each has to be paid for.
"""

import numpy as np
from jaxtyping import Float

from jaxsep.data.sets.patch_sets import patches
from jaxsep.data.sets.sklearn_sets import digits
from jaxsep.data.source import Arrays, Source, take_all

SIZE = 4
"""Pixels of a patch, down and across."""


def load(
    *,
    num_anchor_queries: int = 100,
    num_test_queries: int = 100,
    num_tokens: int = 8,
    seed: int = 0,
) -> Source:
    """Items of scikit-learn's digits and queries of `num_tokens` patches of other digits.

    A token is a 4 x 4 patch as `jaxsep.data.sets.patch_sets.patches` makes it, of 18 numbers. The score
    of a query and an item is the Chamfer similarity, sum over the query's tokens of the largest
    inner product with a token of the item.

    Rows of 'train' are items: `anchor_scores` [num_anchor_queries] float32, their scores with the
    anchor queries, and `mean_token` [18], what a cheap single-vector search would use. Rows of
    'test' are queries that are no anchors: `item_scores` [items], of which a method may look at as
    many as it pays for, and `mean_token`. Both have `label`, the digit.

    Args:
      seed: of the choice of queries and of their tokens.
    """
    for name, number in (
        ('num_anchor_queries', num_anchor_queries), ('num_test_queries', num_test_queries),
    ):  # fmt: skip
        if not 1 <= number <= 600:
            raise ValueError(f'{name}: expected 1 to 600, got {number}')
    if num_tokens < 1:
        raise ValueError(f'num_tokens: expected at least 1, got {num_tokens}')
    source = digits(seed=0)
    rows = [take_all(split) for split in source.splits.values()]
    sets, kept = patches(np.concatenate([r['image'] for r in rows]), SIZE)
    tokens = [found[of] for found, of in zip(sets, kept, strict=True)]
    label = np.concatenate([r['label'] for r in rows])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tokens))
    num_queries = num_anchor_queries + num_test_queries
    chosen = [tokens[i] for i in order[:num_queries]]
    queries = np.stack([found[rng.integers(len(found), size=num_tokens)] for found in chosen])
    items = order[num_queries:]
    scores = np.stack([chamfer(queries, tokens[i]) for i in items])
    item_means = np.stack([tokens[i].mean(axis=0) for i in items])
    query_means = queries.mean(axis=1)
    train = {
        'anchor_scores': scores[:, :num_anchor_queries],
        'mean_token': item_means,
        'label': label[items],
    }
    test = {
        'item_scores': scores[:, num_anchor_queries:].T.copy(),
        'mean_token': query_means[num_anchor_queries:],
        'label': label[order[num_anchor_queries:num_queries]],
    }
    splits = {'train': Arrays(train), 'test': Arrays(test)}
    return Source(splits, source.labels, 'Chamfer scores between patches of digits')


def chamfer(
    queries: Float[np.ndarray, 'q t d'], item: Float[np.ndarray, 'n d']
) -> Float[np.ndarray, 'q']:
    """Sum over the tokens of each query of its largest inner product with a token of the item.

    `jaxsep.ops.chamfer`, which is not for data: sources do without jax.
    """
    return (queries @ item.T).max(axis=2).sum(axis=1)
