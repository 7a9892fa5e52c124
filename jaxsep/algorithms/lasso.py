"""Sparse linear maps from the units of one layer to those of another: the lasso, many targets at once.

    minimise over W   (1 / 2n) ||A W - B||_F^2 + penalty ||W||_1

Every column of W is a problem of its own; they are solved side by side by cyclic coordinate
descent on the second moments of the data, which gives zeros that are exactly 0. (The original of
convergent learning descends the same objective by stochastic subgradients, which never do.)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops import geometry

Scalar = float | int | Float[Array, '']


class Lasso(NamedTuple):
    """A sparse linear map.

    Attributes:
      weights: [p, q].
      bias: [q]; 0 without an intercept.
      steps: int32, passes over all p inputs that were made.
      violation: how far the optimality conditions are from being met, in units of the largest
        |A^T B| / n.
      converged: whether that is within the tolerance.
    """

    weights: Array
    bias: Array
    steps: Array
    violation: Array
    converged: Array


def soft_threshold(x: Float[Array, '*s'], threshold: Scalar) -> Float[Array, '*s']:
    """sign(x) max(|x| - threshold, 0): moved towards 0, and exactly 0 within the threshold.

    >>> import jax.numpy as jnp
    >>> soft_threshold(jnp.array([-3.0, 0.5, 2.0]), 1.0).tolist()
    [-2.0, 0.0, 1.0]
    """
    return jnp.where(jnp.abs(x) > threshold, x - jnp.sign(x) * threshold, 0.0)


def lasso_objective(
    a: Float[Array, 'n p'],
    b: Float[Array, 'n q'],
    weights: Float[Array, 'p q'],
    penalty: Scalar,
) -> Float[Array, '']:
    """(1 / 2n) ||A W - B||_F^2 + penalty ||W||_1; the first term is 0 without rows."""
    error = geometry.matmul(a, weights) - b
    return 0.5 * jnp.sum(jnp.square(error)) / max(len(a), 1) + penalty * jnp.sum(jnp.abs(weights))


@functools.partial(jax.jit, static_argnames=('max_steps', 'tolerance'))
def coordinate_descent(
    gram: Float[Array, 'p p'],
    cross: Float[Array, 'p q'],
    penalty: Scalar,
    start: Float[Array, 'p q'] | None = None,
    *,
    max_steps: int = 1000,
    tolerance: float = 1e-5,
) -> Lasso:
    """The lasso from second moments, gram = A^T A / n and cross = A^T B / n; no bias.

        w_j <- soft_threshold(cross_j - sum_{i != j} gram_ji w_i, penalty) / gram_jj

    for j = 1 .. p by turns, on all q targets at once. At the optimum the slope g = cross - gram W is
    penalty sign(w) where w is not 0, and at most the penalty elsewhere; descent ends when that
    holds up to `tolerance` times the largest |cross|. An input that is 0 everywhere gets weights of
    0. Without a penalty this tends to least squares, slowly where inputs nearly depend on each
    other.

    Args:
      start: weights to start from, such as those of a larger penalty; 0 by default.
      max_steps: upper bound on the passes over all inputs.
      tolerance: single precision reaches some 1e-6.

    Source: Friedman et al., Regularization paths for generalized linear models via coordinate
    descent (2010), covariance updates.
    """
    gram, cross = geometry.in_float32(gram), geometry.in_float32(cross)
    weights = jnp.zeros_like(cross) if start is None else start.astype(cross.dtype)
    penalty = jnp.asarray(penalty, cross.dtype)
    squares = jnp.diagonal(gram)
    scale = jnp.max(jnp.abs(cross), initial=0.0)
    scale = jnp.where(scale > 0, scale, 1.0)

    def update(j, weights):
        slope = cross[j] - geometry.matmul(gram[j], weights) + squares[j] * weights[j]
        present = squares[j] > 0
        new = soft_threshold(slope, penalty) / jnp.where(present, squares[j], 1.0)
        return weights.at[j].set(jnp.where(present, new, 0.0))

    def violation(weights):
        slope = cross - geometry.matmul(gram, weights)
        inactive = jnp.maximum(jnp.abs(slope) - penalty, 0.0)
        active = jnp.abs(slope - jnp.sign(weights) * penalty)
        off = jnp.where(weights != 0, active, inactive)
        return jnp.max(jnp.where(squares[:, None] > 0, off, 0.0), initial=0.0) / scale

    def unfinished(state):
        _, off, steps = state
        return (steps < max_steps) & (off > tolerance)

    def step(state):
        weights, _, steps = state
        weights = jax.lax.fori_loop(0, len(gram), update, weights)
        return weights, violation(weights), steps + 1

    begin = (weights, jnp.asarray(jnp.inf, cross.dtype), jnp.int32(0))
    weights, off, steps = jax.lax.while_loop(unfinished, step, begin)
    return Lasso(
        weights, jnp.zeros_like(cross, shape=cross.shape[1:]), steps, off, off <= tolerance
    )


@functools.partial(jax.jit, static_argnames=('intercept', 'max_steps', 'tolerance'))
def sparse_prediction(
    a: Float[Array, 'n p'],
    b: Float[Array, 'm q'],
    penalty: Scalar,
    start: Float[Array, 'p q'] | None = None,
    *,
    intercept: bool = False,
    max_steps: int = 1000,
    tolerance: float = 1e-5,
) -> Lasso:
    """The sparse linear map from the columns of `a` to those of `b`: the lasso.

        (1 / 2n) ||A W + bias - B||_F^2 + penalty ||W||_1

    The penalty compares weights, so columns should be of comparable size: see `unit_scale`. With
    penalty at least max |A^T B| / n all weights are 0. Without rows so are they.

    Args:
      start: weights to start from.
      intercept: with a bias, which is not penalised; otherwise it is 0.
      max_steps, tolerance: see `coordinate_descent`.

    >>> import jax.numpy as jnp
    >>> a = jnp.array([[1.0, 1.0], [1.0, -1.0]])
    >>> found = sparse_prediction(a, a @ jnp.array([[2.0], [0.3]]), penalty=0.5)
    >>> found.weights.tolist()
    [[1.5], [0.0]]
    """
    a, b = geometry.in_float32(a), geometry.in_float32(b)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f'b: expected as many rows as a has ({a.shape[0]}), got {b.shape[0]}')
    n = max(a.shape[0], 1)
    mean_a, mean_b = jnp.sum(a, axis=0) / n, jnp.sum(b, axis=0) / n
    if intercept:
        a, b = a - mean_a[None, :], b - mean_b[None, :]
    found = coordinate_descent(
        geometry.matmul(a.T, a) / n, geometry.matmul(a.T, b) / n, penalty, start,
        max_steps=max_steps, tolerance=tolerance,
    )  # fmt: skip
    if not intercept:
        return found
    return found._replace(bias=mean_b - geometry.matmul(mean_a, found.weights))


def unit_scale(x: Float[Array, 'n p']) -> Float[Array, 'p']:
    """One over the standard deviation of every column; 0 for a constant one."""
    x = geometry.in_float32(x)
    # Around the first row, so that a constant column has a deviation of exactly 0.
    deviation = jnp.std(x - x[:1], axis=0) if len(x) else jnp.zeros(x.shape[1], x.dtype)
    varies = deviation > 0
    return jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0)


def nonzeros_per_unit(
    weights: Float[Array, '*s p q'], threshold: Scalar = 0.0
) -> Int[Array, '*s q']:
    """How many units each unit is predicted from: weights larger than `threshold`, without sign."""
    return jnp.sum(jnp.abs(weights) > threshold, axis=-2).astype(jnp.int32)
