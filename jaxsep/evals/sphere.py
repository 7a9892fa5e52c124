"""Uniformity and tolerance of embeddings on the unit sphere."""

import jax.numpy as jnp

from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.losses.sphere import uniformity
from jaxsep.metrics.sphere import tolerance
from jaxsep.ops.geometry import l2_normalize

NEEDS = ('test',)


def evaluate(
    splits: Splits, *, label: str = 'label', output: str = 'embedding', max_points: int = 4000
) -> dict[str, float]:
    """How evenly the rows cover the sphere, and how close those of one class stay.

    Args:
      label: the label column that says which rows should be close.
      output: the named output to look at; its rows are normalised.
      max_points: only the first so many rows of the test split, for the pairs' memory.

    Returns:
      'negative_uniformity': -log mean exp(-2 ||z_i - z_j||^2); larger is more uniform.
      'tolerance': mean cosine of pairs of one class; larger is more tolerant.

    Source: Wang 2021, section 4, https://arxiv.org/abs/2012.09740
    """
    z = l2_normalize(jnp.asarray(vectors(splits, 'test', output)[:max_points]))
    (labels,), _ = classes(splits, NEEDS, label)
    return {
        'negative_uniformity': -float(uniformity(z)),
        'tolerance': float(tolerance(z, jnp.asarray(labels[:max_points]))),
    }
