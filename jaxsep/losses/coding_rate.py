"""Coding rates: how many nats describe points up to a precision, all together or in groups.

Maximal coding rate reduction spreads all points over as many directions as possible while the
points of a group keep to few. All sizes are of points on the unit sphere; `squared_precision` is
epsilon squared, the distortion allowed to a point.

Sources: Yu 2020 (MCR^2), https://arxiv.org/abs/2006.08558; Ding 2023 (MLC),
https://arxiv.org/abs/2301.01805, whose rate has no factor 1/2 in print and has it in code, as here.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize
from jaxsep.ops.log_determinants import log_det, log_det_of_groups

# Added to the mass of a group, as in the original.
_MASS_OFFSET = 1e-8


def coding_rate(
    features: Float[Array, 'n d'], *, squared_precision: float = 0.5
) -> Float[Array, '']:
    """R = 1/2 log det(I + d / (n eps^2) Z^T Z): how many directions the points fill.

    0 for no points and for zero points; otherwise the smaller, the fewer directions.

    >>> import jax.numpy as jnp
    >>> print(coding_rate(jnp.eye(2), squared_precision=1.0).round(3))  # log(2)
    0.693
    """
    _check_precision(squared_precision)
    features = in_float32(features)
    n, d = features.shape
    scale = d / (max(n, 1) * squared_precision)
    gram = inner_products(features.T, features.T)
    return 0.5 * log_det(jnp.eye(d, dtype=features.dtype) + scale * gram)


def compression(
    features: Float[Array, 'n d'],
    affinity: Float[Array, 'n k'],
    *,
    squared_precision: float = 0.5,
    chunk_size: ChunkSize = 256,
) -> Float[Array, '']:
    """The mean coding rate within groups, given by the columns of memberships.

    R_c = 1/(2n) sum_j t_j log det(I + d / (t_j eps^2) Z^T Diag(G_:j) Z),
    t_j = sum_i G_ij + 1e-8. With an affinity [n, n] there is a group around every point; with
    one-hot memberships [n, k] it is the compression of MCR^2. Gradients flow into both. 0 for no
    points; groups without members add nothing.

    Args:
      features: Z.
      affinity: G, non-negative; soft memberships of the points (rows) in the groups (columns).
      chunk_size: groups whose d x d matrices exist at a time; None: all. The n x d x d products
        of the points with themselves are kept.
    """
    _check_precision(squared_precision)
    features, affinity = in_float32(features), in_float32(affinity)
    n, d = features.shape
    mass = jnp.sum(affinity, axis=0) + _MASS_OFFSET
    rates = log_det_of_groups(features, affinity.T, d / (mass * squared_precision), chunk_size)
    return jnp.sum(mass * rates) / (2 * max(n, 1))


def mlc_loss(
    features: Float[Array, 'n d'],
    affinity: Float[Array, 'n n'],
    *,
    squared_precision: float = 0.1,
    compression_weight: float = 1.0,
    frobenius_weight: float = 0.0,
    chunk_size: ChunkSize = 256,
) -> Float[Array, '']:
    """Manifold linearizing and clustering: expand all points, compress those around each point.

    -R(Z) + gamma R_c(Z, G) + c/2 ||G||_F^2. The last term, of the follow-up work, keeps each
    point together with more others. Not a mean over points: n enters the rates, so batches should
    have one size.

    Args:
      features: rows of unit length.
      affinity: doubly stochastic, from `jaxsep.ops.doubly_stochastic.sinkhorn_affinity`.
      squared_precision: epsilon squared (0.1 in the follow-up's code).
      compression_weight: gamma (1).
      frobenius_weight: c (0; 0.05 in the follow-up's code).
      chunk_size: see `compression`.

    Source: Ding 2023; Chu 2023 (CPP), https://arxiv.org/abs/2306.05272.
    """
    value = -coding_rate(features, squared_precision=squared_precision)
    value += compression_weight * compression(
        features, affinity, squared_precision=squared_precision, chunk_size=chunk_size
    )
    if frobenius_weight:
        value += 0.5 * frobenius_weight * jnp.sum(jnp.square(in_float32(affinity)))
    return value


def mean_direction(views: Float[Array, 'v n d']) -> Float[Array, 'n d']:
    """The mean over views of every point, back on the sphere; 0 where the views cancel."""
    return l2_normalize(jnp.mean(in_float32(views), axis=0))


def tcr_loss(
    views: Float[Array, 'v n d'],
    *,
    squared_precision: float = 0.2,
    alignment_weight: float = 20.0,
) -> Float[Array, '']:
    """Total coding rate: spread the mean directions of all points, align their views.

    -R(normalised mean over views) - lambda * mean |z_i^a . z_i^b| over points and pairs of
    different views. With one view it is minus the coding rate of its directions.

    Args:
      views: rows of unit length, the same points in every view.
      alignment_weight: lambda, for the mean over the points.

    Source: Li 2022 (NMCE), https://arxiv.org/abs/2201.10000; Ding 2023.
    """
    expansion = coding_rate(mean_direction(views), squared_precision=squared_precision)
    return -expansion - alignment_weight * view_alignment(views)


def view_alignment(views: Float[Array, 'v n d']) -> Float[Array, '']:
    """The mean of |z_i^a . z_i^b| over points and pairs of different views; 0 for one view."""
    views = in_float32(views)
    num_views, n, _ = views.shape
    pairs = [(a, b) for a in range(num_views) for b in range(a)]
    cosines = [jnp.sum(jnp.abs(jnp.sum(views[a] * views[b], axis=-1))) for a, b in pairs]
    return sum(cosines, start=jnp.zeros((), views.dtype)) / max(len(pairs) * n, 1)


def _check_precision(squared_precision):
    if not squared_precision > 0:
        raise ValueError(f'squared_precision: expected a positive number, got {squared_precision}')
