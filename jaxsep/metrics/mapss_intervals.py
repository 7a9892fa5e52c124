"""How far PS and PM of MAPSS may be off: from dropped coordinates, and from few distortions.

Each measure has two radii. `bias` bounds what the coordinates beyond `num_kept` would change: the part
of a point's dropped coordinates that its kept ones do not predict, in its own Mahalanobis distance.
`prob` bounds, with probability 1 - delta, what the finite number of distortions does to means and
covariances.

Ivry, Cornell, Watanabe, 2025, https://arxiv.org/abs/2509.09212; ps_ci_components_full,
pm_ci_components_full of https://github.com/Amir-Ivry/MAPSS-measures, whose constants are kept.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxsep.metrics.mapss import (
    OUTPUT,
    REFERENCE,
    RIDGE,
    Cluster,
    Precision,
    apply_precision,
    clusters_of,
    distances_to,
    from_mean,
    kept_only,
    moments,
    own_and_nearest,
    precision,
    squared_mahalanobis,
)
from jaxsep.ops.geometry import in_float32, matmul
from jaxsep.ops.masks import masked_mean

RESIDUAL_RIDGE = 1e-9
LEAST_EIGENVALUE = 1e-9
LEAST_SHARE = 0.05
"""Of the largest eigenvalue: the smallest one that the bounds of PS count with."""
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


class Radii(NamedTuple):
    """Of each source; 0 for an absent one, and where no coordinate is dropped.

    Attributes:
      bias: from dropped coordinates.
      prob: from the number of distortions.
    """

    bias: Float[Array, 's']
    prob: Float[Array, 's']


def check_delta(delta: float) -> None:
    """Raises ValueError unless 0 < delta < 1."""
    if not 0 < delta < 1:
        raise ValueError(f'delta: expected a probability between 0 and 1, got {delta}')


def num_dropped(mask: Bool[Array, 's p'], num_kept: Int[Array, '']) -> Int[Array, '']:
    """How many coordinates of the map are not kept: n - 1 - L."""
    return jnp.sum(mask) - 1 - num_kept


def covariance_ridges(
    differences: Float[Array, 's p k'], counts: Int[Array, 's'], num_dims: Int[Array, '']
) -> Float[Array, 's']:
    """What joins the diagonal of each covariance D'D: 1e-6 unless its rank is `num_dims`.

    Eigenvalues are needed only where there are fewer dimensions than points, which is rare.

    Args:
      counts: of the points, whose mean is 0.
    """

    def looked_at(differences):
        found = jax.vmap(precision, (0, None))(differences, num_dims)
        return jnp.where(found.outside > 0, RIDGE, 0.0).astype(differences.dtype)

    def certain(differences):
        return jnp.full(len(differences), RIDGE, differences.dtype)

    return jax.lax.cond(jnp.any(num_dims < counts), looked_at, certain, differences)


def ps_radii(
    coordinates: Float[Array, 's p k'],
    mask: Bool[Array, 's p'],
    num_kept: Int[Array, ''],
    delta: float = 0.05,
    clusters: Cluster | None = None,
) -> Radii:
    """Both radii of `jaxsep.metrics.mapss.ps`.

    For an output with kept and dropped differences u, w from a cluster's mean, and the covariances Sd
    (kept), Sc (dropped) and Cx (between the two) of its points, r = w - Cx' Sd^-1 u,
    S = Sc - Cx' Sd^-1 Cx + 1e-9 I, e = sqrt(r' S^-1 r):

        bias = (B e_own + A e_nearest) / (A + B)^2
        prob = min(1, sqrt(A^2 + B^2) / (A + B)^2 sqrt(E(A)^2 + E(B)^2))
        E(a) = 2 sqrt(a) m sqrt(lmax / lmin) + a (sqrt(R / n) + (R + log(4 / delta)) / n)

    with, for each of the two clusters, eigenvalues lmax and lmin >= 0.05 lmax of Sd, R = trace / lmax,
    m = sqrt(2 lmax log(4 / delta) / n) and n = max(floor(0.7 points of the own cluster), 3).

    Args:
      coordinates, mask, num_kept: as for `ps`, all n - 1 coordinates.
      delta: 1 - delta is the confidence.
      clusters: `clusters_of` the same, if known.
    """
    check_delta(delta)
    coordinates = in_float32(coordinates)
    kept = kept_only(coordinates, num_kept)
    dropped, left = coordinates - kept, num_dropped(mask, num_kept)
    present = mask[:, REFERENCE]
    clusters = clusters or clusters_of(coordinates, mask, num_kept)
    distances = distances_to(clusters, kept[:, OUTPUT])
    own, other, nearest = own_and_nearest(distances, present)
    alone = jnp.sum(present) < 2

    members = mask & (np.arange(mask.shape[1]) != OUTPUT)[None, :]
    means, rest = jax.vmap(from_mean)(dropped, members)
    ridges = covariance_ridges(rest, jnp.sum(members, axis=1), left) + RESIDUAL_RIDGE

    def residuals(found, mean, differences, ridge):
        outputs = kept[:, OUTPUT], dropped[:, OUTPUT] - mean[None, :]
        return residual_distances(found, differences, ridge, *outputs)

    residual = jax.vmap(residuals, out_axes=1)(clusters, means, rest, ridges)
    own_residual = jnp.diagonal(residual)
    other_residual = jnp.take_along_axis(residual, nearest[:, None], axis=1)[:, 0]
    both = jnp.where(own + other > 0, own + other, 1)
    bias = (other * own_residual + own * other_residual) / both**2

    counted = jnp.maximum(jnp.floor(0.7 * jnp.sum(members, axis=1)), 3).astype(kept.dtype)
    logarithm = np.log(4 / delta)
    spread = jax.vmap(spectrum, (0, None))(clusters.precision, num_kept)

    def deviation(distance, largest, least, effective):
        mean = jnp.sqrt(2 * largest * logarithm / counted)
        relative = jnp.sqrt(effective / counted) + (effective + logarithm) / counted
        return 2 * jnp.sqrt(distance) * mean * jnp.sqrt(largest / least) + distance * relative

    error = jnp.hypot(
        deviation(own, *spread), deviation(other, *(value[nearest] for value in spread))
    )
    prob = jnp.minimum(jnp.hypot(own, other) / both**2 * error, 1)
    nothing = ~present | alone | (left <= 0)
    return Radii(jnp.where(nothing, 0, bias), jnp.where(nothing, 0, prob))


def spectrum(
    given: Precision, num_kept: Int[Array, '']
) -> tuple[Float[Array, ''], Float[Array, ''], Float[Array, '']]:
    """Largest and smallest eigenvalue of a covariance and its trace over the largest, bounded as in PS."""
    ridge = jnp.where(given.outside > 0, RIDGE, 0.0)
    largest = jnp.max(given.variances) + ridge
    trace = jnp.sum(given.variances) + ridge * num_kept
    directions = given.variances > 0
    least = jnp.min(jnp.where(directions, given.variances, jnp.inf)) + ridge
    least = jnp.where(jnp.sum(directions) < num_kept, ridge, least)
    least = jnp.maximum(jnp.maximum(least, LEAST_EIGENVALUE), LEAST_SHARE * largest)
    positive = jnp.where(largest > 0, largest, 1)
    return largest, least, trace / positive


def residual_distances(
    found: Cluster,
    rest: Float[Array, 'p k'],
    ridge: Float[Array, ''],
    outputs: Float[Array, 's k'],
    outputs_rest: Float[Array, 's k'],
) -> Float[Array, 's']:
    """sqrt(r' S^-1 r) of each output against one cluster, see `ps_radii`.

    Args:
      found: the cluster in the kept coordinates.
      rest: differences of its points in the dropped coordinates, over the root of n - 1.
      ridge: what joins the diagonal of S.
      outputs, outputs_rest: kept coordinates of all outputs, and their dropped differences.
    """
    given = found.precision
    explained = matmul(apply_precision(given, outputs - found.mean[None, :]), found.differences.T)
    r = outputs_rest - matmul(explained, rest)
    # z'z = Sc - Cx' Sd^-1 Cx: a kept direction explains the share g / (g + ridge) of the points.
    lost = 1 - jnp.sqrt(jnp.maximum(1 - given.variances * given.inverse, 0))
    z = rest - matmul(given.loadings * lost[None, :], matmul(given.loadings.T, rest))
    return jnp.sqrt(jnp.maximum(solved_energy(z, z, ridge, r), 0))


def solved_energy(
    left: Float[Array, 'p k'],
    right: Float[Array, 'p k'],
    ridge: Float[Array, ''],
    r: Float[Array, 'm k'],
) -> Float[Array, 'm']:
    """The energy r' (L'R + ridge I)^-1 r of each row, by a system of the size of L's and R's rows."""
    inner = matmul(right, left.T) + ridge * np.eye(len(left), dtype=left.dtype)
    solved = jnp.linalg.solve(inner, matmul(right, r.T))
    return (jnp.sum(r * r, axis=1) - jnp.sum(matmul(r, left.T) * solved.T, axis=1)) / ridge


def pm_radii(
    coordinates: Float[Array, 's p k'],
    mask: Bool[Array, 's p'],
    num_kept: Int[Array, ''],
    delta: float = 0.05,
) -> Radii:
    """Both radii of `jaxsep.metrics.mapss.pm`: the largest change of PM over the corners of a box.

    PM is a function of the Gamma distribution's k = mu^2 / var and theta = var / mu, and of the
    output's squared distance a. Each radius takes the 8 corners k +- dk, theta +- dt, a +- da. For
    `bias`, with the residual energy G_p of each distortion (as e^2 of `ps_radii`, around the
    reference), f = max G n / (n - 1) and mu', var' of a_p + G_p: dk = f (mu' + mu) / var,
    dt = f (var' + var) / mu^2, da = G of the output. For `prob`, Bernstein bounds of mu and of sigma
    with log(6 / delta) and R = max a_p, at most half of k, theta and a.

    The code centres the covariance on the mean here, and not on the reference as PM does; kept. So
    S need not be positive, and NaN comes where it is singular in the precision of the coordinates.

    Args:
      coordinates, mask, num_kept: as for `pm`, all n - 1 coordinates.
      delta: 1 - delta is the confidence.
    """
    check_delta(delta)
    coordinates = in_float32(coordinates)
    kept = kept_only(coordinates, num_kept)
    dropped, left = coordinates - kept, num_dropped(mask, num_kept)
    there = mask & mask[:, REFERENCE, None] & (np.arange(mask.shape[1]) > OUTPUT)[None, :]

    counts = jnp.sum(there, axis=1)
    u, w = (x - x[:, REFERENCE, None] for x in (kept, dropped))
    _, rest = jax.vmap(from_mean)(w, there)
    ridges = covariance_ridges(rest, counts, left) + RESIDUAL_RIDGE
    squared, energy = jax.vmap(reference_energies, (0, 0, 0, 0, None))(
        u, w, there, ridges, num_kept
    )
    bias, prob = jax.vmap(lambda *given: box_radii(*given, delta))(squared, energy, there)
    nothing = (counts < 2) | (left <= 0)
    return Radii(jnp.where(nothing, 0, bias), jnp.where(nothing, 0, prob))


def reference_energies(
    u: Float[Array, 'p k'],
    w: Float[Array, 'p k'],
    mask: Bool[Array, 'p'],
    ridge: Float[Array, ''],
    num_kept: Int[Array, ''],
) -> tuple[Float[Array, 'p'], Float[Array, 'p']]:
    """Squared distance from the reference of each point of a source, and its residual energy G.

    Args:
      u, w: kept and dropped differences of the points from the reference.
      mask: the distortions.
      ridge: what joins the diagonal of S.
    """
    root = jnp.sqrt(jnp.maximum(jnp.sum(mask) - 1, 1).astype(u.dtype))

    def scaled(x):
        return jnp.where(mask[:, None], x, 0) / root

    _, differences = from_mean(u, mask)
    given = precision(differences, num_kept)
    explained = matmul(apply_precision(given, u), scaled(u).T)
    r = w - matmul(explained, scaled(w))
    # S = W'V + ridge I with V from r: covariances are around the mean and W around the reference, so S
    # need not be positive.
    mean = masked_mean(w, mask[:, None], axis=0)
    energy = solved_energy(scaled(w), scaled(r - mean[None, :]), ridge, r)
    return squared_mahalanobis(given, u), energy


def box_radii(
    squared: Float[Array, 'p'], energy: Float[Array, 'p'], mask: Bool[Array, 'p'], delta: float
) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Both radii, bias and prob, of one source from the numbers of `reference_energies`."""
    n = jnp.maximum(jnp.sum(mask), 2).astype(squared.dtype)
    (mean, variance), (mean_full, variance_full) = (
        moments(values, mask) for values in (squared, squared + energy)
    )
    variance, variance_full = variance + 1e-12, variance_full + 1e-12
    mean, sigma, a = jnp.maximum(mean, 1e-12), jnp.sqrt(variance), squared[OUTPUT]
    k, theta = mean**2 / variance, variance / mean

    def corners(dk, dtheta, da, smallest):
        ks, thetas, distances = (
            jnp.maximum(centre + CORNERS[:, i] * change, least)
            for i, (centre, change, least) in enumerate(
                zip((k, theta, a), (dk, dtheta, da), smallest, strict=True)
            )
        )
        return ks, distances / thetas

    factor = jnp.max(jnp.where(mask, energy, -jnp.inf), initial=-jnp.inf) * n / (n - 1)
    factor = jnp.where(jnp.any(mask), factor, 0)
    bias = corners(
        factor * (mean_full + mean) / variance,
        factor * (variance_full + variance) / (mean**2 + 1e-9),
        energy[OUTPUT],
        (1e-6, 1e-6, 1e-8),
    )
    logarithm = np.log(6 / delta)
    largest = jnp.max(jnp.where(mask, squared, 0)) + 1e-12
    rate = jnp.sqrt(2 * logarithm / n)
    mean_error = sigma * rate + 3 * largest * logarithm / n
    sigma_error = largest * rate + 3 * largest**2 * logarithm / n
    prob = corners(
        jnp.minimum(
            2 * mean / (variance + 1e-9) * mean_error
            + 2 * mean**2 / (sigma**3 + 1e-9) * sigma_error,
            k / 2,
        ),
        jnp.minimum(
            variance / (mean**2 + 1e-9) * mean_error + 2 * sigma / (mean + 1e-9) * sigma_error,
            theta / 2,
        ),
        jnp.minimum(largest * rate, a / 2 + 1e-12),
        (1e-12, 1e-12, 1e-8),
    )
    shapes, places = (
        jnp.concatenate([*both, centre[None]])
        for both, centre in zip(zip(bias, prob, strict=True), (k, a / theta), strict=True)
    )
    values = jnp.clip(jax.scipy.special.gammaincc(shapes, places), 0, 1)  # inf at extreme shapes
    changes = jnp.abs(values[:-1] - values[-1])
    return jnp.max(changes[:8]), jnp.max(changes[8:])
