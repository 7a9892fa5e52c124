"""Whether the units of two networks are the same: correlation, information, and who pairs with whom.

`a` is [n, p] and `b` is [n, q]: activations of two layers on the same n samples (of a
convolutional layer every place of every image is a sample, see `as_samples`). A matching is an
array `order`: unit i of the first network goes with unit order[i] of the second.

Source: Li et al., Convergent Learning (2016), https://arxiv.org/abs/1511.07543, and its code,
github.com/YixuanLi/convergent_learning, experiments/match_unit.py and estimate_mi.py.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from jaxsep.ops import geometry

SMALLEST_ACTIVE = 1e-6
"""An activation below this counts as none, as in the original."""


class UnitMoments(NamedTuple):
    """Sums from which correlations follow; those of several batches merge exactly.

    Attributes:
      count: samples, a float.
      mean_a, mean_b: [p] and [q].
      squares_a, squares_b: [p] and [q], summed squared deviations from the mean.
      products: [p, q], summed products of the deviations.
    """

    count: Array
    mean_a: Array
    mean_b: Array
    squares_a: Array
    squares_b: Array
    products: Array


def as_samples(activations: Float[Array, 'b *s p']) -> Float[Array, 'n p']:
    """Every place of every example as a sample of its own; units are the last axis."""
    rows = math.prod(activations.shape[:-1])
    return activations.reshape(rows, activations.shape[-1])


@jax.jit
def unit_moments(a: Float[Array, 'n p'], b: Float[Array, 'n q']) -> UnitMoments:
    """The moments of one batch. Units that are constant have squares of exactly 0."""
    apart_a, mean_a = _centered(a)
    apart_b, mean_b = _centered(b)
    return UnitMoments(
        jnp.asarray(a.shape[0], mean_a.dtype),
        mean_a,
        mean_b,
        jnp.sum(jnp.square(apart_a), axis=0),
        jnp.sum(jnp.square(apart_b), axis=0),
        geometry.matmul(apart_a.T, apart_b),
    )


@jax.jit
def merge_moments(one: UnitMoments, other: UnitMoments) -> UnitMoments:
    """The moments of both batches together, by the update of Chan et al. (1983)."""
    count = one.count + other.count
    share = other.count / jnp.maximum(count, 1)
    weight = one.count * share
    moved_a, moved_b = other.mean_a - one.mean_a, other.mean_b - one.mean_b
    return UnitMoments(
        count,
        one.mean_a + share * moved_a,
        one.mean_b + share * moved_b,
        one.squares_a + other.squares_a + weight * jnp.square(moved_a),
        one.squares_b + other.squares_b + weight * jnp.square(moved_b),
        one.products + other.products + weight * moved_a[:, None] * moved_b[None, :],
    )


@jax.jit
def correlation_of_moments(moments: UnitMoments) -> Float[Array, 'p q']:
    """Pearson's correlation of every pair of units; 0 where one of them is constant."""
    scale_a, scale_b = geometry.sqrt(moments.squares_a), geometry.sqrt(moments.squares_b)
    scale = scale_a[:, None] * scale_b[None, :]
    varies = scale > 0
    found = jnp.where(varies, moments.products / jnp.where(varies, scale, 1.0), 0.0)
    return jnp.clip(found, -1.0, 1.0)


def unit_correlation(a: Float[Array, 'n p'], b: Float[Array, 'n q']) -> Float[Array, 'p q']:
    """Pearson's correlation of every unit of one layer with every unit of the other.

    C_ij = sum_n (a_ni - mean a_i)(b_nj - mean b_j) / sqrt(sum_n (a_ni - mean a_i)^2 sum_n (b_nj -
    mean b_j)^2). 0 where a unit is constant, or without samples.

    >>> import jax.numpy as jnp
    >>> a = jnp.array([[0.0, 3.0], [1.0, 3.0], [2.0, 3.0]])
    >>> unit_correlation(a, -a).tolist()
    [[-1.0, 0.0], [0.0, 0.0]]
    """
    a, b = (geometry.in_float32(x) / geometry.power_of_two(x, 0) for x in (a, b))
    return correlation_of_moments(unit_moments(a, b))


