"""Probabilistic partitive partitioning: k-means partitions, a Gaussian mixture validates.

Source: Sultan, PPP: Probabilistic Partitive Partitioning (2020), arXiv:2003.04372. Only
its abstract could be read; the pieces below are this library's reading of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.algorithms import gmm
from jaxsep.algorithms.kmeans import assign, kmeans, maximin_seeds, membership
from jaxsep.ops.geometry import in_float32


class Clustering(NamedTuple):
    """The chosen partition and mixture, padded to the largest k, with all candidates' scores.

    Attributes:
      num_clusters: int32, the chosen k; clusters k, k + 1, ... are padding.
      centroids: [k_max, d] of the partition.
      components: the mixture that validates it, [k_max, ...]; padding has weight 0.
      candidates: int32 [m], the numbers of clusters tried.
      agreement: [m], share of points where mixture and partition agree.
      own_posterior: [m], mean posterior probability of the own cluster.
      bic: [m], Bayesian information criterion of the mixtures.
    """

    num_clusters: Array
    centroids: Array
    components: gmm.Components
    candidates: Array
    agreement: Array
    own_posterior: Array
    bic: Array


class Candidate(NamedTuple):
    """One number of clusters: its partition, its mixture, their scores."""

    num_clusters: Array
    centroids: Array
    components: gmm.Components
    agreement: Array
    own_posterior: Array
    bic: Array


def validate(
    labels: Int[Array, 'n'],
    posterior: Float[Array, 'n k'],
    weights: Float[Array, 'n'] | None = None,
) -> tuple[Float[Array, ''], Float[Array, 'n']]:
    """How far a mixture agrees with the partition that it was fitted from.

        agreement = mean_i [argmax_k r_ik = label_i],   own_posterior_i = r_i,label_i

    The components keep the order of the clusters, so nothing is matched. No points
    give an agreement of 0.

    Args:
      labels: cluster of every point.
      posterior: responsibilities r of the mixture.
      weights: of the points in the mean; all 1 by default.

    >>> import jax.numpy as jnp
    >>> agreement, own = validate(jnp.array([0, 1]), jnp.array([[0.75, 0.25], [0.5, 0.5]]))
    >>> float(agreement), own.tolist()
    (0.5, [0.75, 0.5])
    """
    posterior = in_float32(posterior)
    own = jnp.take_along_axis(posterior, labels[:, None], axis=1)[:, 0]
    weights = jnp.ones_like(own) if weights is None else weights.astype(own.dtype)
    agrees = jnp.argmax(posterior, axis=1) == labels
    return _mean(agrees.astype(own.dtype), weights), own


def separable_set(own_posterior: Float[Array, 'n'], threshold: float = 0.95) -> Bool[Array, 'n']:
    """The points that the mixture gives to their own cluster with high probability."""
    return own_posterior >= threshold


def choose_candidate(
    agreement: Float[Array, 'm'], bic: Float[Array, 'm'], min_agreement: float
) -> Int[Array, '']:
    """The candidate of lowest BIC among those whose models agree; the first one at ties.

    Where none reaches `min_agreement`, the one that agrees most. The own posterior
    takes no part: it is high for every k whose components are far apart.

    >>> import jax.numpy as jnp
    >>> int(choose_candidate(jnp.array([0.95, 0.99, 0.5]), jnp.array([7.0, 5.0, 1.0]), 0.9))
    1
    """
    accepted = agreement >= min_agreement
    lowest = jnp.argmin(jnp.where(accepted, bic, jnp.inf))
    return jnp.where(jnp.any(accepted), lowest, jnp.argmax(agreement)).astype(jnp.int32)


def choose_k(
    x: Float[Array, 'n d'],
    num_clusters_range: tuple[int, int] = (2, 8),
    *,
    covariance: str = 'full',
    regularization: float = 1e-2,
    min_agreement: float = 0.9,
    trim: float = 0.0,
    max_steps: int = 500,
    weights: Float[Array, 'n'] | None = None,
) -> Clustering:
    """Partitions and validates for every k of the range, and keeps the best k.

    Each k: `maximin_seeds`, `kmeans`, `gmm_em` from that partition, `validate`, BIC;
    then `choose_candidate`. All k run through one compiled program, padded to the
    largest. Deterministic in `x` and the order of its rows.

    Args:
      x: the points, at least as many as the largest k.
      num_clusters_range: smallest and largest k, both included.
      covariance: 'full' or 'diag'. A full covariance of fewer than d + 1 points rests
        on the regularization alone, and its BIC then means little.
      regularization: added to the diagonal of every covariance.
      min_agreement: share of points that mixture and partition must agree on.
      trim: fraction of farthest points that are no seeds, see `maximin_seeds`.
      max_steps: upper bound on the steps of k-means and of EM.
      weights: of the points; those of weight 0 are ignored.
    """
    x = in_float32(x)
    low, high = num_clusters_range
    seeds = x[maximin_seeds(x, high, trim=trim, weights=weights)]
    num_samples = jnp.asarray(x.shape[0] if weights is None else jnp.sum(weights), x.dtype)

    def candidate(k):
        active = jnp.arange(high) < k
        partition = kmeans(x, seeds, max_steps, weights=weights, active=active)
        mixture = gmm.gmm_em(
            x,
            partition.labels,
            high,
            covariance,
            regularization,
            max_steps=max_steps,
            weights=weights,
        )
        agreement, own = validate(partition.labels, mixture.responsibilities, weights)
        score = gmm.bic(mixture.log_likelihood, num_samples, k, x.shape[1], covariance)
        own = _mean(own, jnp.ones_like(own) if weights is None else weights)
        return Candidate(k, partition.centroids, mixture.components, agreement, own, score)

    return _best(jax.lax.map(candidate, jnp.arange(low, high + 1, dtype=jnp.int32)), min_agreement)


def partitive_partitioning(
    x: Float[Array, 'n d'],
    num_clusters_range: tuple[int, int] = (2, 8),
    *,
    covariance: str = 'full',
    regularization: float = 1e-2,
    min_agreement: float = 0.9,
    trim: float = 0.0,
    max_steps: int = 500,
    chunk_size: int | None = None,
) -> Clustering:
    """Clusters `x`; in chunks of rows, then over the chunks' clusters, when it is large.

    Without `chunk_size`, or where all rows fit in one chunk, this is `choose_k`.
    Otherwise rows are split in order into equal chunks (the last is filled up with
    rows of weight 0) and each goes through `choose_k`. Of every cluster whose own
    points the mixture agrees on (`min_agreement`; all clusters of a chunk where none
    passes) the mass, mean and covariance are kept. For each k these means are clustered
    again by weighted k-means, the moments of each group are merged exactly into one
    Gaussian, and one pass over all rows scores the result: agreement and BIC choose k as
    before. The final mixture is not refined by EM on all rows, that is the saving.

    Deterministic in `x` and the order of its rows. The other arguments are those of
    `choose_k`; `chunk_size` rows are clustered at once, at least the largest k.
    """
    x = in_float32(x)
    num_points, dim = x.shape
    low, high = num_clusters_range
    options = dict(
        covariance=covariance,
        regularization=regularization,
        min_agreement=min_agreement,
        trim=trim,
        max_steps=max_steps,
    )
    if chunk_size is None or chunk_size >= num_points:
        return choose_k(x, num_clusters_range, **options)
    if chunk_size < high:
        raise ValueError(
            f'chunk_size: expected at least the largest number of clusters, {high}, '
            f'got {chunk_size}'
        )
    num_chunks = -(-num_points // chunk_size)
    size = -(-num_points // num_chunks)
    padding = num_chunks * size - num_points
    chunks = jnp.pad(x, ((0, padding), (0, 0))).reshape(num_chunks, size, dim)
    present = (jnp.arange(num_chunks * size) < num_points).astype(x.dtype)
    present = present.reshape(num_chunks, size)

    def accepted_clusters(chunk):
        rows, weights = chunk
        clustering = choose_k(rows, num_clusters_range, weights=weights, **options)
        labels, posterior = classify(rows, clustering)
        members = membership(labels, high, weights)
        mass, means, covariances = gmm.moments(rows, members, covariance)
        agrees = jnp.argmax(posterior, axis=1) == labels
        agreement = jnp.sum(jnp.where(agrees[:, None], members, 0.0), axis=0)
        accepted = (mass > 0) & (agreement >= min_agreement * mass)
        accepted = jnp.where(jnp.any(accepted), accepted, mass > 0)
        return jnp.where(accepted, mass, 0.0), means, covariances

    summaries = jax.lax.map(accepted_clusters, (chunks, present))
    mass, means, covariances = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), summaries)
    seeds = means[maximin_seeds(means, high, trim=trim, weights=mass)]

    def candidate(k):
        active = jnp.arange(high) < k
        partition = kmeans(means, seeds, max_steps, weights=mass, active=active)
        components = gmm.merge(mass, means, covariances, partition.labels, high, regularization)

        def score(chunk):
            rows, weights = chunk
            joint = gmm.log_joint(rows, components)
            labels = assign(rows, partition.centroids, active)
            agreement, own = validate(labels, jax.nn.softmax(joint, axis=1), weights)
            count = jnp.sum(weights)
            log_likelihood = jnp.sum(weights * jax.nn.logsumexp(joint, axis=1))
            return count * agreement, jnp.sum(weights * own), log_likelihood

        sums = jax.lax.map(score, (chunks, present))
        agreement, own, log_likelihood = (jnp.sum(values) / num_points for values in sums)
        criterion = gmm.bic(log_likelihood, num_points, k, dim, covariance)
        return Candidate(k, partition.centroids, components, agreement, own, criterion)

    return _best(jax.lax.map(candidate, jnp.arange(low, high + 1, dtype=jnp.int32)), min_agreement)


def classify(
    x: Float[Array, 'n d'], clustering: Clustering
) -> tuple[Int[Array, 'n'], Float[Array, 'n k']]:
    """Cluster (nearest centroid) and posterior (of the mixture) of every point.

    Each row depends on itself only.
    """
    active = jnp.arange(clustering.centroids.shape[0]) < clustering.num_clusters
    labels = assign(x, clustering.centroids, active)
    return labels, gmm.posterior(x, clustering.components)


def _best(candidates: Candidate, min_agreement: float) -> Clustering:
    """The chosen candidate, with the scores of all of them."""
    index = choose_candidate(candidates.agreement, candidates.bic, min_agreement)
    chosen = jax.tree.map(lambda values: values[index], candidates)
    return Clustering(
        num_clusters=chosen.num_clusters,
        centroids=chosen.centroids,
        components=chosen.components,
        candidates=candidates.num_clusters,
        agreement=candidates.agreement,
        own_posterior=candidates.own_posterior,
        bic=candidates.bic,
    )


def _mean(values: Float[Array, 'n'], weights: Float[Array, 'n']) -> Float[Array, '']:
    """Weighted mean; 0 where all weights are 0."""
    total = jnp.sum(weights)
    return jnp.sum(weights * values) / jnp.where(total > 0, total, 1.0)
