"""Gaussian mixtures, fitted by expectation maximisation from a partition.

A component without points has weight 0 and takes no responsibility, so a mixture of
k components padded with such ones is the same mixture: one compiled program serves
every number of components. The components keep the order of the clusters they start from.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.algorithms.kmeans import membership
from jaxsep.ops.geometry import in_float32

HIGHEST = jax.lax.Precision.HIGHEST


class Components(NamedTuple):
    """The parameters of a Gaussian mixture.

    Attributes:
      weights: [k], summing to 1; 0 for a component that is not there.
      means: [k, d].
      covariances: [k, d, d] for full, [k, d] (variances) for diagonal covariances.
    """

    weights: Array
    means: Array
    covariances: Array


class Mixture(NamedTuple):
    """A fitted mixture.

    Attributes:
      weights, means, covariances: as in `Components`.
      responsibilities: [n, k], the posterior probability of every component.
      log_likelihood: scalar, the (weighted) mean of log p(x_i).
      steps: int32, EM steps done.
      converged: whether it ended by its stop rule, not by the bound on the steps.
    """

    weights: Array
    means: Array
    covariances: Array
    responsibilities: Array
    log_likelihood: Array
    steps: Array
    converged: Array

    @property
    def components(self) -> Components:
        """The parameters alone."""
        return Components(self.weights, self.means, self.covariances)


def check_covariance(covariance: str) -> None:
    """Raises ValueError for an unknown kind of covariance."""
    if covariance not in ('full', 'diag'):
        raise ValueError(f"covariance: expected 'full' or 'diag', got {covariance!r}")


def moments(
    x: Float[Array, 'n d'], members: Float[Array, 'n k'], covariance: str
) -> tuple[Float[Array, 'k'], Float[Array, 'k d'], Float[Array, 'k ...']]:
    """Mass, mean and biased covariance of every column of (soft, weighted) memberships.

        N_k = sum_i r_ik,  mu_k = sum_i r_ik x_i / N_k,
        S_k = sum_i r_ik (x_i - mu_k)(x_i - mu_k)^T / N_k

    A column of zeros gives zeros. Covariances are made one component at a time, so
    memory stays n x (d + k).
    """
    check_covariance(covariance)
    mass = jnp.sum(members, axis=0)
    divisor = jnp.maximum(mass, jnp.finfo(mass.dtype).tiny)
    means = jnp.matmul(members.T, x, precision=HIGHEST) / divisor[:, None]

    def second(column):
        member, mean, total = column
        centred = x - mean[None, :]
        weighted = member[:, None] * centred
        if covariance == 'diag':
            return jnp.sum(weighted * centred, axis=0) / total
        return jnp.matmul(weighted.T, centred, precision=HIGHEST) / total

    return mass, means, jax.lax.map(second, (members.T, means, divisor))


def regularize(covariances: Float[Array, 'k ...'], regularization: float) -> Float[Array, 'k ...']:
    """Adds the floor to the diagonals.

    The floor is `regularization`, or d * eps * (largest variance) where that is larger:
    less than this a Cholesky factorisation cannot see in the precision at hand.
    """
    dim = covariances.shape[1]
    full = covariances.ndim == 3
    variances = jnp.diagonal(covariances, axis1=1, axis2=2) if full else covariances
    smallest = dim * jnp.finfo(covariances.dtype).eps * jnp.max(variances, axis=1)
    floor = jnp.maximum(smallest, regularization)
    if full:
        return covariances + floor[:, None, None] * jnp.eye(dim, dtype=covariances.dtype)[None]
    return covariances + floor[:, None]


def maximization(
    x: Float[Array, 'n d'],
    members: Float[Array, 'n k'],
    covariance: str,
    regularization: float,
) -> Components:
    """The M-step: the components that fit (weighted) responsibilities best."""
    mass, means, covariances = moments(x, members, covariance)
    total = jnp.sum(mass)
    weights = mass / jnp.where(total > 0, total, 1.0)
    return Components(weights, means, regularize(covariances, regularization))


@functools.partial(jax.jit, static_argnames=('k', 'covariance', 'regularization'))
def gmm_from_partition(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    k: int,
    covariance: str = 'full',
    regularization: float = 1e-6,
    weights: Float[Array, 'n'] | None = None,
) -> Components:
    """The mixture whose components are the clusters of a partition.

    Fractions, means and biased covariances plus regularization * I. A cluster without
    points gets weight 0, mean 0 and covariance regularization * I.

    Args:
      x: the points.
      labels: the cluster of every point, in 0..k-1.
      k: number of components.
      covariance: 'full' or 'diag'.
      regularization: added to the diagonal of every covariance.
      weights: of the points; all 1 by default.
    """
    x = in_float32(x)
    weights = jnp.ones(x.shape[0], x.dtype) if weights is None else weights.astype(x.dtype)
    return maximization(x, membership(labels, k, weights), covariance, regularization)


@jax.jit
def log_joint(x: Float[Array, 'n d'], components: Components) -> Float[Array, 'n k']:
    """Logarithm of weight times density, of every component at every point.

        log w_k - (d log 2 pi + log |S_k| + (x - mu_k)^T S_k^-1 (x - mu_k)) / 2

    through the Cholesky factor of S_k; -inf for components of weight 0. Each row
    depends on itself only.
    """
    x = in_float32(x)
    weights, means, covariances = components

    def one(component):
        mean, covariance = component
        centred = x - mean[None, :]
        if covariance.ndim == 1:
            whitened = centred * jax.lax.rsqrt(covariance)[None, :]
            log_determinant = jnp.sum(jnp.log(covariance))
        else:
            factor = jnp.linalg.cholesky(covariance)
            identity = jnp.eye(factor.shape[0], dtype=factor.dtype)
            # The inverse of the small factor, so that points meet it in a matrix product.
            inverse = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
            whitened = jnp.matmul(centred, inverse.T, precision=HIGHEST)
            log_determinant = 2.0 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        return -0.5 * (jnp.sum(whitened * whitened, axis=-1) + log_determinant)

    densities = jax.lax.map(one, (means, covariances)).T
    densities = densities - 0.5 * x.shape[1] * jnp.log(2.0 * jnp.pi).astype(x.dtype)
    there = weights > 0
    log_weights = jnp.where(there, jnp.log(jnp.where(there, weights, 1.0)), -jnp.inf)
    return densities + log_weights[None, :]


def log_prob(x: Float[Array, 'n d'], components: Components) -> Float[Array, 'n']:
    """Log density of the mixture at every point, logsumexp_k log_joint_ik.

    >>> import jax.numpy as jnp
    >>> standard = Components(jnp.ones(1), jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> round(float(log_prob(jnp.zeros((1, 2)), standard)[0]), 4)
    -1.8379
    """
    return jax.nn.logsumexp(log_joint(x, components), axis=-1)


def posterior(x: Float[Array, 'n d'], components: Components) -> Float[Array, 'n k']:
    """p(component | x_i): the responsibilities of the E-step."""
    return jax.nn.softmax(log_joint(x, components), axis=-1)


@functools.partial(
    jax.jit,
    static_argnames=('k', 'covariance', 'regularization', 'tolerance', 'max_steps'),
)
def gmm_em(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    k: int,
    covariance: str = 'full',
    regularization: float = 1e-6,
    tolerance: float = 1e-9,
    max_steps: int = 500,
    weights: Float[Array, 'n'] | None = None,
) -> Mixture:
    """Expectation maximisation from a partition.

    Starts at `gmm_from_partition` and ends when the mean log-likelihood changed by at
    most `tolerance`, or after `max_steps`. A tolerance below the rounding of that change,
    eps * mean |log p(x_i)| / sqrt(n), cannot be judged (1e-9 in float32: the change is
    noise long before, and 0 by chance); there, or once nothing else moves, it ends
    when the responsibilities settle: mean_i max_k |change of r_ik| <= 8 eps.

    Args:
      x: the points.
      labels: the partition to start from, in 0..k-1.
      k: number of components; those without points stay at weight 0.
      covariance: 'full' or 'diag'.
      regularization: added to the diagonal of every covariance in every step.
      tolerance: on the change of the mean log-likelihood.
      max_steps: upper bound on the number of steps.
      weights: of the points; all 1 by default.

    Source: Dempster, Laird & Rubin, Maximum likelihood from incomplete data (1977).
    """
    x = in_float32(x)
    weights = jnp.ones(x.shape[0], x.dtype) if weights is None else weights.astype(x.dtype)
    total = jnp.sum(weights)
    fractions = weights / jnp.where(total > 0, total, 1.0)
    eps = jnp.finfo(x.dtype).eps
    resolution = eps / jnp.sqrt(jnp.maximum(jnp.sum(weights > 0), 1))

    def expectation(components):
        joint = log_joint(x, components)
        return jax.nn.softmax(joint, axis=-1), jax.nn.logsumexp(joint, axis=-1)

    def unfinished(state):
        *_, converged, steps = state
        return ~converged & (steps < max_steps)

    def step(state):
        _, previous, before, _, steps = state
        members = previous * weights[:, None]
        components = maximization(x, members, covariance, regularization)
        responsibilities, after = expectation(components)
        change = jnp.abs(jnp.sum(fractions * (after - before)))
        judged = resolution * jnp.sum(fractions * jnp.abs(after)) <= tolerance
        moved = jnp.max(jnp.abs(responsibilities - previous), axis=-1)
        settled = jnp.sum(fractions * moved) <= 8.0 * eps
        converged = (judged & (change <= tolerance)) | settled
        return components, responsibilities, after, converged, steps + 1

    components = gmm_from_partition(x, labels, k, covariance, regularization, weights)
    start = (components, *expectation(components), jnp.bool_(False), jnp.int32(0))
    state = jax.lax.while_loop(unfinished, step, start)
    components, responsibilities, log_probs, converged, steps = state
    log_likelihood = jnp.sum(fractions * log_probs)
    return Mixture(*components, responsibilities, log_likelihood, steps, converged)


@functools.partial(jax.jit, static_argnames=('k', 'regularization'))
def merge(
    mass: Float[Array, 'm'],
    means: Float[Array, 'm d'],
    covariances: Float[Array, 'm ...'],
    labels: Int[Array, 'm'],
    k: int,
    regularization: float,
) -> Components:
    """Merges m groups of points into k components, exactly, from their moments alone.

        mu_k = sum_j n_j mu_j / N_k,
        S_k = sum_j n_j (S_j + (mu_j - mu_k)(mu_j - mu_k)^T) / N_k   over the j in group k

    so the merged moments are those of all points together (law of total covariance).
    Groups of mass 0 have no effect.
    """
    covariance = 'full' if covariances.ndim == 3 else 'diag'
    members = membership(labels, k, mass)
    total, centres, between = moments(means, members, covariance)
    divisor = jnp.maximum(total, jnp.finfo(total.dtype).tiny)
    flat = covariances.reshape(mass.shape[0], -1)
    within = jnp.matmul(members.T, flat, precision=HIGHEST) / divisor[:, None]
    covariances = between + within.reshape(between.shape)
    everything = jnp.sum(total)
    weights = total / jnp.where(everything > 0, everything, 1.0)
    return Components(weights, centres, regularize(covariances, regularization))


def num_parameters(k: int | Int[Array, ''], dim: int, covariance: str) -> int | Int[Array, '']:
    """Free parameters of a mixture: k d means, k covariances, k - 1 weights.

    >>> num_parameters(3, 2, 'full'), num_parameters(3, 2, 'diag')
    (17, 14)
    """
    check_covariance(covariance)
    per_covariance = dim * (dim + 1) // 2 if covariance == 'full' else dim
    return k * dim + k * per_covariance + k - 1


def bic(
    log_likelihood: Float[Array, ''],
    num_samples: int | Float[Array, ''],
    k: int | Int[Array, ''],
    dim: int,
    covariance: str,
) -> Float[Array, '']:
    """Bayesian information criterion, -2 n L + p log n with the mean log-likelihood L.

    Smaller is better; p is `num_parameters`. Source: Schwarz (1978).
    """
    penalty = num_parameters(k, dim, covariance) * jnp.log(num_samples)
    return -2.0 * num_samples * log_likelihood + penalty.astype(log_likelihood.dtype)


def aic(
    log_likelihood: Float[Array, ''],
    num_samples: int | Float[Array, ''],
    k: int | Int[Array, ''],
    dim: int,
    covariance: str,
) -> Float[Array, '']:
    """Akaike information criterion, -2 n L + 2 p. Smaller is better. Source: Akaike (1974)."""
    return -2.0 * num_samples * log_likelihood + 2.0 * num_parameters(k, dim, covariance)
