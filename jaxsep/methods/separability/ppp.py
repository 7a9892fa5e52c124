"""PPP: Probabilistic Partitive Partitioning (Sultan, 2020).

Clusters that a partition and a mixture agree on, and the points that separate best:
k-means from farthest-first seeds partitions the data; a Gaussian mixture fitted from that
partition validates it. The number of clusters is the one of lowest BIC among those where
both models agree; points that their own cluster takes with high probability form the most
separable set. There is no randomness: the same rows give the same answer.

https://arxiv.org/abs/2003.04372. Only the abstract could be read: how k is chosen and how
chunks are joined is this library's design.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.algorithms.gmm import check_covariance
from jaxsep.algorithms.ppp import (
    Clustering,
    classify,
    partitive_partitioning,
    separable_set,
    validate,
)
from jaxsep.method import Estimator


class Fitted(NamedTuple):
    """What `fit` learns: the standardisation of the columns, and the clustering in it.

    Attributes:
      mean: [d], of the columns.
      inverse_scale: [d], one over their standard deviation; 0 for a constant column.
      clustering: of the standardised rows.
    """

    mean: Array
    inverse_scale: Array
    clustering: Clustering


def make(
    *,
    num_clusters_range: tuple[int, int] = (2, 8),
    covariance: str = 'full',
    threshold: float = 0.95,
    min_agreement: float = 0.9,
    regularization: float = 1e-2,
    trim: float = 0.0,
    max_steps: int = 500,
    chunk_size: int | None = None,
) -> Estimator:
    """Probabilistic partitive partitioning of `features`, `embedding` or flattened `image`.

    Outputs, one row per example: `cluster` (int32, nearest centroid), `posterior`
    [b, k_max] of the mixture (0 for clusters that are not there), `confidence` (the
    posterior of the own cluster) and `separable` (confidence at least `threshold`).

    Args:
      num_clusters_range: smallest and largest number of clusters to try; ours.
      covariance: 'full' or 'diag', of the mixture; ours.
      threshold: probability that makes a point separable ("high probability"); ours.
      min_agreement: share of points both models must agree on; ours.
      regularization: floor of the covariances, in units of the standardised columns; ours.
      trim: fraction of farthest points that never start a cluster; 0 takes outliers.
      max_steps: upper bound on the steps of k-means and of EM.
      chunk_size: rows clustered at once; None clusters all rows together.
    """
    if len(num_clusters_range) != 2 or not 1 <= num_clusters_range[0] <= num_clusters_range[1]:
        raise ValueError(
            'num_clusters_range: expected (smallest, largest) with 1 <= smallest <= largest, '
            f'got {num_clusters_range}'
        )
    check_covariance(covariance)
    for name, value in (('threshold', threshold), ('min_agreement', min_agreement)):
        if not 0 <= value <= 1:
            raise ValueError(f'{name}: expected a probability in [0, 1], got {value}')
    if not regularization > 0:
        raise ValueError(f'regularization: expected a positive number, got {regularization}')
    if not 0 <= trim < 1:
        raise ValueError(f'trim: expected a fraction in [0, 1), got {trim}')
    if max_steps < 1:
        raise ValueError(f'max_steps: expected at least 1, got {max_steps}')
    smallest, largest = num_clusters_range
    if chunk_size is not None and chunk_size < largest:
        raise ValueError(
            f'chunk_size: expected at least the largest number of clusters, {largest}, '
            f'got {chunk_size}'
        )

    def fit(key, data):
        del key
        x = columns(data)
        if x.shape[0] < largest:
            raise ValueError(
                f'num_clusters_range: expected at most n = {x.shape[0]} clusters (rows of the '
                f'data), got k = {largest}'
            )
        mean = jnp.mean(x, axis=0)
        scale = jnp.std(x - mean[None, :], axis=0)
        # A constant column differs from its mean by rounding only, and says nothing.
        rounding = 8.0 * jnp.finfo(x.dtype).eps * jnp.abs(mean)
        varies = scale > rounding
        inverse_scale = jnp.where(varies, 1.0 / jnp.where(varies, scale, 1.0), 0.0)
        clustering = partitive_partitioning(
            (x - mean[None, :]) * inverse_scale[None, :],
            (smallest, largest),
            covariance=covariance,
            regularization=regularization,
            min_agreement=min_agreement,
            trim=trim,
            max_steps=max_steps,
            chunk_size=chunk_size,
        )
        return Fitted(mean, inverse_scale, clustering)

    def outputs(fitted, batch):
        x = (columns(batch) - fitted.mean[None, :]) * fitted.inverse_scale[None, :]
        cluster, posterior = classify(x, fitted.clustering)
        _, confidence = validate(cluster, posterior)
        return {
            'cluster': cluster,
            'posterior': posterior,
            'confidence': confidence,
            'separable': separable_set(confidence, threshold),
        }

    return Estimator(fit, outputs)


def columns(batch: Mapping) -> Float[Array, 'b d']:
    """The rows to cluster: `features`, else `embedding`, else flattened `image`.

    float32 for half precision and integers.
    """
    for name in ('features', 'embedding', 'image'):
        if name in batch:
            x = jnp.asarray(batch[name])
            x = x.reshape(x.shape[0], math.prod(x.shape[1:]))
            return x.astype(jnp.promote_types(x.dtype, jnp.float32))
    raise ValueError(
        f"data: expected 'features', 'embedding' or 'image' among the columns, got {sorted(batch)}"
    )