@functools.partial(jax.jit, static_argnames='num_bins')
def percentile_bins(activations: Float[Array, 'n'], num_bins: int = 10) -> Float[Array, 'm']:
    """Edges of one bin for the samples where a unit is silent, and bins of equal mass for the rest.

    With z the percentage of samples below 1e-6, the edges are the percentiles at 0 and at num_bins
    equal steps from 1.001 z to 100, the first edge lowered by 0.01. So there are num_bins bins,
    m = num_bins + 1. A unit that is never silent leaves the first one empty.

    A percentile above 100, of a unit that is nearly always silent, is taken as 100; there the
    original stops.
    """
    if num_bins < 2:
        raise ValueError(f'num_bins: expected at least 2, got {num_bins}')
    x = geometry.in_float32(activations)
    silent = jnp.mean((x < SMALLEST_ACTIVE).astype(x.dtype))
    start = jnp.minimum(silent * 100.1, 100.0)
    # The last one is 100 itself, so that the largest sample is inside whatever the rounding.
    steps = start + (100.0 - start) * jnp.arange(num_bins - 1) / (num_bins - 1)
    ends = jnp.zeros(1, x.dtype), steps.astype(x.dtype), jnp.full(1, 100.0, x.dtype)
    return jnp.percentile(x, jnp.concatenate(ends)).at[0].add(-0.01)


def bin_of(activations: Float[Array, 'n'], edges: Float[Array, 'm']) -> Int[Array, 'n']:
    """The bin of every sample, -1 outside; bins hold their lower edge, the last one both.

    As numpy.histogram, also where several edges are equal.
    """
    found = jnp.searchsorted(edges, activations, side='right') - 1
    found = jnp.where(activations == edges[-1], len(edges) - 2, found)
    return jnp.where(found < len(edges) - 1, found, -1).astype(jnp.int32)


@jax.jit
def mutual_information(
    counts: Float[Array, '*s k l'],
) -> tuple[Float[Array, '*s'], Float[Array, '*s']]:
    """Mutual information of a joint histogram, in nats, and the same less its bias.

        sum_kl p_kl log(p_kl / (p_k p_l)),   bias = K L / (2 N log 2)

    with N the samples counted and K L the number of cells. The bias is in bits although the
    information is in nats: this is what the original subtracts.

    Empty case: 0 and 0 without samples.

    >>> import jax.numpy as jnp
    >>> value, _ = mutual_information(jnp.array([[8.0, 0.0], [0.0, 8.0]]))
    >>> round(float(value), 4)  # log 2
    0.6931
    """
    total = jnp.sum(counts, axis=(-2, -1))
    joint = counts / jnp.maximum(total, 1.0)[..., None, None]
    apart = jnp.sum(joint, axis=-1, keepdims=True) * jnp.sum(joint, axis=-2, keepdims=True)
    seen = (joint > 0) & (apart > 0)
    ratio = jnp.where(seen, joint, 1.0) / jnp.where(seen, apart, 1.0)
    value = jnp.sum(jnp.where(seen, joint, 0.0) * jnp.log(ratio), axis=(-2, -1))
    cells = counts.shape[-2] * counts.shape[-1]
    bias = cells / (2.0 * jnp.maximum(total, 1.0) * math.log(2.0))
    return value, jnp.where(total > 0, value - bias, 0.0)


@functools.partial(jax.jit, static_argnames=('num_bins', 'chunk_size'))
def joint_histograms(
    a: Float[Array, 'n p'], b: Float[Array, 'n q'], num_bins: int = 10, chunk_size: int = 8192
) -> Float[Array, 'p q k k']:
    """How often each pair of units falls in each pair of their `percentile_bins`.

    Args:
      chunk_size: samples counted at once, by one matrix product.
    """

    def bins(x):
        columns = geometry.in_float32(x).T
        edges = jax.vmap(functools.partial(percentile_bins, num_bins=num_bins))(columns)
        found = jax.vmap(bin_of)(columns, edges).T
        padded = jnp.pad(found, ((0, -len(x) % chunk_size), (0, 0)), constant_values=-1)
        return padded.reshape(-1, chunk_size, x.shape[1])

    def membership(found):
        inside = found[:, :, None] == jnp.arange(num_bins)[None, None, :]
        return inside.astype(jnp.float32).reshape(chunk_size, -1)

    def count(counts, chunk):
        return counts + geometry.matmul(membership(chunk[0]).T, membership(chunk[1])), None

    chunk_size = min(chunk_size, max(len(a), 1))
    p, q = a.shape[1], b.shape[1]
    start = jnp.zeros((p * num_bins, q * num_bins))
    counts, _ = jax.lax.scan(count, start, (bins(a), bins(b)))
    return counts.reshape(p, num_bins, q, num_bins).transpose(0, 2, 1, 3)


