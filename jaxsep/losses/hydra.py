"""Positives of any two classes: similarities inside the subspace that a gate opens for the pair.

An anchor of class y gets a partner class y', and every row of class y' is a positive. A gate
[b d] with entries in [0, 1], made from (y, y') by `jaxsep.models.hydra.PairGate`, says which
dimensions of the embedding the two classes shall share. With a gate of ones and y' = y this
is a supervised contrastive loss; with a gate of ones and any y' it pulls the classes
into one another.

The two published similarities are `subspace_cosines` (Hydra, 2024) and `gated_cosines`
(SimLAP, its second version); `hydra` is the whole loss.

With `axis_name`, inside pmap or shard_map, each device gives its own rows and compares them
with the rows of all; see `jaxsep.losses.contrastive`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxsep.losses.contrastive import Scalar, check_temperature
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize
from jaxsep.ops.masks import masked_logsumexp, masked_mean, same_label_mask

PAIRS = ('arbitrary', 'distinct', 'identical')
SIMILARITIES = ('subspace', 'gated')
REDUCTIONS = ('pooled', 'row')


def subspace_cosines(
    z: Float[Array, 'b d'], keys: Float[Array, 'n d'], gate: Float[Array, 'b d']
) -> Float[Array, 'b n']:
    """The cosine of anchor and key after both went through the ANCHOR's gate.

    s_bn = cos(z_b * g_b, k_n * g_b): normalised anew inside the subspace, so that closing
    dimensions costs nothing. The gated keys [b n d] are never formed: their inner products with
    the anchors are (z * g^2) k^T and their squared norms g^2 (k^2)^T, two matrix products
    and O(b n) memory where the original needs O(b n d).

    Empty case: 0 with zero gradient where the gate leaves nothing of anchor or key (a norm
    below 1e-12 of that of the unit vectors).

    Source: Wu 2024 (Hydra), https://arxiv.org/abs/2410.18200, and erow/vitookit `apply_gate`.
    """
    # The cosine has no scale in any of the three: unit rows keep squares in range.
    z, keys, gate = l2_normalize(z), l2_normalize(keys), l2_normalize(gate)
    gated = z * gate
    inverse_norms = _inverse_norm(jnp.sum(gated * gated, axis=-1, keepdims=True))
    inverse_key_norms = _inverse_norm(inner_products(gate * gate, keys * keys))
    return inner_products(gated * gate, keys) * inverse_norms * inverse_key_norms


def gated_cosines(
    z: Float[Array, 'b d'], keys: Float[Array, 'n d'], gate: Float[Array, 'b d']
) -> Float[Array, 'b n']:
    """The inner product of unit vectors, each dimension weighted by the squared gate.

    s_bn = sum_d (z_bd/||z_b||) g_bd^2 (k_nd/||k_n||). Not normalised anew: closing a dimension
    shrinks all similarities of the anchor.

    Empty case: 0 with zero gradient for a zero vector.

    Source: SimLAP (version 2 of https://arxiv.org/abs/2410.18200), erow/FastSSL model/simlap.py.
    """
    return inner_products(l2_normalize(z) * jnp.square(in_float32(gate)), l2_normalize(keys))


def pair_masks(
    labels: Int[Array, 'b'], partners: Int[Array, 'b'], key_labels: Int[Array, 'n']
) -> tuple[Bool[Array, 'b n'], Bool[Array, 'b n']]:
    """Positives are the keys of the partner class, negatives those of neither class.

    positive_bn = (y'_b = y_n); negative_bn = y_n not in {y_b, y'_b}. The keys of the anchor's own
    class take no part, unless it is its own partner. A partner class without keys leaves
    the anchor without positives.
    """
    own = same_label_mask(labels, key_labels)
    positive = same_label_mask(partners, key_labels)
    return positive, ~(own | positive)


def multi_positive_cross_entropy(
    logits: Float[Array, 'b n'],
    positive_mask: Bool[Array, 'b n'],
    negative_mask: Bool[Array, 'b n'],
    *,
    reduction: str = 'pooled',
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of every positive against the anchor's negatives: other positives take no part.

    l_bp = log(exp(s_bp) + sum_{n in N_b} exp(s_bn)) - s_bp for every positive p, which is
    softplus(logsumexp_N - s_bp). The row mean that the original takes out of the logits before it
    exponentiates them cancels.

    Empty case: 0 with zero gradient without positives, and for an anchor without negatives.

    Args:
      reduction: 'pooled', the mean over all positive pairs of the batch, where anchors with
        many positives count more, or 'row', the mean over the anchors of the means over their
        positives, where anchors without any stay in the mean as 0.

    Source: erow/vitookit `multipos_ce_loss` (pooled). The original's row form divides by the number
    of positives plus 1e-6.
    """
    _check('reduction', reduction, REDUCTIONS)
    logits = in_float32(logits)
    negatives = masked_logsumexp(logits, negative_mask)[:, None]
    some = negatives > -jnp.inf
    costs = jax.nn.softplus(jnp.where(some, negatives, 0.0) - logits)
    costs = jnp.where(positive_mask & some, costs, 0.0)
    if reduction == 'row':
        return devices.mean(masked_mean(costs, positive_mask), axis_name)
    value, count = devices.total((jnp.sum(costs), jnp.sum(positive_mask)), axis_name)
    return value / jnp.maximum(count, 1)


def hydra(
    z: Float[Array, 'b d'],
    keys: Float[Array, 'b d'],
    labels: Int[Array, 'b'],
    partners: Int[Array, 'b'],
    gate: Float[Array, 'b d'],
    temperature: Scalar = 0.1,
    *,
    similarity: str = 'subspace',
    reduction: str = 'pooled',
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Pulls anchors to the keys of their partner class, inside the subspace of the class pair.

    `multi_positive_cross_entropy` on similarities/temperature with the masks of `pair_masks`.
    Gradients flow into anchors, keys and gate. With `keys` = `z` (one view) an anchor whose
    partner is its own class has itself among its positives, as in the original.

    Empty case: 0 where no partner class is in the batch, or nothing is left as a negative.

    >>> import jax.numpy as jnp
    >>> z, labels = jnp.eye(3), jnp.arange(3)
    >>> apart = hydra(z, z, labels, labels, jnp.ones((3, 3)))
    >>> bool(apart < hydra(z, z, labels, (labels + 1) % 3, jnp.ones((3, 3))))
    True

    Args:
      keys: row i is of class `labels[i]`: the anchors themselves, or another view of them.
      similarity: 'subspace' (`subspace_cosines`) or 'gated' (`gated_cosines`).
      reduction: of `multi_positive_cross_entropy`.

    Source: Wu 2024, https://arxiv.org/abs/2410.18200, and erow/vitookit, evaluation/simlap.py.
    """
    check_temperature(temperature)
    _check('similarity', similarity, SIMILARITIES)
    _check('reduction', reduction, REDUCTIONS)
    keys, key_labels = devices.gather(keys, axis_name), devices.gather(labels, axis_name)
    similarities = subspace_cosines if similarity == 'subspace' else gated_cosines
    logits = similarities(z, keys, gate) / temperature
    masks = pair_masks(labels, partners, key_labels)
    return multi_positive_cross_entropy(logits, *masks, reduction=reduction, axis_name=axis_name)


def partner_classes(
    key: Key[Array, ''],
    labels: Int[Array, 'b'],
    num_classes: int,
    *,
    pairs: str = 'arbitrary',
    axis_name: str | None = None,
) -> Int[Array, 'b']:
    """The class that each anchor is pulled to, the same on any number of devices.

    Args:
      pairs: 'arbitrary', the batch's labels in random order, so that every partner is in the
        batch; 'distinct', (y + uniform over 1 .. num_classes - 1) mod num_classes, which may not
        be in it; 'identical', y itself.

    Source: erow/vitookit, evaluation/simlap.py.
    """
    _check('pairs', pairs, PAIRS)
    if pairs == 'identical':
        return labels
    if pairs == 'distinct':
        if num_classes < 2:
            raise ValueError(f'num_classes: distinct pairs need at least 2, got {num_classes}')
        keys = devices.example_keys(key, len(labels), axis_name)
        step = jax.vmap(lambda key: jax.random.randint(key, (), 1, num_classes, labels.dtype))(keys)
        return (labels + step) % num_classes
    everyone = devices.gather(labels, axis_name)
    order = jax.random.permutation(key, len(everyone))
    return everyone[order[devices.positions(len(labels), axis_name)]]


class GateStatistics(NamedTuple):
    """What a batch of gates does.

    Attributes:
      activation: open dimensions of a gate, mean_b sum_d g_bd.
      entropy: mean entropy of Bernoulli(g_bd) in nats; 0 where every gate is open or closed.
    """

    activation: Float[Array, '']
    entropy: Float[Array, '']


def gate_statistics(gate: Float[Array, 'b d'], *, axis_name: str | None = None) -> GateStatistics:
    """How far gates are open, and how undecided they are; differentiable.

    The entropy's gradient is taken as 0 where a gate is exactly 0 or 1.

    Empty case: 0 without rows or dimensions.
    """
    gate = in_float32(gate)
    undecided = (gate > 0) & (gate < 1)
    g = jnp.where(undecided, gate, 0.5)
    entropy = jnp.where(undecided, -g * jnp.log(g) - (1 - g) * jnp.log1p(-g), 0.0)
    entropy = jnp.sum(entropy, axis=-1) / max(gate.shape[-1], 1)
    return GateStatistics(
        devices.mean(jnp.sum(gate, axis=-1), axis_name), devices.mean(entropy, axis_name)
    )


def _inverse_norm(squares):
    return jax.lax.rsqrt(jnp.maximum(squares, 1e-24))


def _check(name, value, known):
    if value not in known:
        raise ValueError(f'{name}: expected one of {known}, got {value!r}')
