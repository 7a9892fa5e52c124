"""PS and PM of MAPSS: how separable the sources of one frame are on a manifold.

A frame has a cloud of points for each source: its reference, the separator's output, and many distorted
copies of the reference, encoded alike. A diffusion map of all clouds together gives coordinates in
which the Mahalanobis distance follows perception. PS (perceptual separation) compares the
distances of an output to its own cluster and to the nearest other one: it falls with leakage. PM
(perceptual match) compares the output's distance from its reference with those of the distortions: it
falls with any distortion of the output's own.

Everything is computed in the dtype of the points, float32 or float64, and can be mapped over frames: how
many coordinates are kept depends on the data, so all n - 1 have a place and those beyond `num_kept`
count as absent. Covariances are never formed in the coordinates but from inner products within a
cluster, whose number of points is known.

Whether a covariance is of full rank decides if a ridge of 1e-6 joins it, and coordinates are so small
(eigenvalues of 0.002) that the ridge decides the score. The original code decides in float32, with
the tolerance largest x num_kept x 1.2e-7, which is kept here in float64 too.

Ivry, Cornell, Watanabe, 2025, https://arxiv.org/abs/2509.09212; compute_ps, compute_pm,
diffusion_map_torch of https://github.com/Amir-Ivry/MAPSS-measures.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, matmul, power_of_two, squared_distances
from jaxsep.ops.masks import masked_mean

REFERENCE, OUTPUT = 0, 1
"""The places of these two among the points of a source; the distortions follow."""
RIDGE = 1e-6
"""Joins a covariance of deficient rank; also joins every squared distance."""
RANK_EPSILON = float(np.finfo(np.float32).eps)


class DiffusionMap(NamedTuple):
    """Coordinates of n points.

    Attributes:
      coordinates: eigenvectors times eigenvalues^time, by falling eigenvalue; the first, constant one is
        left out. Signs are arbitrary, and no measure depends on them.
      eigenvalues: of the normalised kernel, without the first.
      num_kept: L, how many coordinates have the share `cutoff` of the sum of eigenvalues.
      degrees: row sums of the kernel after the normalisation of density; 0 for absent points.
    """

    coordinates: Float[Array, 'n k']
    eigenvalues: Float[Array, 'k']
    num_kept: Int[Array, '']
    degrees: Float[Array, 'n']


def diffusion_map(
    points: Float[Array, 'n d'],
    mask: Bool[Array, 'n'] | None = None,
    *,
    alpha: float = 1.0,
    time: int = 1,
    cutoff: float = 0.99,
) -> DiffusionMap:
    """The diffusion map of a cloud of points.

    With e the LOWER median of the squared distances, K_ij = exp(-|x_i - x_j|^2 / 2e) and d = K 1, then,
    for alpha > 0, K_ij / (d_i d_j)^alpha and d anew; eigenvectors psi_k of d^-1/2 K d^-1/2, by falling
    eigenvalue lambda_k, give the coordinates psi_k lambda_k^time. L is one more than the number of k
    with lambda_1 + ... + lambda_k < cutoff x (their sum).

    Where all points coincide the coordinates are 0 up to rounding.

    Args:
      mask: the points that exist; the others get coordinates 0, and change nothing. None for all.
      alpha: from 0, the density of points matters, to 1, only their shape.
      time: steps of the diffusion.
      cutoff: share of the eigenvalues' sum that is kept.
    """
    check_map(alpha, time, cutoff)
    n = points.shape[0]
    if n < 2:
        raise ValueError(f'points: expected at least 2, got shape {points.shape}')
    points = in_float32(points)
    mask = jnp.ones(n, bool) if mask is None else mask
    count = jnp.sum(mask)
    mean = masked_mean(points, mask[:, None], axis=0)
    points = jnp.where(mask[:, None], points - mean[None, :], 0)
    points = points / power_of_two(points)  # the scale of the kernel comes from the points
    distances = squared_distances(points, points) * ~np.eye(n, dtype=bool)
    scale = 2 * lower_median(distances, mask)
    coincide = jnp.where(distances > 0, 0.0, 1.0)  # the limit, where most points are the same
    kernel = jnp.where(scale > 0, jnp.exp(-distances / jnp.where(scale > 0, scale, 1)), coincide)
    kernel = jnp.where(mask[:, None] & mask[None, :], kernel, 0).astype(points.dtype)
    degrees = jnp.sum(kernel, axis=1)
    if alpha:
        weight = jnp.where(mask, jnp.where(mask, degrees, 1) ** -alpha, 0)
        kernel = kernel * weight[:, None] * weight[None, :]
        degrees = jnp.sum(kernel, axis=1)
    root = jnp.where(mask, jax.lax.rsqrt(jnp.where(mask, degrees, 1)), 0)
    normalised = kernel * root[:, None] * root[None, :]
    eigenvalues, vectors = jnp.linalg.eigh(normalised, symmetrize_input=False)
    eigenvalues, vectors = eigenvalues[::-1][1:], vectors[:, ::-1][:, 1:]
    shares = jnp.cumsum(eigenvalues)
    shares = shares / jnp.where(shares[-1] > 0, shares[-1], 1)
    num_kept = jnp.minimum(jnp.sum(shares < cutoff) + 1, jnp.maximum(count - 1, 1))
    coordinates = jnp.where(mask[:, None], vectors * (eigenvalues**time)[None, :], 0)
    return DiffusionMap(coordinates, eigenvalues, num_kept.astype(jnp.int32), degrees)


def check_map(alpha: float, time: int, cutoff: float) -> None:
    """Raises ValueError for options that `diffusion_map` cannot take."""
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha: expected a number from 0 to 1, got {alpha}')
    if time < 1:
        raise ValueError(f'time: expected at least 1, got {time}')
    if not 0 < cutoff <= 1:
        raise ValueError(f'cutoff: expected a number above 0 and up to 1, got {cutoff}')


def lower_median(distances: Float[Array, 'n n'], mask: Bool[Array, 'n']) -> Float[Array, '']:
    """The median of the entries above the diagonal, of two middle ones the smaller; 0 without any.

    Floats of 0 and more are ordered as their bits are, and XLA sorts integers several times faster.

    Args:
      distances: 0 or more.
      mask: the rows and columns that exist.
    """
    dtype = distances.dtype
    if len(distances) < 2:
        return jnp.zeros((), dtype)
    integers = {4: jnp.int32, 8: jnp.int64}[dtype.itemsize]
    i, j = np.triu_indices(len(distances), 1)
    pairs = mask[i] & mask[j]
    values = jnp.where(pairs, jnp.abs(distances[i, j]), jnp.inf)
    count = jnp.sum(pairs)
    ordered = jax.lax.sort(jax.lax.bitcast_convert_type(values, integers))
    median = ordered[jnp.maximum(count - 1, 0) // 2]
    return jnp.where(count > 0, jax.lax.bitcast_convert_type(median, dtype), 0)


def subgaussian_norm(
    found: DiffusionMap, mask: Bool[Array, 'n'], time: int = 1
) -> Float[Array, '']:
    """Bound of the coordinates' psi_2 norm: lambda_1^time / (sqrt(min_i pi_i) log 2), pi = d / sum d.

    Args:
      mask: the points whose stationary probabilities pi count: all but the outputs.
    """
    least = jnp.min(jnp.where(mask, found.degrees, jnp.inf))
    total = jnp.sum(jnp.where(mask, found.degrees, 0))
    return found.eigenvalues[0] ** time * jnp.sqrt(total / least) / np.log(2)


class Precision(NamedTuple):
    """The inverse covariance of p points in k dimensions, from the eigenvectors of their p x p products.

    Attributes:
      rows: n_i, of unit length along each principal direction, or 0 where there is no further one.
      dual: their dual basis; the same vectors up to rounding.
      loadings: the eigenvectors of the products, in columns; 0 where there is no direction.
      variances: g_i along the directions, without the ridge.
      inverse: 1 / (g_i + ridge); 0 without direction.
      outside: 1 / ridge orthogonally to all directions; 0 where the covariance has full rank.
    """

    rows: Float[Array, 'p k']
    dual: Float[Array, 'p k']
    loadings: Float[Array, 'p p']
    variances: Float[Array, 'p']
    inverse: Float[Array, 'p']
    outside: Float[Array, '']


def precision(differences: Float[Array, 'p k'], num_dims: Int[Array, '']) -> Precision:
    """The inverse of D'D, with 1e-6 I added to it unless its rank is `num_dims`.

    The rank is the number of eigenvalues above largest x num_dims x 1.2e-7, see above. The products DD'
    have the same eigenvalues, and their size does not depend on the dimensions kept. In float32 their
    eigenvectors W are only the beginning: the rows of W'D have lengths as exact as singular values, and
    the dual basis takes back what is left of the angles between them. In float64 nothing is left.

    Args:
      differences: D, from a centre, over the root of n - 1; 0 for absent points and dimensions.
      num_dims: how many of the k dimensions exist.
    """
    p = len(differences)
    products = matmul(differences, differences.T)
    _, loadings = jnp.linalg.eigh(products, symmetrize_input=False)
    rows = matmul(loadings.T, differences)
    variances = jnp.sum(jnp.square(rows), axis=1)
    largest = jnp.max(variances)
    above = variances > largest * num_dims * RANK_EPSILON
    deficient = jnp.sum(above) < num_dims
    rounding = largest * p * jnp.finfo(variances.dtype).eps
    used = jnp.where(deficient, variances > rounding, above) & (variances > 0)
    rows = rows * (jax.lax.rsqrt(jnp.where(used, variances, 1)) * used)[:, None]
    dual = rows
    if rows.dtype == jnp.float32:
        products = jnp.where(used[:, None] & used[None, :], matmul(rows, rows.T), np.eye(p))
        dual = jnp.linalg.solve(products.astype(rows.dtype), rows)
    variances = jnp.where(used, variances, 0)
    ridge = jnp.where(deficient, RIDGE, 0.0)
    return Precision(
        rows=rows,
        dual=dual,
        loadings=loadings * used[None, :],
        variances=variances,
        inverse=used / jnp.where(used, variances + ridge, 1),
        outside=jnp.where(deficient, 1 / RIDGE, 0.0).astype(variances.dtype),
    )


def apply_precision(given: Precision, x: Float[Array, 'm k']) -> Float[Array, 'm k']:
    """The inverse covariance times each row of x."""
    along = matmul(x, given.dual.T)
    inside = matmul(along * given.inverse[None, :], given.dual)
    return inside + given.outside * (x - matmul(along, given.rows))


def squared_mahalanobis(given: Precision, x: Float[Array, 'm k']) -> Float[Array, 'm']:
    """The squared distance x' S^-1 x of each row, without anything added."""
    along = matmul(x, given.dual.T)
    orthogonal = jnp.sum(jnp.square(x - matmul(along, given.rows)), axis=1)
    return jnp.sum(jnp.square(along) * given.inverse[None, :], axis=1) + given.outside * orthogonal