def unit_information(
    a: Float[Array, 'n p'], b: Float[Array, 'n q'], num_bins: int = 10, chunk_size: int = 8192
) -> tuple[Float[Array, 'p q'], Float[Array, 'p q']]:
    """`mutual_information` of every pair of units, and the same less its bias."""
    return mutual_information(joint_histograms(a, b, num_bins, chunk_size))


@functools.partial(jax.jit, static_argnames='ignore_diagonal')
def bipartite_match(
    similarity: Float[Array, 'n n'], ignore_diagonal: bool = False
) -> Int[Array, 'n']:
    """The one-to-one matching with the largest summed similarity (Hungarian method).

    Signed: a unit that is anti-correlated with all others has a poor match. Entries must be
    finite. Where several matchings are best, one of them.

    Args:
      ignore_diagonal: no unit goes with itself, to look for pairs within one network; needs at
        least 2 units.

    >>> import jax.numpy as jnp
    >>> bipartite_match(jnp.array([[0.9, 0.8], [0.8, 0.1]])).tolist()
    [1, 0]
    """
    n = similarity.shape[0]
    if ignore_diagonal and n < 2:
        raise ValueError(f'ignore_diagonal: expected at least 2 units, got {n}')
    if n == 0:
        return jnp.zeros(0, jnp.int32)
    cost = jnp.max(similarity) - geometry.in_float32(similarity)
    if ignore_diagonal:
        # More than any matching of the others costs, hence never worth it.
        never = n * (jnp.max(cost) + 1.0)
        cost = jnp.where(jnp.eye(n, dtype=bool), never, cost)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros(n, jnp.int32).at[rows].set(columns.astype(jnp.int32))


def semi_match(similarity: Float[Array, 'p q']) -> Int[Array, 'p']:
    """The most similar unit for every unit, which several may share; the first one at ties.

    How far it is above `bipartite_match` tells how many units have no partner of their own.
    """
    return jnp.argmax(similarity, axis=1).astype(jnp.int32)


def matched_values(similarity: Float[Array, 'p q'], order: Int[Array, 'p']) -> Float[Array, 'p']:
    """The similarity of every unit and the one it was matched with."""
    return jnp.take_along_axis(similarity, order[:, None], axis=1)[:, 0]


def permute_columns(
    similarity: Shaped[Array, 'p q'], order: Int[Array, 'r']
) -> Shaped[Array, 'p r']:
    """Column order[i] as column i: matched units then stand on the diagonal."""
    return similarity[:, order]


def permute_rows(similarity: Shaped[Array, 'p q'], order: Int[Array, 'r']) -> Shaped[Array, 'r q']:
    """Row order[i] as row i."""
    return similarity[order]


def follow_loops(
    order: Int[np.ndarray, 'n'] | Int[Array, 'n'],
) -> tuple[Int[np.ndarray, 'n'], Int[np.ndarray, 'm']]:
    """The cycles of a matching of units with units of the same network, on the host.

    Each cycle starts at its smallest unit and goes on to the unit that one is matched with; cycles
    come in the order of their smallest units. Rows and columns of a within-network matrix sorted so
    show matched units side by side.

    Returns:
      all units, cycle after cycle, and the lengths of the cycles.

    >>> units, lengths = follow_loops(np.array([2, 1, 3, 0]))
    >>> units.tolist(), lengths.tolist()
    ([0, 2, 3, 1], [3, 1])
    """
    order = np.asarray(order)
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise ValueError(f'order: expected a permutation of 0 to {len(order) - 1}, got {order}')
    units, lengths = [], []
    seen = np.zeros(len(order), bool)
    for start in range(len(order)):
        before, unit = len(units), start
        while not seen[unit]:
            seen[unit] = True
            units.append(unit)
            unit = order[unit]
        if len(units) > before:
            lengths.append(len(units) - before)
    return np.array(units, np.int32), np.array(lengths, np.int32)


def _centered(x):
    """Deviations from the mean, and the mean; of a constant column exactly 0 and itself."""
    x = geometry.in_float32(x)
    shift = jnp.sum(x[:1], axis=0)
    apart = x - shift[None, :]
    middle = jnp.sum(apart, axis=0) / max(x.shape[0], 1)
    return apart - middle[None, :], shift + middle
