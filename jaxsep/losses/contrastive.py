"""Contrastive losses on boolean positive and negative masks, and their well-known names.

Two primitives on logits [n m] carry all of them: `contrastive_out` (the sum over
positives outside the logarithm) and `contrastive_in` (inside). Both return one value
per anchor. The named losses build the similarities and the masks, nothing else.
Losses between two sets of rows (images and texts, queries and keys) are in
`jaxsep.losses.paired`.

Every named loss takes two more arguments:

* `axis_name`: inside pmap or shard_map, each device gives its own rows. Its anchors are
  compared with the rows of all devices, and every device returns the value of the whole
  batch. Exact gradients are the mean over devices of those that pmap's devices compute,
  or what is differentiated from outside of shard_map.
* `chunk_size`: rows of a block, or 'auto'. The same value and gradient without the matrix of
  all pairs, by `jaxsep.ops.chunked`, and on one device in half the time, since of the
  symmetric matrix each block is computed once. None forms the whole matrix.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops import chunked, devices
from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize
from jaxsep.ops.masks import masked_logsumexp, masked_mean, same_label_mask

Scalar = float | int | Float[Array, ''] | Int[Array, '']


def contrastive_out(
    logits: Float[Array, 'n m'],
    positive_mask: Bool[Array, 'n m'],
    negative_mask: Bool[Array, 'n m'],
) -> Float[Array, 'n']:
    """The mean negative log-probability of an anchor's positives, per anchor.

    L_i = -(1/|P_i|) sum_{p in P_i} (l_ip - log sum_{k in P_i or N_i} exp(l_ik)).
    Pairs in neither mask take no part. With one positive this is cross-entropy.

    Empty case: an anchor without positives gives 0 with zero gradient; one positive and
    no negatives also gives 0.

    Source: Khosla 2020, equation 2 (L_out), https://arxiv.org/abs/2004.11362
    """
    logits = in_float32(logits)
    normalizer = masked_logsumexp(logits, positive_mask | negative_mask)
    return -masked_mean(logits - normalizer[:, None], positive_mask)


def contrastive_in(
    logits: Float[Array, 'n m'],
    positive_mask: Bool[Array, 'n m'],
    negative_mask: Bool[Array, 'n m'],
) -> Float[Array, 'n']:
    """The negative log of the total probability of an anchor's positives, per anchor.

    L_i = -log( sum_{p in P_i} exp(l_ip) / sum_{k in P_i or N_i} exp(l_ik) ).
    One good positive is enough. Pairs in neither mask take no part.

    Empty case: 0 with zero gradient without positives, and 0 without negatives.

    Source: Khosla 2020, equation 3 (L_in), without its factor 1/|P_i|, as solo-learn has it.
    """
    logits = in_float32(logits)
    positives = masked_logsumexp(logits, positive_mask)
    everything = masked_logsumexp(logits, positive_mask | negative_mask)
    any_positive = jnp.any(positive_mask, axis=-1)
    # Both are -inf without positives and negatives: select before subtracting.
    return jnp.where(any_positive, everything, 0.0) - jnp.where(any_positive, positives, 0.0)


def cosine_similarities(x: Float[Array, 'n d'], y: Float[Array, 'm d']) -> Float[Array, 'n m']:
    """Inner products of the rows after scaling each to unit norm; 0 for a zero vector.

    In full float32, see `jaxsep.ops.geometry.inner_products`.
    """
    return inner_products(l2_normalize(x), l2_normalize(y))


def nt_xent(
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    temperature: Scalar = 0.5,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """The normalised temperature-scaled cross-entropy between two views of a batch.

    mean_i -log( exp(s_{i,i'}/temperature) / sum_{k != i} exp(s_ik/temperature) ) over the
    2b rows of both views, s the cosine, i' the same item in the other view. The rows are
    normalised inside.

    Empty case: no pairs, or a single pair, give 0.

    >>> import jax.numpy as jnp
    >>> z = jnp.eye(4)
    >>> bool(nt_xent(z, z, 0.1) < nt_xent(z, z[::-1], 0.1))
    True

    Source: Chen 2020 (SimCLR), https://arxiv.org/abs/2002.05709
    """
    check_temperature(temperature)
    pairs = _views((z1, z2), axis_name)
    if chunk_size is None:
        other, same = pairs.others(), pairs.equal(pairs.items)
        losses = contrastive_out(pairs.logits(temperature), other & same, other & ~same)
    else:
        everything = pairs.logsumexp(temperature, chunk_size, 'others')
        losses = everything - pairs.other_view() / temperature
    return devices.mean(losses, axis_name)


def decoupled_nt_xent(
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    temperature: Scalar = 0.1,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """NT-Xent without the positive in the denominator: small batches keep their gradients.

    mean_i -s_{i,i'}/temperature + log sum_{k not in {i, i'}} exp(s_ik/temperature) over the
    2b rows of both views. It may be negative. The rows are normalised inside.

    Empty case: 0 without negatives (no pairs, or a single pair).

    Source: Yeh 2021 (decoupled contrastive learning), equation 5, https://arxiv.org/abs/2110.06848
    """
    check_temperature(temperature)
    pairs = _views((z1, z2), axis_name)
    if chunk_size is None:
        negatives = masked_logsumexp(pairs.logits(temperature), ~pairs.equal(pairs.items))
    else:
        negatives = pairs.logsumexp(temperature, chunk_size, 'different', pairs.items)
    any_negative = negatives > -jnp.inf
    losses = jnp.where(any_negative, negatives, 0.0) - pairs.other_view() / temperature
    return devices.mean(jnp.where(any_negative, losses, 0.0), axis_name)


def nt_xent_multi_positive(
    z: Float[Array, 'n d'],
    ids: Int[Array, 'n'],
    temperature: Scalar = 0.5,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """NT-Xent where all rows with the same id are positives, summed inside the logarithm.

    mean_i -log( sum_{j != i, id_j = id_i} e_ij / sum_{j != i} e_ij ), e = exp(cosine/temperature).
    With two views and unique ids it equals `nt_xent`; with several positives it is not
    `supcon`, which averages logarithms. The rows are normalised inside.

    Empty case: a row whose id occurs once contributes 0 and stays in the mean.

    Source: solo-learn, losses/simclr.py, https://github.com/vturrisi/solo-learn
    """
    check_temperature(temperature)
    pairs = _views((z,), axis_name)
    ids = devices.gather(ids, axis_name)
    if chunk_size is None:
        other, same = pairs.others(), pairs.equal(ids)
        losses = contrastive_in(pairs.logits(temperature), other & same, other & ~same)
    else:
        positives = pairs.logsumexp(temperature, chunk_size, 'same', ids)
        everything = pairs.logsumexp(temperature, chunk_size, 'others')
        any_positive = positives > -jnp.inf
        losses = jnp.where(any_positive, everything, 0.0) - jnp.where(any_positive, positives, 0.0)
    return devices.mean(losses, axis_name)


def supcon(
    features: Float[Array, 'b v d'],
    labels: Int[Array, 'b'] | None = None,
    temperature: Scalar = 0.07,
    base_temperature: Scalar = 0.07,
    *,
    anchors: str = 'all',
    reduction: str = 'mean',
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Supervised contrastive loss: all rows of the same label attract, over all views.

    (temperature/base_temperature) times the mean over anchors of `contrastive_out` on
    cosines/temperature; positives are the other rows of the same label (without labels:
    the other views of the same item). The rows are normalised inside, which changes
    nothing for the unit rows that the original asks for.

    Empty case: an anchor without positives contributes 0.

    Args:
      anchors: 'all' views of an item are anchors, or 'one' (view 0); every view is
        contrasted with in both cases.
      reduction: 'mean' over all anchors, those without positives included, or
        'avg_nonzero', over the anchors whose loss is above 0 (pytorch-metric-learning).

    Source: Khosla 2020, equation 2, and https://github.com/HobbitLong/SupContrast
    """
    if anchors not in ('all', 'one'):
        raise ValueError(f"anchors must be 'all' or 'one', got {anchors!r}")
    if reduction not in ('mean', 'avg_nonzero'):
        raise ValueError(f"reduction must be 'mean' or 'avg_nonzero', got {reduction!r}")
    check_temperature(temperature)
    views = [features[:, view] for view in range(features.shape[1])]
    pairs = _views(views, axis_name, num_anchor_views=1 if anchors == 'one' else None)
    if labels is None:
        ids = pairs.items
    else:
        ids = jnp.repeat(devices.gather(labels, axis_name), len(views))
    if chunk_size is None:
        other, same = pairs.others(), pairs.equal(ids)
        losses = contrastive_out(pairs.logits(temperature), other & same, other & ~same)
    else:
        positive, count = pairs.mean_of_group(ids)
        everything = pairs.logsumexp(temperature, chunk_size, 'others')
        losses = jnp.where(count > 0, everything, 0.0) - positive / temperature
    losses = losses * (temperature / base_temperature)
    if reduction == 'mean':
        return devices.mean(losses, axis_name)
    nonzero = losses > 0
    sums = jnp.sum(jnp.where(nonzero, losses, 0.0)), jnp.sum(nonzero)
    value, count = devices.total(sums, axis_name)
    return value / jnp.maximum(count, 1)


class _Pairs(NamedTuple):
    """The anchors of this device against the rows of all devices, unit vectors, item after item.

    All views of an item stand together: rows that are spread over devices stay where they are.

    Attributes:
      places: where the anchors stand among the rows.
      items: the item that each row is a view of.
      axis_name: None where anchors and rows are on one device.
    """

    anchors: Float[Array, 'n d']
    rows: Float[Array, 'm d']
    places: Int[Array, 'n']
    items: Int[Array, 'm']
    axis_name: str | None

    def others(self):
        """True where a row is not the anchor itself."""
        return self.places[:, None] != jnp.arange(len(self.rows))[None, :]

    def equal(self, groups):
        """True where a row is of the anchor's group, the anchor itself included."""
        return same_label_mask(groups[self.places], groups)

    def logits(self, temperature):
        return inner_products(self.anchors, self.rows) / temperature

    def other_view(self):
        """Each anchor's cosine with the same item in the other of two views."""
        n, width = self.anchors.shape
        items = self.anchors.reshape(n // 2, 2, width)
        return jnp.sum(items * items[:, ::-1], axis=-1).reshape(n)

    def logsumexp(self, temperature, chunk_size, keep, groups=None):
        """Over the `keep` rows of `jaxsep.ops.chunked.self_logsumexp`, without the matrix."""
        numbers = jnp.arange(len(self.rows), dtype=jnp.int32)
        if self.axis_name is None and len(self.anchors) == len(self.rows):
            x = self.anchors * jax.lax.rsqrt(jnp.asarray(temperature, self.anchors.dtype))
            return chunked.self_logsumexp(x, chunk_size, keep=keep, groups=groups)
        if keep == 'others':
            keep, groups = 'different', numbers
        return chunked.cross_logsumexp(
            self.anchors / temperature, self.rows, chunk_size, keep=keep,
            groups=(groups[self.places], groups), items=(self.places, numbers),
        )  # fmt: skip

    def mean_of_group(self, groups):
        """Each anchor's mean cosine with the other rows of its group, and their number.

        From the sum of each group's rows: no pairs are formed.
        """
        size = len(self.rows)
        _, groups = jnp.unique(groups, return_inverse=True, size=size)
        sums = jax.ops.segment_sum(self.rows, groups, size)
        count = jax.ops.segment_sum(jnp.ones(size, jnp.int32), groups, size)
        own = groups[self.places]
        count = count[own] - 1
        total = jnp.sum(self.anchors * (sums[own] - self.rows[self.places]), axis=-1)
        return jnp.where(count > 0, total / jnp.maximum(count, 1), 0.0), count


def _views(
    views: Sequence[Float[Array, 'b d']], axis_name: str | None, num_anchor_views: int | None = None
) -> _Pairs:
    """All views are compared with; those up to `num_anchor_views` are anchors (None: all)."""
    views = l2_normalize(jnp.stack(views, axis=1))
    everyone, (_, num_views, width) = devices.gather(views, axis_name), views.shape
    items = jnp.repeat(jnp.arange(len(everyone), dtype=jnp.int32), num_views)
    rows = everyone.reshape(len(items), width)
    anchors = views[:, :num_anchor_views]
    first = devices.positions(len(views), axis_name) * num_views
    places = (first[:, None] + jnp.arange(anchors.shape[1], dtype=jnp.int32)[None, :]).reshape(-1)
    return _Pairs(anchors.reshape(len(places), width), rows, places, items, axis_name)


def check_temperature(temperature: Scalar) -> None:
    """ValueError for a Python number that is not positive; traced values pass."""
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