class Cluster(NamedTuple):
    """Reference and distortions of one source.

    Attributes:
      mean: of the points that exist.
      differences: of the points from it, over the root of n - 1; 0 for the output and absent points.
      precision: of the kept dimensions.
    """

    mean: Float[Array, 'k']
    differences: Float[Array, 'p k']
    precision: Precision


def clusters_of(
    coordinates: Float[Array, 's p k'], mask: Bool[Array, 's p'], num_kept: Int[Array, '']
) -> Cluster:
    """The clusters of all sources, each around its mean, in the kept coordinates; a leading axis s."""

    def one(points, there):
        mean, differences = from_mean(points, there & (np.arange(len(there)) != OUTPUT))
        return Cluster(mean, differences, precision(differences, num_kept))

    return jax.vmap(one)(kept_only(in_float32(coordinates), num_kept), mask)


def from_mean(
    points: Float[Array, 'p k'], mask: Bool[Array, 'p']
) -> tuple[Float[Array, 'k'], Float[Array, 'p k']]:
    """The mean of the points that exist, and the differences from it over the root of n - 1."""
    mean, count = masked_mean(points, mask[:, None], axis=0), jnp.sum(mask)
    root = jnp.sqrt(jnp.maximum(count - 1, 1).astype(points.dtype))
    return mean, jnp.where(mask[:, None], points - mean[None, :], 0) / root


