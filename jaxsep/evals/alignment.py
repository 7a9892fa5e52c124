"""Who belongs to whom in two embedding spaces: matching and retrieval on groups of test rows."""

import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.alignment import affine_align, apply_affine, best_matching, true_ranks
from jaxsep.evals.columns import Splits, vectors
from jaxsep.metrics.local_cka import local_cka
from jaxsep.metrics.similarity import linear_cka
from jaxsep.ops.geometry import inner_products, l2_normalize

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    x_output: str = 'x_embedding',
    y_output: str = 'y_embedding',
    group_size: int = 100,
    top: int = 5,
) -> dict[str, float]:
    """Matching and retrieval by an affine map and by local CKA, both fitted on the train rows.

    Test rows are taken in groups of `group_size` (what does not fill a group is left out); within
    a group every x is scored against every y, its own being the only right one.

    Args:
      splits: 'train' holds the anchors, 'test' the queries.
      group_size: rows that compete with one another.
      top: depth of the retrieval.

    Returns:
      'affine_match' and 'cka_match', the share matched rightly one to one; 'affine_top' and
      'cka_top', the share with the right one among the `top` best; 'linear_cka' of the test rows.
    """
    x, y = (jnp.asarray(vectors(splits, 'train', output)) for output in (x_output, y_output))
    queries = [vectors(splits, 'test', output) for output in (x_output, y_output)]
    groups = len(queries[0]) // group_size
    if group_size < 2 or not groups:
        raise ValueError(
            f'group_size: expected 2 to {len(queries[0])} (the test rows), got {group_size}'
        )
    transform = affine_align(x, y)
    found = {'affine_match': [], 'affine_top': [], 'cka_match': [], 'cka_top': []}
    for group in range(groups):
        rows = slice(group * group_size, (group + 1) * group_size)
        a, b = (jnp.asarray(q[rows]) for q in queries)
        scores = {
            'affine': inner_products(l2_normalize(apply_affine(transform, a)), l2_normalize(b)),
            'cka': local_cka(x, y, a, b),
        }
        for name, table in scores.items():
            table = np.asarray(table)
            found[f'{name}_match'].append(np.mean(best_matching(table) == np.arange(group_size)))
            found[f'{name}_top'].append(np.mean(true_ranks(table) < top))
    results = {name: float(np.mean(values)) for name, values in found.items()}
    return {**results, 'linear_cka': float(linear_cka(*(jnp.asarray(q) for q in queries)))}
