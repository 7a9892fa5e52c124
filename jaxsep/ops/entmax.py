"""Probabilities from logits that can be exactly 0: sparsemax, 1.5-entmax, alpha-entmax.

    entmax_alpha(x) = argmax over distributions p of  p.x + (1 - sum_i p_i^alpha) / (alpha (alpha - 1))
                    = max((alpha - 1) x - tau, 0)^(1 / (alpha - 1)),  tau such that it sums to 1

alpha = 1 is the softmax, 2 sparsemax, and the larger alpha, the fewer entries are above 0. Gradients
are written from p alone: with s = p^(2 - alpha) on the support and 0 elsewhere,
dx = s g - s sum(s g) / sum(s).

Logits of -inf are left out; without any other, all probabilities are 0 and so are gradients.

Source: Martins 2016, https://arxiv.org/abs/1602.02068; Peters 2019, https://arxiv.org/abs/1905.05702;
the gradient in alpha: Correia 2019, https://arxiv.org/abs/1909.00015.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, sqrt

Alpha = float | int | Float[Array, '...']


def entmax(x: Float[Array, '...'], alpha: Alpha = 1.5, axis: int = -1) -> Float[Array, '...']:
    """alpha-entmax along an axis, by the best way there is for this alpha.

    Softmax for the number 1, exact for 1.5 and 2, otherwise `entmax_bisect`.

    >>> import jax.numpy as jnp
    >>> entmax(jnp.array([1.0, 0.5, -3.0]), 2).tolist()
    [0.75, 0.25, 0.0]
    """
    if isinstance(alpha, int | float):
        if alpha == 1:
            return _softmax(x, axis)
        if alpha in (1.5, 2):
            return entmax15(x, axis) if alpha == 1.5 else sparsemax(x, axis)
    return entmax_bisect(x, alpha, axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def sparsemax(x: Float[Array, '...'], axis: int = -1) -> Float[Array, '...']:
    """The point of the probability simplex that is nearest to x: entmax of alpha 2, exact by a sort.

    >>> import jax.numpy as jnp
    >>> sparsemax(jnp.array([3.0, 0.0, 0.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    shifted, descending, rho = _sorted(x, 1.0, axis)
    totals = jnp.cumsum(descending, axis=-1)
    size = jnp.sum(rho * descending > totals - 1.0, axis=-1, keepdims=True)
    tau = (jnp.take_along_axis(totals, size - 1, axis=-1) - 1.0) / size
    return _finish(jnp.maximum(shifted - tau, 0.0), x, axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def entmax15(x: Float[Array, '...'], axis: int = -1) -> Float[Array, '...']:
    """Exact entmax of alpha 1.5, by a sort.

    p = max(x / 2 - tau, 0)^2; of the k largest z = x / 2, with mean m and sum of squared deviations
    v, tau_k = m - sqrt((1 - v) / k), and k is the largest for which tau_k <= z_k.

    >>> import jax.numpy as jnp
    >>> entmax15(jnp.array([0.0, 0.0, -9.0])).tolist()
    [0.5, 0.5, 0.0]
    """
    shifted, descending, rho = _sorted(x, 0.5, axis)
    means = jnp.cumsum(descending, axis=-1) / rho
    deviations = jnp.cumsum(jnp.square(descending), axis=-1) - rho * jnp.square(means)
    taus = means - sqrt((1.0 - deviations) / rho)
    size = jnp.sum(taus <= descending, axis=-1, keepdims=True)
    tau = jnp.take_along_axis(taus, size - 1, axis=-1)
    return _finish(jnp.square(jnp.maximum(shifted - tau, 0.0)), x, axis)


def entmax_bisect(
    x: Float[Array, '...'], alpha: Alpha = 1.5, axis: int = -1, num_iterations: int = 50
) -> Float[Array, '...']:
    """The entmax of any alpha >= 1 by bisection for tau, differentiable in alpha too.

    tau lies between max z - 1 and max z - n^(1 - alpha), z = (alpha - 1) x; the result is scaled to
    sum to 1. With h = s / sum(s), the gradient in alpha of a row is

        sum_i g_i ( (p_i - h_i) / (alpha - 1)^2 - (p_i log p_i - h_i sum_j p_j log p_j) / (alpha - 1) )

    and near 1, where that is lost in rounding, its limit sum_i g_i (p_i sum_j p_j log^2 p_j - p_i
    log^2 p_i) / 2.

    Args:
      alpha: a number, or an array that broadcasts against `x` with size 1 along `axis`: one per
        row, one per head ...
    """
    if isinstance(alpha, int | float) and alpha < 1:
        raise ValueError(f'alpha: expected a number of at least 1, got {alpha}')
    if num_iterations < 1:
        raise ValueError(f'num_iterations: expected a positive integer, got {num_iterations}')
    x = jnp.moveaxis(in_float32(x), axis, -1)
    alpha = jnp.asarray(alpha, x.dtype)
    if alpha.ndim:
        if alpha.ndim != x.ndim or jnp.moveaxis(alpha, axis, -1).shape[-1] != 1:
            raise ValueError(
                f'alpha: expected a number, or as many axes as x and size 1 along axis {axis}, '
                f'got shape {alpha.shape}'
            )
        alpha = jnp.moveaxis(alpha, axis, -1)
    alpha = jnp.broadcast_to(alpha, (*x.shape[:-1], 1))
    return jnp.moveaxis(_bisect(x, alpha, num_iterations), -1, axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _bisect(x, alpha, num_iterations):
    shifted = _below_largest(x)
    is_softmax = alpha <= 1.0
    order = jnp.where(is_softmax, 2.0, alpha) - 1.0
    z = shifted * order
    low = jnp.full(alpha.shape, -1.0, x.dtype)
    width = 1.0 - jnp.power(jnp.asarray(x.shape[-1], x.dtype), -order)

    def mass(tau):
        positive = z > tau
        base = jnp.where(positive, z - tau, 1.0)
        return jnp.where(positive, jnp.power(base, 1.0 / order), 0.0)

    def halve(state, _):
        low, width = state
        width = 0.5 * width
        enough = jnp.sum(mass(low + width), axis=-1, keepdims=True) >= 1.0
        return (jnp.where(enough, low + width, low), width), None

    (low, _), _ = jax.lax.scan(halve, (low, width), length=num_iterations)
    p = mass(low)
    total = jnp.sum(p, axis=-1, keepdims=True)
    p = p / jnp.where(total > 0, total, 1.0)
    return jnp.where(is_softmax, _softmax(x, -1), p)


def _bisect_forward(x, alpha, num_iterations):
    p = _bisect(x, alpha, num_iterations)
    return p, (p, alpha)


def _bisect_backward(num_iterations, saved, g):
    p, alpha = saved
    alpha = jnp.maximum(alpha, 1.0)
    support = p > 0
    inside = jnp.where(support, p, 1.0)
    s = jnp.where(support, jnp.power(inside, 2.0 - alpha), 0.0)
    total = jnp.sum(s, axis=-1, keepdims=True)
    h = s / jnp.where(total > 0, total, 1.0)
    log = jnp.log(inside)
    order = alpha - 1.0
    near = order < jnp.cbrt(jnp.finfo(p.dtype).eps)
    order = jnp.where(near, 1.0, order)
    entropy_part = p * log - h * jnp.sum(p * log, axis=-1, keepdims=True)
    general = (p - h) / jnp.square(order) - entropy_part / order
    squares = p * jnp.square(log)
    limit = 0.5 * (p * jnp.sum(squares, axis=-1, keepdims=True) - squares)
    slope = jnp.where(near, limit, general)
    return _through(s, g), jnp.sum(g * slope, axis=-1, keepdims=True)


_bisect.defvjp(_bisect_forward, _bisect_backward)


def _through(s, g, axis=-1):
    """The cotangent of the logits: s g - s sum(s g) / sum(s)."""
    total = jnp.sum(s, axis=axis, keepdims=True)
    weighted = s * g
    mean = jnp.sum(weighted, axis=axis, keepdims=True) / jnp.where(total > 0, total, 1.0)
    return weighted - s * mean


def _sparsemax_forward(x, axis):
    p = sparsemax(x, axis)
    return p, (p, jnp.zeros((), x.dtype))


def _sparsemax_backward(axis, saved, g):
    p, like = saved
    return (_through((p > 0).astype(p.dtype), g, axis).astype(like.dtype),)


sparsemax.defvjp(_sparsemax_forward, _sparsemax_backward)


def _entmax15_forward(x, axis):
    p = entmax15(x, axis)
    return p, (p, jnp.zeros((), x.dtype))


def _entmax15_backward(axis, saved, g):
    p, like = saved
    return (_through(sqrt(p), g, axis).astype(like.dtype),)


entmax15.defvjp(_entmax15_forward, _entmax15_backward)


def _softmax(x, axis):
    x = in_float32(x)
    some = jnp.any(x > -jnp.inf, axis=axis, keepdims=True)
    return jnp.where(some, jax.nn.softmax(jnp.where(some, x, 0.0), axis=axis), 0.0)


def _below_largest(x):
    """Logits minus their largest entry along the last axis; -inf stays -inf."""
    largest = jnp.max(x, axis=-1, keepdims=True)
    return x - jnp.where(largest == -jnp.inf, 0.0, largest)


def _sorted(x, factor, axis):
    """Scaled logits below their largest, the same in descending order, and the ranks from 1.

    What is 1 below the largest has probability 0: cut off at 2 below, so that sums stay exact.
    """
    x = jnp.moveaxis(in_float32(x), axis, -1)
    shifted = jnp.maximum(factor * _below_largest(x), -2.0)
    rho = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    rho = rho.reshape((1,) * (x.ndim - 1) + (-1,))
    return shifted, -jnp.sort(-shifted, axis=-1), rho


def _finish(p, x, axis):
    """Scaled to sum to 1, zeros without logits, the axis back in its place."""
    p = p / jnp.sum(p, axis=-1, keepdims=True)
    p = jnp.moveaxis(p, -1, axis)
    return jnp.where(jnp.any(x > -jnp.inf, axis=axis, keepdims=True), p, 0.0)
