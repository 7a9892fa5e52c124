"""Boolean pair masks, and the reductions over them that survive an empty set."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32


def masked_logsumexp(
    logits: Float[Array, '...'], mask: Bool[Array, '...'], axis: int = -1
) -> Float[Array, '...']:
    """The logarithm of the sum of exponentials over the entries where the mask is True.

    log sum_{j in mask} exp(logits_j). The largest kept logit is taken out first, so any
    finite logits are safe; what is masked out may even be inf or NaN.

    Empty case: -inf, the logarithm of an empty sum, with gradient 0 (not NaN). Callers
    that subtract it from another -inf decide with `jnp.any(mask)` what that means.

    >>> import jax.numpy as jnp
    >>> masked_logsumexp(jnp.array([1e4, 0.0, 0.0]), jnp.array([False, True, True])).item()
    0.6931471824645996
    """
    logits = in_float32(logits)
    kept = jnp.where(mask, logits, -jnp.inf)
    empty = ~jnp.any(mask, axis=axis, keepdims=True)
    largest = jnp.where(empty, 0.0, jnp.max(kept, axis=axis, keepdims=True, initial=-jnp.inf))
    largest = jax.lax.stop_gradient(largest)
    # Recomputed inside a fusion, the largest may differ from itself by a rounding: at most 0.
    below = jnp.where(kept > largest, 0.0, kept - largest)
    total = jnp.sum(jnp.exp(jnp.where(mask, below, -jnp.inf)), axis=axis, keepdims=True)
    logarithm = jnp.log(jnp.where(empty, 1.0, total)) + largest
    return jnp.squeeze(jnp.where(empty, -jnp.inf, logarithm), axis=axis)


def masked_mean(
    values: Float[Array, '...'], mask: Bool[Array, '...'], axis: int = -1
) -> Float[Array, '...']:
    """The mean over the entries where the mask is True; 0 with zero gradient if there are none.

    What is masked out may be inf or NaN.
    """
    count = jnp.maximum(jnp.sum(mask, axis=axis), 1)
    return jnp.sum(jnp.where(mask, in_float32(values), 0.0), axis=axis) / count


def same_label_mask(labels_a: Int[Array, 'n'], labels_b: Int[Array, 'm']) -> Bool[Array, 'n m']:
    """True at (i, j) where a_i and b_j carry the same label.

    Of a set against itself this includes the diagonal: combine it with `off_diagonal`.
    """
    return labels_a[:, None] == labels_b[None, :]


def multi_label_mask(
    labels_a: Bool[Array, 'n k'], labels_b: Bool[Array, 'm k']
) -> Bool[Array, 'n m']:
    """True at (i, j) where a_i and b_j share at least one of k labels (rows are multi-hot).

    A row without labels matches nothing, not even itself.
    """
    shared = jnp.matmul(labels_a.astype(jnp.float32), labels_b.astype(jnp.float32).T)
    return shared > 0.5


def off_diagonal(n: int) -> Bool[Array, 'n n']:
    """True everywhere but on the diagonal: every item against all the others."""
    return ~jnp.eye(n, dtype=bool)


def two_view_positive_mask(b: int) -> Bool[Array, 'n n']:
    """Positive pairs of b items in two views, n = 2b, the rows of view 0 first, then view 1.

    True at (i, i + b) and (i + b, i): the same item in the other view.
    """
    return jnp.roll(jnp.eye(2 * b, dtype=bool), b, axis=1)
