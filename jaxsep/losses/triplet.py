"""Losses that ask a negative to be farther from its anchor than a positive, and their miners.

Rows are scaled to unit norm and compared by Euclidean distance. Masks are [n m]: n anchors
(the rows of this device) against m rows (of all devices).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops.devices import gather, positions, total
from jaxsep.ops.geometry import in_float32, l2_normalize, sqrt, squared_distances
from jaxsep.ops.masks import same_label_mask


def triplet_margin(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    margin: Scalar = 0.05,
    *,
    miner: str = 'all',
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The mean margin violation over all triplets that violate the margin.

    Over anchors a, positives p (same label, another row) and negatives n (another label):
    mean of max(0, d_ap - d_an + margin) where that is above 0. The violations of an anchor
    are linear in its distances, given in how many violating triplets each of them occurs;
    two sorts per anchor count that, so n^2 numbers are kept where all triplets are n^3.

    Empty case: 0 with zero gradient when no triplet violates the margin.

    Args:
      miner: 'all' violating triplets; 'hard', those whose negative is no farther than the
        positive; or 'semihard', the others (d_ap < d_an < d_ap + margin).
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    >>> import jax.numpy as jnp
    >>> z = jnp.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> bool(triplet_margin(z, jnp.array([0, 0, 1]), 0.5) > 0)
    True

    Source: Schroff 2015 (FaceNet), equation 2, https://arxiv.org/abs/1503.03832; the mean
    over violations as in pytorch-metric-learning.
    """
    if miner not in ('all', 'semihard', 'hard'):
        raise ValueError(f"miner must be 'all', 'semihard' or 'hard', got {miner!r}")
    if isinstance(margin, (int, float)) and not margin > 0:
        raise ValueError(f'margin must be positive, got {margin}')
    distances, positive, negative = _compare(embeddings, labels, axis_name)
    constant = jax.lax.stop_gradient(distances)
    constant_margin = jax.lax.stop_gradient(margin)
    of_positives, of_negatives = _occurrences(constant, positive, negative, constant_margin, miner)
    # Occurrences of positives and of negatives have the same sum, so that one number per
    # anchor may be taken from all its distances: it keeps the two large sums from cancelling.
    limits = constant + constant_margin
    count = jnp.sum(of_positives, axis=-1, keepdims=True)
    center = jnp.sum(of_positives * limits, axis=-1, keepdims=True) / jnp.maximum(count, 1)
    violations = of_positives * (distances + margin - center) - of_negatives * (distances - center)
    return total(jnp.sum(violations), axis_name) / jnp.maximum(total(jnp.sum(count), axis_name), 1)


