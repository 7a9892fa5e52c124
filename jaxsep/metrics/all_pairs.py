"""One pass over all pairs of points feeds every distance and neighbour measure.

Silhouettes, nearest-neighbour votes, neighbour purity, uniformity and TwoNN all ask
for the distances of all pairs. Asked one by one, each pays the n x n x d matrix product
again; here it is paid once, in row blocks, and never held whole.

With xc the centred points and s their squared norms, one product gives both metrics:

    euclidean^2(i, j) = s_i + s_j - 2 xc_i . xc_j
    1 - cosine(i, j) = (euclidean^2(i, j) - (r_i - r_j)^2) / (2 r_i r_j),  r = |x|

The second line needs no second product and keeps its digits where the cloud is far from
the origin. Neighbours are exact all the same: candidates are ranked by a lower bound of
their distance, distances of the candidates are computed again from differences, and a
row whose k-th distance exceeds the bound of what was left out is searched again in
double precision, then pair by pair.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

SPARE_CANDIDATES = 12


class AllPairs(NamedTuple):
    """What one pass over all pairs found; `n` points, `k` neighbours.

    Attributes:
      neighbors_euclidean: rows of the nearest points, nearest first, self excluded,
        equal distances by lower index; with distances [n k] beside it.
      neighbors_cosine: the same by 1 - cosine; a zero row is at 1 from all others.
      sums_euclidean: per label column [n c]: sum of the distances to each class.
      sums_cosine: the same for 1 - cosine.
      mean_distance: mean Euclidean distance over i < j.
      uniformity: log mean_{i<j} exp(-2 |z_i - z_j|^2), z the normalised rows. Rows that are much
        shorter than others (1e-4 in float32) lose digits.
      searched_again: rows whose neighbours needed more than the first pass.
    """

    neighbors_euclidean: np.ndarray
    distances_euclidean: np.ndarray
    neighbors_cosine: np.ndarray
    distances_cosine: np.ndarray
    sums_euclidean: tuple[np.ndarray, ...]
    sums_cosine: tuple[np.ndarray, ...]
    mean_distance: float
    uniformity: float
    searched_again: int


class _Points(NamedTuple):
    centred: Float[Array, 'n d']
    square: Float[Array, ' n']
    unit: Float[Array, 'n d']
    radius: Float[Array, ' n']
    inverse: Float[Array, ' n']
    zero: Float[Array, ' n']


class _Found(NamedTuple):
    neighbors: Int[Array, 'b k']
    distances: Float[Array, 'b k']
    sure: Array


class _Block(NamedTuple):
    euclidean: _Found
    cosine: _Found
    sums: Float[Array, 'b c']
    exponentials: Float[Array, ' b']


def all_pairs(
    points: Float[Array | np.ndarray, 'n d'],
    labels: Sequence[Int[Array | np.ndarray, ' n']] = (),
    num_classes: Sequence[int] = (),
    *,
    k: int,
    block_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> AllPairs:
    """Everything that is asked of the distance matrix, in one pass over its row blocks.

    A host function (not for use under jit): time n^2 d, memory block_size x n and a few
    copies of the points. float64 arrays are computed in double precision, all others in
    single.

    Args:
      labels: integer label columns, each in 0 .. num_classes - 1.
      num_classes: one number per label column.
      k: neighbours per point, 1 .. n - 1.
      progress: called as progress(rows done, n) after each block.

    >>> found = all_pairs(np.array([[1.0, 0], [2, 0], [0, 5]]), [np.array([0, 0, 1])], [2], k=1)
    >>> found.neighbors_euclidean[:, 0].tolist()
    [1, 0, 0]
    >>> found.sums_euclidean[0][0].round(3).tolist()
    [1.0, 5.099]
    """
    points = np.asarray(points)
    power = _power_of_two(points)
    if power != 1:
        points = (points / power).astype(points.dtype)
    n, d = points.shape
    if not 1 <= k < n:
        raise ValueError(f'k: expected 1 .. {n - 1} neighbours for {n} points, got {k}')
    if len(labels) != len(num_classes):
        raise ValueError(f'num_classes: expected {len(labels)} numbers, got {len(num_classes)}')
    dtype = np.float64 if points.dtype == np.float64 else np.float32
    block_size = min(block_size, n)
    candidates = min(k + SPARE_CANDIDATES, n - 1)
    with jax.enable_x64(True):
        one_hot = np.concatenate(
            [np.ones((n, 1), dtype)]
            + [
                np.eye(c, dtype=dtype)[np.asarray(y)]
                for y, c in zip(labels, num_classes, strict=True)
            ],
            axis=1,
        )
        prepared = _prepare(points, dtype)
        hot = jnp.asarray(one_hot)
        blocks = []
        for start in range(0, n, block_size):
            rows = np.minimum(np.arange(start, start + block_size), n - 1)
            block = _search(prepared, jnp.asarray(rows), hot, k, candidates)
            done = min(start + block_size, n)
            blocks.append(jax.tree.map(lambda a, size=done - start: np.asarray(a)[:size], block))
            if progress is not None:
                progress(done, n)
        whole: _Block = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
        sums_cosine = _cosine_sums(prepared, hot[:, 1:], jnp.sum(hot[:, 1:], axis=0))
        euclidean, cosine, again = _certify(points, whole, k, candidates, dtype)
    pairs = n * (n - 1)
    cuts = np.cumsum(num_classes)[:-1] if len(num_classes) else []
    return AllPairs(
        euclidean[0],
        euclidean[1] * dtype(power),
        *cosine,
        tuple(np.split(whole.sums[:, 1:] * dtype(power), cuts, axis=1)) if len(labels) else (),
        tuple(np.split(np.asarray(sums_cosine), cuts, axis=1)) if len(labels) else (),
        float(np.sum(whole.sums[:, 0], dtype=np.float64) / pairs) * power,
        float(np.log(np.sum(whole.exponentials, dtype=np.float64) / pairs)),
        again,
    )


def silhouette_from_sums(
    sums: Float[Array | np.ndarray, 'n c'], labels: Int[Array | np.ndarray, ' n']
) -> Float[np.ndarray, ' n']:
    """Silhouette of each point from its summed distances to every class.

        s_i = (b_i - a_i) / max(a_i, b_i)

    with a_i the mean distance to the other members of the own class and b_i the smallest
    mean distance to another class that has members. A point alone in its class, or one
    without another class, has 0. Source: Rousseeuw 1987.
    """
    sums, labels = np.asarray(sums, np.float64), np.asarray(labels)
    n, c = sums.shape
    counts = np.bincount(labels, minlength=c)
    own = counts[labels]
    rows = np.arange(n)
    inside = sums[rows, labels] / np.maximum(own - 1, 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    means[rows, labels] = np.inf
    outside = means.min(axis=1)
    valid = (own > 1) & np.isfinite(outside)
    outside = np.where(valid, outside, 0.0)
    larger = np.maximum(inside, outside)
    return np.where(valid & (larger > 0), (outside - inside) / np.where(larger > 0, larger, 1), 0.0)


def purity_curve(
    neighbors: Int[Array | np.ndarray, 'n k'], labels: Int[Array | np.ndarray, ' n']
) -> Float[np.ndarray, ' k']:
    """Mean share of same-label points among the 1, 2, .. k nearest neighbours.

    >>> purity_curve(np.array([[1, 2], [0, 2], [1, 0]]), np.array([0, 0, 1])).tolist()
    [0.6666666666666666, 0.3333333333333333]
    """
    labels = np.asarray(labels)
    same = labels[np.asarray(neighbors)] == labels[:, None]
    return np.cumsum(same.mean(axis=0)) / np.arange(1, same.shape[1] + 1)


def _power_of_two(points: np.ndarray) -> float:
    """What to divide by so that squares stay in range; 1 for ordinary points, see `ops.geometry`."""
    largest = float(np.max(np.abs(points), initial=0)) if points.dtype.kind == 'f' else 1.0
    ordinary = largest == 0 or 1e-6 <= largest <= 1e6 or not np.isfinite(largest)
    return 1.0 if ordinary else 2.0 ** np.clip(np.floor(np.log2(largest)), -100, 100)


def _prepare(points: np.ndarray, dtype: type) -> _Points:
    double = points.astype(np.float64)
    norm = np.sqrt(np.einsum('nd,nd->n', double, double))
    zero = norm == 0
    inverse = np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, norm))
    unit = (double * inverse[:, None]).astype(dtype)
    inverse = np.minimum(inverse, 1e15)  # products of two stay finite in float32
    double -= double.mean(axis=0)
    square = np.einsum('nd,nd->n', double, double)
    arrays = (double, square, unit, norm - norm.mean(), inverse, zero)
    return _Points(*(jnp.asarray(array.astype(dtype)) for array in arrays))


@partial(jax.jit, static_argnames=('k', 'candidates'))
def _search(
    points: _Points, rows: Int[Array, ' b'], one_hot: Float[Array, 'n c'], k: int, candidates: int
) -> _Block:
    """Both metrics of some rows against all points, from one matrix product."""
    n, d = points.centred.shape
    own = jax.tree.map(lambda array: array[rows], points)
    gram = jax.lax.dot_general(
        own.centred, points.centred, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST
    )
    itself = rows[:, None] == jnp.arange(n)[None, :]
    scale = own.square[:, None] + points.square[None, :]
    # Rounding of a length-d product grows like sqrt(d); this bounds it on |x_i| |x_j|.
    slack = jnp.finfo(gram.dtype).eps * (4 + d**0.5)
    square = jnp.where(itself, 0, jnp.maximum(scale - 2 * gram, 0))

    factor = 0.5 * own.inverse[:, None] * points.inverse[None, :]
    radial = own.radius[:, None] - points.radius[None, :]
    radial = radial * radial
    without_angle = jnp.maximum(own.zero[:, None], points.zero[None, :])
    cosine = jnp.minimum(jnp.maximum(square - radial, 0) * factor, 2) + without_angle

    bound_euclidean = jnp.where(itself, jnp.inf, square - slack * scale)
    bound_cosine = jnp.where(itself, jnp.inf, cosine - slack * (scale + radial) * factor)
    exponentials = jnp.where(itself, 0, jnp.exp(-4 * cosine))
    by_distance = partial(_nearest, k=k, candidates=candidates)
    euclidean = by_distance(bound_euclidean, own.centred, points.centred, jnp.zeros_like(itself))
    angular = by_distance(2 * bound_cosine, own.unit, points.unit, without_angle > 0)
    return _Block(
        euclidean._replace(distances=jnp.sqrt(euclidean.distances)),
        angular._replace(distances=angular.distances / 2),
        jnp.sqrt(square) @ one_hot,
        jnp.sum(exponentials, axis=1),
    )


def _nearest(bound: Array, own: Array, points: Array, apart: Array, k: int, candidates: int):
    """The k nearest among the candidates of smallest bound, by direct differences.

    `bound` is on the squared distance; where `apart` [b n], that is 2 whatever the points:
    1 - cosine is 1 to a zero row, exactly, so that ties keep their order.
    """
    n = bound.shape[1]
    # Without the barrier, XLA on CPU turns top-k back into a full sort: 15 times slower.
    negative, index = jax.lax.optimization_barrier(jax.lax.top_k(-bound, candidates))
    difference = own[:, None, :] - points[index]
    square = jnp.sum(difference * difference, axis=-1)
    square = jnp.where(jnp.take_along_axis(apart, index, axis=1), 2, square)
    square, index = jax.lax.sort((square, index.astype(jnp.int32)), num_keys=2)
    left_out = -negative[:, -1] if candidates < n - 1 else jnp.inf
    return _Found(index[:, :k], square[:, :k], square[:, k - 1] <= left_out)


@partial(jax.jit, static_argnames=('k',))
def _search_directly(
    coordinates: Float[Array, 'n d'], zero: Float[Array, ' n'], rows: Int[Array, ' b'], k: int
) -> tuple[Array, Array]:
    """Neighbours of some rows by the differences of all pairs, one row at a time."""

    def one(row):
        difference = coordinates - coordinates[row][None, :]
        square = jnp.sum(difference * difference, axis=1)
        square = jnp.where(jnp.maximum(zero, zero[row]) > 0, 2, square)
        square = jnp.where(jnp.arange(square.shape[0]) == row, jnp.inf, square)
        negative, index = jax.lax.top_k(-square, k)
        return index.astype(jnp.int32), -negative

    return jax.lax.map(one, rows)


@jax.jit
def _cosine_sums(points: _Points, one_hot: Array, counts: Array) -> Array:
    """Sums of 1 - cosine to each class: linear in the points, no pairs needed.

    1 - z_i . z_j = |u_i|^2/2 + |u_j|^2/2 - u_i . u_j with u the centred unit rows.
    """
    centred = points.unit - jnp.mean(points.unit, axis=0)[None, :]
    half = jnp.sum(centred * centred, axis=1) / 2 + points.zero / 2
    precise = jax.lax.Precision.HIGHEST
    sums = jnp.matmul(one_hot.T, centred, precision=precise)
    total = half[:, None] * counts[None, :] + jnp.matmul(half, one_hot, precision=precise)[None, :]
    total = total - jnp.matmul(centred, sums.T, precision=precise)
    return jnp.maximum(total - points.zero[:, None] * one_hot, 0)


def _certify(points, whole: _Block, k: int, candidates: int, dtype: type):
    """Neighbours of both metrics with the uncertain rows searched again."""
    unsure = np.flatnonzero(~(whole.euclidean.sure & whole.cosine.sure))
    again = len(unsure)
    results = [tuple(np.array(a) for a in found[:2]) for found in (whole.euclidean, whole.cosine)]
    if again == 0:
        return *results, 0
    double = _prepare(points, np.float64)
    nothing = jnp.zeros((len(points), 0))
    for start in range(0, again, 256):
        some = unsure[start : start + 256]
        rows = jnp.asarray(np.resize(some, 256))
        block = _search(double, rows, nothing, k, candidates)
        for result, found, coordinates, zero in (
            (results[0], block.euclidean, double.centred, jnp.zeros_like(double.zero)),
            (results[1], block.cosine, double.unit, double.zero),
        ):
            sure = np.asarray(found.sure)[: len(some)]
            index = np.array(found.neighbors)[: len(some)]
            distance = np.array(found.distances)[: len(some)]
            tied = np.flatnonzero(~sure)
            if len(tied):
                size = 1 << (len(tied) - 1).bit_length()
                padded = jnp.asarray(np.resize(some[tied], size))
                near, square = _search_directly(coordinates, zero, padded, k)
                square = np.asarray(square)[: len(tied)]
                index[tied] = np.asarray(near)[: len(tied)]
                distance[tied] = square / 2 if result is results[1] else np.sqrt(square)
            result[0][some], result[1][some] = index, distance.astype(dtype)
    return *results, again
