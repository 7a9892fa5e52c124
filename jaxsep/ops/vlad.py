"""VLAD: a set of local descriptors as one vector, by their residuals to the centres of a vocabulary."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import (
    direct_squared_distances,
    in_float32,
    inner_products,
    l2_normalize,
)

MODES = ('hard', 'soft', 'soft_all_residuals')
METRICS = ('cosine', 'euclidean')


def vlad(
    descriptors: Float[Array, 'n d'],
    centers: Float[Array, 'k d'],
    mode: Literal['hard', 'soft', 'soft_all_residuals'] = 'hard',
    *,
    mask: Bool[Array, 'n'] | None = None,
    metric: Literal['cosine', 'euclidean'] = 'cosine',
    temperature: float | Float[Array, ''] = 1.0,
    normalize_descriptors: bool = True,
    normalize_residuals: bool = True,
) -> Float[Array, 'e']:
    """The residuals of descriptors to centres, summed per centre, concatenated, to unit norm.

    V_k = sum_n a_nk (x_n - c_k), each V_k to unit norm, then all k d numbers. Centres stay as they
    are. Zeros without descriptors.

    Args:
      mode: 'hard', a_nk = 1 for the centre that n is assigned to; 'soft', a_n = softmax_k(
        temperature cosine(x_n, c_k)); 'soft_all_residuals' is the soft form as AnyLoc published
        it, V_k = sum_n a_nk sum_j (x_n - c_j), which adds the residuals to all centres.
      mask: the descriptors that count, for sets of different sizes.
      metric: by which 'hard' assigns, on the descriptors as given; ties, and with 'cosine' zero
        vectors, go to the first centre.
      temperature: of the soft forms; larger is harder.
      normalize_descriptors: residuals are those of descriptors of unit norm.
      normalize_residuals: V_k to unit norm each (intra-normalisation).

    Source: Jegou 2010, https://doi.org/10.1109/CVPR.2010.5540039; options as in Keetha 2023
    (AnyLoc), https://arxiv.org/abs/2308.00688
    """
    if mode not in MODES:
        raise ValueError(f'mode: expected one of {MODES}, got {mode!r}')
    descriptors, centers = in_float32(descriptors), in_float32(centers)
    if mode == 'hard':
        labels = vlad_labels(descriptors, centers, metric)
        weights = jax.nn.one_hot(labels, len(centers), dtype=centers.dtype)
    else:
        weights = soft_assignment(descriptors, centers, temperature)
    if mask is not None:
        weights = jnp.where(mask[:, None], weights, 0.0)
        descriptors = jnp.where(mask[:, None], descriptors, 0.0)
    x = l2_normalize(descriptors) if normalize_descriptors else descriptors
    sums = jnp.matmul(weights.T, x, precision=jax.lax.Precision.HIGHEST)
    mass = jnp.sum(weights, axis=0)[:, None]
    if mode == 'soft_all_residuals':
        residuals = len(centers) * sums - mass * jnp.sum(centers, axis=0)[None, :]
    else:
        residuals = sums - mass * centers
    if normalize_residuals:
        residuals = l2_normalize(residuals)
    return l2_normalize(residuals.reshape(-1))


def vlad_labels(
    descriptors: Float[Array, 'n d'],
    centers: Float[Array, 'k d'],
    metric: Literal['cosine', 'euclidean'] = 'cosine',
) -> Int[Array, 'n']:
    """The centre of largest cosine, or of smallest distance, of each descriptor; ties to the first."""
    if metric not in METRICS:
        raise ValueError(f'metric: expected one of {METRICS}, got {metric!r}')
    if metric == 'cosine':
        similarities = inner_products(l2_normalize(descriptors), l2_normalize(centers))
    else:
        similarities = -direct_squared_distances(descriptors, centers)
    return jnp.argmax(similarities, axis=1).astype(jnp.int32)


def soft_assignment(
    descriptors: Float[Array, 'n d'],
    centers: Float[Array, 'k d'],
    temperature: float | Float[Array, ''] = 1.0,
) -> Float[Array, 'n k']:
    """Softmax over the centres of temperature times the cosine; rows sum to 1."""
    cosines = inner_products(l2_normalize(descriptors), l2_normalize(centers))
    return jax.nn.softmax(temperature * cosines, axis=1)