def triplet_batch_hard(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    margin: Scalar | None = 0.05,
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The margin violation of each anchor's farthest positive and nearest negative, averaged.

    mean_a max(0, max_p d_ap - min_n d_an + margin); with `margin=None` the soft form,
    mean_a log(1 + exp(max_p d_ap - min_n d_an)). Satisfied anchors stay in the mean.

    Empty case: an anchor without positives or without negatives is left out; 0 with zero
    gradient if no anchor remains.

    Args:
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    Source: Hermans 2017, equation 5 and section 3.2, https://arxiv.org/abs/1703.07737
    """
    distances, positive, negative = _compare(embeddings, labels, axis_name)
    farthest, nearest, complete = batch_hard_indices(
        jax.lax.stop_gradient(distances), positive, negative
    )
    gap = _pick(distances, farthest) - _pick(distances, nearest)
    gap = jnp.where(complete, gap, 0.0)
    losses = jax.nn.softplus(gap) if margin is None else jax.nn.relu(gap + margin)
    summed = total(jnp.sum(jnp.where(complete, losses, 0.0)), axis_name)
    return summed / jnp.maximum(total(jnp.sum(complete), axis_name), 1)


def batch_hard_indices(
    distances: Float[Array, 'n m'],
    positive_mask: Bool[Array, 'n m'],
    negative_mask: Bool[Array, 'n m'],
) -> tuple[Int[Array, 'n'], Int[Array, 'n'], Bool[Array, 'n']]:
    """The farthest positive and the nearest negative of each anchor.

    Returns:
      positives, negatives: column indices, the first one at ties.
      complete: whether the anchor has both; without, its indices mean nothing.

    Source: Hermans 2017, https://arxiv.org/abs/1703.07737
    """
    positives = jnp.argmax(jnp.where(positive_mask, distances, -jnp.inf), axis=-1)
    negatives = jnp.argmin(jnp.where(negative_mask, distances, jnp.inf), axis=-1)
    return positives, negatives, positive_mask.any(axis=-1) & negative_mask.any(axis=-1)


def semihard_mask(
    distances: Float[Array, 'n m'],
    positive_mask: Bool[Array, 'n m'],
    negative_mask: Bool[Array, 'n m'],
    margin: Scalar,
) -> Bool[Array, 'n m m']:
    """True at (a, p, n) where the negative is farther than the positive, within the margin.

    d_ap < d_an < d_ap + margin. For those who need the triplets themselves: n m^2 booleans.
    `triplet_margin(miner='semihard')` averages over the same triplets without this array.

    Source: Schroff 2015, equation 4, https://arxiv.org/abs/1503.03832
    """
    to_positive, to_negative = distances[:, :, None], distances[:, None, :]
    semihard = (to_positive < to_negative) & (to_negative < to_positive + margin)
    return semihard & positive_mask[:, :, None] & negative_mask[:, None, :]


def margin_loss(
    embeddings: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    *,
    beta: Scalar | Float[Array, 'k'] = 1.2,
    margin: Scalar = 0.2,
    nu: Scalar = 0.0,
    cutoff: Scalar = 0.5,
    groups: Int[Array, 'n'] | None = None,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Positives nearer than a boundary, negatives beyond it, both by a margin.

    Over sampled triplets, (sum max(0, d_ap - beta + margin) + max(0, beta - d_an + margin)
    + nu beta) divided by the number of triplets where either is above 0. The triplets come from
    `nearest_negative_sampler` with floor(positive pairs / rows) negatives per anchor, on
    distances that are constant; d = sqrt(d^2 + 1e-8). A class of P rows in a balanced batch has
    P - 1 positives and P - 1 negatives per anchor.

    Empty case: 0 with zero gradient without positives, without negatives, or where every
    pair keeps its margin.

    Args:
      beta: the boundary, one number or one per class, taken at the anchor's class.
      nu: weight of beta itself, which keeps a learnt boundary small.
      cutoff: negatives nearer than this are sampled last.
      groups: rows are compared within their own group only, each group with its own number of
        negatives and its own mean; the value is the mean over the groups. Rows of group -1
        take no part. All rows are one group by default.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over.

    Source: Wu 2017, equation 4, https://arxiv.org/abs/1706.07567; sampler and divisor as
    in https://github.com/adigasu/Dynamic_subspace_learners.
    """
    distances, positive, negative = _compare(embeddings, labels, axis_name, smooth=1e-8)
    groups = jnp.zeros_like(labels) if groups is None else groups
    together = same_label_mask(groups, gather(groups, axis_name)) & (groups >= 0)[:, None]
    positive, negative = positive & together, negative & together

    def over_group(counts):
        """The sum of a number per row over the rows of each row's group."""
        return jnp.sum(jnp.where(together, gather(counts, axis_name)[None, :], 0), axis=1)

    members = over_group(jnp.ones_like(labels))
    positives, negatives, valid = nearest_negative_sampler(
        jax.lax.stop_gradient(distances),
        positive,
        negative,
        over_group(jnp.sum(positive, axis=1)) // jnp.maximum(members, 1),
        cutoff=cutoff,
    )
    boundary = jnp.asarray(beta, distances.dtype)
    boundary = boundary[labels][:, None] if boundary.ndim == 1 else boundary
    near = jax.nn.relu(jnp.take_along_axis(distances, positives, axis=1) - boundary + margin)
    far = jax.nn.relu(boundary - jnp.take_along_axis(distances, negatives, axis=1) + margin)
    active = over_group(jnp.sum(valid & ((near > 0) | (far > 0)), axis=1))
    losses = jnp.sum(jnp.where(valid, near + far + nu * jnp.abs(boundary), 0.0), axis=1)
    losses = jnp.where(active > 0, losses / jnp.maximum(active, 1), 0.0)
    num_groups = jnp.sum(jnp.where(members > 0, 1.0 / jnp.maximum(members, 1), 0.0))
    return total(jnp.sum(losses), axis_name) / jnp.maximum(total(num_groups, axis_name), 1.0)


def nearest_negative_sampler(
    distances: Float[Array, 'n m'],
    positive_mask: Bool[Array, 'n m'],
    negative_mask: Bool[Array, 'n m'],
    num_negatives: int | Int[Array, ''] | Int[Array, 'n'],
    *,
    cutoff: Scalar = 0.5,
) -> tuple[Int[Array, 'n m'], Int[Array, 'n m'], Bool[Array, 'n m']]:
    """Pairs each anchor's positives with its nearest negatives beyond a cutoff.

    Of each anchor's negatives the `num_negatives` (one number, or one per anchor) nearest with
    d >= cutoff are taken; if these are too few, the nearer ones too, those closest to the cutoff
    first. Positives and chosen negatives, both in index order, are paired one to one up to the
    end of the shorter list. All shapes are fixed, so batches with any class counts go through
    one program.

    Returns:
      positives, negatives: column indices; pair s of anchor a is (positives[a, s],
        negatives[a, s]).
      valid: which of the m places of an anchor hold a pair; they come first.

    Source: https://github.com/adigasu/Dynamic_subspace_learners, which takes rows of the
    anchor's own class when there are too few negatives; here they are never taken.
    """
    too_near = distances < cutoff
    preference = jnp.where(too_near, -distances, distances)
    order = jnp.lexsort((preference, too_near, ~negative_mask), axis=-1)
    limits = jnp.broadcast_to(jnp.asarray(num_negatives), distances.shape[:1])
    chosen = negative_mask & (jnp.argsort(order, axis=-1) < limits[:, None])
    positives = jnp.argsort(~positive_mask, axis=-1, stable=True)
    negatives = jnp.argsort(~chosen, axis=-1, stable=True)
    pairs = jnp.minimum(jnp.sum(positive_mask, axis=-1), jnp.sum(chosen, axis=-1))
    return positives, negatives, jnp.arange(distances.shape[1])[None, :] < pairs[:, None]


def _compare(embeddings, labels, axis_name, smooth=0.0):
    """Distances of the local rows to all rows, and which of them are positive or negative."""
    unit = l2_normalize(embeddings)
    all_rows, all_labels = gather(unit, axis_name), gather(labels, axis_name)
    distances = sqrt(squared_distances(unit, all_rows) + smooth)
    same = same_label_mask(labels, all_labels)
    itself = positions(len(labels), axis_name)[:, None] == jnp.arange(len(all_labels))[None, :]
    return distances, same & ~itself, ~same


def _occurrences(distances, positive, negative, margin, miner):
    """In how many mined triplets each positive and each negative of an anchor occurs."""

    def of_one_anchor(distance, positive, negative):
        positives = jnp.sort(jnp.where(positive, distance, jnp.inf))
        negatives = jnp.sort(jnp.where(negative, distance, jnp.inf))
        above = jnp.sum(positive)
        # A negative violates where d_n < d_p + margin, and is hard where d_n <= d_p.
        violating = (
            jnp.searchsorted(negatives, distance + margin, side='left'),
            above - jnp.searchsorted(positives + margin, distance, side='right'),
        )
        hard = (
            jnp.searchsorted(negatives, distance, side='right'),
            above - jnp.searchsorted(positives, distance, side='left'),
        )
        if miner == 'semihard':
            return tuple(v - h for v, h in zip(violating, hard, strict=True))
        return hard if miner == 'hard' else violating

    of_positives, of_negatives = jax.vmap(of_one_anchor)(distances, positive, negative)
    kind = in_float32(distances).dtype
    return (
        jnp.where(positive, of_positives, 0).astype(kind),
        jnp.where(negative, of_negatives, 0).astype(kind),
    )


def _pick(distances, columns):
    return jnp.take_along_axis(distances, columns[:, None], axis=1)[:, 0]