def kept_only(
    coordinates: Float[Array, 's p k'], num_kept: Int[Array, '']
) -> Float[Array, 's p k']:
    """The coordinates with zeros beyond the first `num_kept`."""
    kept = jnp.arange(coordinates.shape[-1]) < num_kept
    return jnp.where(kept[None, None, :], coordinates, 0)


def ps(
    coordinates: Float[Array, 's p k'],
    mask: Bool[Array, 's p'],
    num_kept: Int[Array, ''],
    clusters: Cluster | None = None,
) -> Float[Array, 's']:
    """Perceptual separation of each source: 1 - A / (A + B + 1e-6), from 0 to 1.

    A is the Mahalanobis distance, sqrt(u' S^-1 u + 1e-6), of the output to the mean of its own
    reference and distortions, B the least distance to those of another source, each with its own
    covariance. 0.5 is half-way. An absent source gets 0; without another one B is 0.

    Args:
      coordinates: reference, output and distortions of each source in the diffusion map.
      mask: which of them exist. A source is there if its reference is.
      num_kept: L; coordinates from there on are not looked at.
      clusters: `clusters_of` the same, if known.
    """
    kept = kept_only(in_float32(coordinates), num_kept)
    clusters = clusters or clusters_of(coordinates, mask, num_kept)
    distances = distances_to(clusters, kept[:, OUTPUT])
    own, other, _ = own_and_nearest(distances, mask[:, REFERENCE])
    return jnp.where(mask[:, REFERENCE], 1 - own / (own + other + 1e-6), 0)


