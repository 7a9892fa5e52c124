"""Contrastive losses on boolean positive and negative masks, and their well-known names.

Two primitives on logits [n m] carry all of them: `contrastive_out` (the sum over
positives outside the logarithm) and `contrastive_in` (inside). Both return one value
per anchor. The named losses build the similarities and the masks, nothing else.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, l2_normalize
from jaxsep.ops.masks import (
    masked_logsumexp,
    masked_mean,
    off_diagonal,
    same_label_mask,
    two_view_positive_mask,
)

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

    In full float32: the faster products of GPUs and TPUs are wrong by 1e-3, which a
    temperature of 0.01 turns into a tenth of a nat.
    """
    return jnp.matmul(l2_normalize(x), l2_normalize(y).T, precision=jax.lax.Precision.HIGHEST)


def nt_xent(
    z1: Float[Array, 'b d'], z2: Float[Array, 'b d'], temperature: Scalar = 0.5
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
    logits = _over_temperature(_self_similarities(jnp.concatenate([z1, z2])), temperature)
    positive = two_view_positive_mask(z1.shape[0])
    return _mean(contrastive_out(logits, positive, off_diagonal(logits.shape[0]) & ~positive))


def nt_xent_multi_positive(
    z: Float[Array, 'n d'], ids: Int[Array, 'n'], temperature: Scalar = 0.5
) -> Float[Array, '']:
    """NT-Xent where all rows with the same id are positives, summed inside the logarithm.

    mean_i -log( sum_{j != i, id_j = id_i} e_ij / sum_{j != i} e_ij ), e = exp(cosine/temperature).
    With two views and unique ids it equals `nt_xent`; with several positives it is not
    `supcon`, which averages logarithms. The rows are normalised inside.

    Empty case: a row whose id occurs once contributes 0 and stays in the mean.

    Source: solo-learn, losses/simclr.py, https://github.com/vturrisi/solo-learn
    """
    logits = _over_temperature(_self_similarities(z), temperature)
    same = same_label_mask(ids, ids)
    return _mean(contrastive_in(logits, same & off_diagonal(z.shape[0]), ~same))


def clip_info_nce(
    a: Float[Array, 'b d'], b: Float[Array, 'b d'], temperature: Scalar = 0.07
) -> Float[Array, '']:
    """Cross-entropy of matching pairs across two modalities, averaged over both directions.

    S = cosine(a, b)/temperature; 0.5 (CE(S, arange) + CE(S^T, arange)). Pairs within a
    modality take no part. The rows are normalised inside.

    Empty case: a single pair gives 0.

    Source: Radford 2021 (CLIP), figure 3, https://arxiv.org/abs/2103.00020
    """
    logits = _over_temperature(cosine_similarities(a, b), temperature)
    negative = off_diagonal(a.shape[0])
    forward = contrastive_out(logits, ~negative, negative)
    backward = contrastive_out(logits.T, ~negative, negative)
    return 0.5 * (_mean(forward) + _mean(backward))


def queue_info_nce(
    q: Float[Array, 'b d'],
    k: Float[Array, 'b d'],
    queue: Float[Array, 'n d'],
    temperature: Scalar = 0.2,
) -> Float[Array, '']:
    """Cross-entropy of each query's own key against a queue of negatives.

    mean_i -log( exp(q_i.k_i/temperature) / (exp(q_i.k_i/temperature) + sum_n exp(q_i.queue_n/
    temperature)) ). All rows are normalised inside; no gradient flows into `k` and `queue`.
    Zero rows of a queue that is not yet full count as negatives of similarity 0.

    Empty case: an empty queue gives 0.

    Source: He 2020 (MoCo), equation 1, https://arxiv.org/abs/1911.05722
    """
    k, queue = jax.lax.stop_gradient((k, queue))
    own = jnp.sum(l2_normalize(q) * l2_normalize(k), axis=-1, keepdims=True)
    similarities = jnp.concatenate([own, cosine_similarities(q, queue)], axis=1)
    positive = jnp.broadcast_to(jnp.arange(similarities.shape[1]) == 0, similarities.shape)
    logits = _over_temperature(similarities, temperature)
    return _mean(contrastive_out(logits, positive, ~positive))


def supcon(
    features: Float[Array, 'b v d'],
    labels: Int[Array, 'b'] | None = None,
    temperature: Scalar = 0.07,
    base_temperature: Scalar = 0.07,
    *,
    anchors: str = 'all',
    reduction: str = 'mean',
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
    b, v, d = features.shape
    rows = jnp.swapaxes(features, 0, 1).reshape(v * b, d)
    ids = jnp.tile(jnp.arange(b) if labels is None else labels, v)
    num_anchors = b if anchors == 'one' else v * b
    logits = _over_temperature(cosine_similarities(rows[:num_anchors], rows), temperature)
    same = same_label_mask(ids[:num_anchors], ids)
    losses = contrastive_out(logits, same & off_diagonal(v * b)[:num_anchors], ~same)
    losses = losses * (temperature / base_temperature)
    return _mean(losses) if reduction == 'mean' else masked_mean(losses, losses > 0)


def _self_similarities(z):
    return cosine_similarities(z, z)


def _over_temperature(similarities, temperature):
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    return similarities / temperature


def _mean(losses):
    return jnp.sum(losses) / max(losses.shape[0], 1)
