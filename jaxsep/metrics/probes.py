"""Linear probes: what a linear classifier reads from a representation.

Both return (weights [k, d], bias [k]) for `probe_logits`. A class that no training
point carries gets bias -inf, hence probability 0.
"""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxsep.metrics.scatter import class_counts
from jaxsep.ops.geometry import in_float32, power_of_two

HIGHEST = jax.lax.Precision.HIGHEST


def probe_logits(
    x: Float[Array, 'n d'], weights: Float[Array, 'k d'], bias: Float[Array, 'k']
) -> Float[Array, 'n k']:
    """The linear map of a probe: x W^T + b."""
    return jnp.matmul(in_float32(x), weights.T, precision=HIGHEST) + bias[None, :]


def _present(labels, num_classes):
    """Which classes have points; all of them if there is no point at all."""
    present = class_counts(labels, num_classes) > 0
    return present | ~jnp.any(present)


def _uncentred(weights, bias, middle, present):
    """The probe of x, from that of x - middle."""
    bias = bias - jnp.matmul(weights, middle, precision=HIGHEST)
    return weights, jnp.where(present, bias, -jnp.inf)


@functools.partial(jax.jit, static_argnames=('num_classes', 'max_steps'))
def logistic_probe(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_classes: int,
    inverse_regularization: float | Float[Array, ''] = 1.0,
    max_steps: int = 500,
) -> tuple[Float[Array, 'k d'], Float[Array, 'k']]:
    """Multinomial logistic regression, the minimum of a strictly convex objective.

    0.5 ||W||^2 + C sum_i cross_entropy(W x_i + b, y_i), bias free, as in scikit-learn.
    The minimum is unique up to a constant added to b; the mean of b over the present
    classes is 0 at the mean of x. L-BFGS (optax) runs in one compiled loop until the
    gradient of the objective divided by C n is shorter than 1e-6 (float64: 1e-9), until
    a step changes nothing any more, or for `max_steps`.

    Args:
      inverse_regularization: C.
    """
    x = in_float32(x)
    middle = jnp.mean(x, axis=0)
    x = x - middle[None, :]  # the bias is free, so this changes only the conditioning
    present = _present(labels, num_classes)
    decay = 1.0 / (inverse_regularization * max(labels.shape[0], 1))

    def objective(params):
        weights, bias = params
        logits = jnp.where(present[None, :], probe_logits(x, weights, bias), -jnp.inf)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses) + 0.5 * decay * jnp.sum(weights * weights)

    optimizer = optax.lbfgs(memory_size=10)
    value_and_grad = optax.value_and_grad_from_state(objective)
    tolerance = 1e-9 if x.dtype == jnp.float64 else 1e-6

    def unfinished(carry):
        params, state, moved = carry
        gradient = optax.tree.get(state, 'grad')
        step = optax.tree.get(state, 'count')
        length = optax.tree.norm(gradient)
        return (step == 0) | ((step < max_steps) & moved & (length > tolerance))

    def improve(carry):
        params, state, _ = carry
        value, gradient = value_and_grad(params, state=state)
        updates, state = optimizer.update(
            gradient, state, params, value=value, grad=gradient, value_fn=objective
        )
        improved = optax.apply_updates(params, updates)
        moved = jnp.any(jnp.stack([jnp.any(a != b) for a, b in zip(params, improved, strict=True)]))
        return improved, state, moved

    start = (jnp.zeros((num_classes, x.shape[1]), x.dtype), jnp.zeros((num_classes,), x.dtype))
    (weights, bias), _, _ = jax.lax.while_loop(
        unfinished, improve, (start, optimizer.init(start), jnp.array(True))
    )
    total = jnp.sum(jnp.where(present, bias, 0.0))
    return _uncentred(weights, bias - total / jnp.sum(present), middle, present)


@functools.partial(jax.jit, static_argnames=('num_classes',))
def ridge_probe(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_classes: int,
    alpha: float | Float[Array, ''] = 1.0,
) -> tuple[Float[Array, 'k d'], Float[Array, 'k']]:
    """Least squares on targets +1 (own class) and -1 (others), in closed form.

    min over W, b of ||X W^T + b - T||^2 + alpha ||W||^2, bias free; the class is the
    arg-max. `alpha` must be positive where the features are linearly dependent. Where it is lost
    in the rounding of large features that depend on one another, and nothing finite comes out,
    4 d times the rounding of the largest sum of squares takes its place.
    """
    x = in_float32(x)
    middle = jnp.mean(x, axis=0)
    x = x - middle[None, :]
    power = power_of_two(x)
    x, alpha = x / power, jnp.squeeze(alpha / power / power)
    targets = 2.0 * jax.nn.one_hot(labels, num_classes, dtype=x.dtype) - 1.0
    bias = jnp.mean(targets, axis=0)
    gram = jnp.matmul(x.T, x, precision=HIGHEST)
    products = jnp.matmul(x.T, targets - bias[None, :], precision=HIGHEST)

    def solve(ridge):
        matrix = gram + ridge * jnp.eye(len(gram), dtype=x.dtype)
        return jax.scipy.linalg.solve(matrix, products, assume_a='pos').T

    weights = solve(alpha)
    rounding = 4 * len(gram) * jnp.finfo(x.dtype).eps * jnp.max(jnp.diagonal(gram), initial=0.0)
    solved = jnp.all(jnp.isfinite(weights))
    weights = jax.lax.cond(solved, lambda: weights, lambda: solve(rounding)) / power
    return _uncentred(weights, bias, middle, _present(labels, num_classes))
