"""Average precision at eleven recalls, as PASCAL VOC had it until 2009."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.metrics.binary import Labels, Mask
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.masks import masked_mean


@jax.jit
def average_precision_voc07(
    scores: Float[Array, 'n'], labels: Labels, mask: Mask = None
) -> Float[Array, '']:
    """The mean over the recalls t = 0, 0.1, ..., 1 of the largest precision at a recall >= t.

    Rows of equal score come in together, as in `jaxsep.metrics.binary.average_precision`, from
    which it differs by some hundredths, either way. 0 without positives. Recalls are compared as
    integers: with t = 3 * 0.1 in floats, which is above 0.3, three of ten positives would not
    reach it, and the result be another one by a hundredth.

    Args:
      labels: positive where not 0.
      mask: of the rows that count; all by default.

    >>> import jax.numpy as jnp
    >>> average_precision_voc07(jnp.array([4.0, 3.0, 2.0, 1.0]), jnp.array([1, 0, 0, 0])).item()
    1.0
    """
    scores = in_float32(scores)
    kept = jnp.ones(scores.shape, bool) if mask is None else mask
    positive = (labels != 0) & kept
    total = jnp.sum(positive)

    def at_least(rows):
        """How many of the rows have at least the score of each row."""
        ascending = jnp.sort(jnp.where(rows, scores, -jnp.inf))
        count = len(ascending) - jnp.searchsorted(ascending, scores, side='left')
        return jnp.minimum(count, jnp.sum(rows))

    found, seen = at_least(positive), at_least(kept)
    precision = jnp.where(kept, found / jnp.maximum(seen, 1), 0.0)
    tenths = jnp.arange(11)
    reached = 10 * found[None, :] >= tenths[:, None] * total
    best = jnp.max(jnp.where(reached, precision[None, :], 0.0), axis=1, initial=0.0)
    return jnp.where(total > 0, jnp.mean(best), 0.0).astype(scores.dtype)


def mean_average_precision_of_classes(
    scores: Float[Array, 'n k'], labels: Int[Array, 'n'], measure=average_precision_voc07
) -> Float[Array, '']:
    """The mean over the classes that occur of the average precision of their scores.

    Args:
      measure: function (scores [n], labels [n]) -> average precision.
    """
    sides: Bool[Array, 'n k'] = labels[:, None] == jnp.arange(scores.shape[1])[None, :]
    values = jax.vmap(measure, in_axes=1)(scores, sides)
    return masked_mean(values, jnp.any(sides, axis=0))