def distances_to(clusters: Cluster, outputs: Float[Array, 's k']) -> Float[Array, 's c']:
    """The Mahalanobis distance, sqrt(u' S^-1 u + 1e-6), of each output to each cluster c."""

    def to_one(one):
        return jnp.sqrt(squared_mahalanobis(one.precision, outputs - one.mean[None, :]) + RIDGE)

    return jax.vmap(to_one, out_axes=1)(clusters)


def own_and_nearest(
    distances: Float[Array, 's s'], present: Bool[Array, 's']
) -> tuple[Float[Array, 's'], Float[Array, 's'], Int[Array, 's']]:
    """A, B and the number of the nearest other source; B is 0 where there is none."""
    s = len(distances)
    others = jnp.where(present[None, :] & ~np.eye(s, dtype=bool), distances, jnp.inf)
    nearest = jnp.argmin(others, axis=1)
    least = jnp.min(others, axis=1)
    return jnp.diagonal(distances), jnp.where(jnp.isfinite(least), least, 0), nearest


def pm(
    coordinates: Float[Array, 's p k'],
    mask: Bool[Array, 's p'],
    num_kept: Int[Array, ''],
    tail: str = 'gamma',
) -> Float[Array, 's']:
    """Perceptual match of each source: how likely a distortion is as far from the reference, from 0 to 1.

    With C = sum_p (d_p - ref)(d_p - ref)' / (n - 1) over the n distortions, around the REFERENCE, and
    squared distances a = u' C^-1 u + 1e-6 from the reference, it is the share beyond the output's of a
    Gamma distribution with the mean and variance of the distortions' a. 0 with fewer
    than 2 distortions and for an absent source.

    Args:
      coordinates, mask, num_kept: as for `ps`.
      tail: 'gamma', or 'rank' for the share of distortions that are farther away, an earlier form.
    """
    if tail not in ('gamma', 'rank'):
        raise ValueError(f"tail: expected 'gamma' or 'rank', got {tail!r}")
    kept = kept_only(in_float32(coordinates), num_kept)
    there = mask & mask[:, REFERENCE, None] & (np.arange(mask.shape[1]) > OUTPUT)[None, :]

    def one(points, distortions):
        count = jnp.sum(distortions)
        differences = points - points[REFERENCE][None, :]
        root = jnp.sqrt(jnp.maximum(count - 1, 1).astype(points.dtype))
        scaled = jnp.where(distortions[:, None], differences, 0) / root
        squared = squared_mahalanobis(precision(scaled, num_kept), differences) + RIDGE
        share = {'gamma': gamma_tail, 'rank': rank_tail}[tail](
            squared[OUTPUT], squared, distortions
        )
        return jnp.where(count < 2, 0, jnp.clip(share, 0, 1))

    return jax.vmap(one)(kept, there)


def moments(
    values: Float[Array, 'p'], mask: Bool[Array, 'p']
) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Mean and variance, over n - 1, of the values that exist."""
    mean, count = masked_mean(values, mask), jnp.sum(mask)
    squares = jnp.sum(jnp.where(mask, jnp.square(values - mean), 0))
    return mean, squares / jnp.maximum(count - 1, 1)


def gamma_tail(
    output: Float[Array, ''], squared: Float[Array, 'p'], mask: Bool[Array, 'p']
) -> Float[Array, '']:
    """P(X > output) for X of the Gamma distribution with the moments of `squared`; 1 if they are equal."""
    mean, variance = moments(squared, mask)
    varies = variance > 0
    variance = jnp.where(varies, variance, 1)
    share = jax.scipy.special.gammaincc(mean**2 / variance, output * mean / variance)
    return jnp.where(varies, share, 1)


def rank_tail(
    output: Float[Array, ''], squared: Float[Array, 'p'], mask: Bool[Array, 'p']
) -> Float[Array, '']:
    """1 - (number of `squared` below output + 0.5) / (n + 1)."""
    below = jnp.sum(mask & (squared < output))
    return 1 - (below + 0.5) / (jnp.sum(mask) + 1)
