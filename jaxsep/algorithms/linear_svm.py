"""Linear support vector machines with the squared hinge, one for each class, solved exactly."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.ops.geometry import in_float32, matmul

HALVINGS = 20


class LinearSvm(NamedTuple):
    """One-vs-rest classifiers; the score of x for class c is weights[c] . x + bias[c].

    Attributes:
      objective: what each minimises, at its minimum.
      converged: whether each is there, within the rounding of its numbers.
    """

    weights: Float[Array, 'k d']
    bias: Float[Array, 'k']
    objective: Float[Array, 'k']
    converged: Bool[Array, 'k']


def svm_scores(svm: LinearSvm, x: Float[Array, '*n d']) -> Float[Array, '*n k']:
    """The score of each row for each class; the largest one decides."""
    scores = matmul(in_float32(x), svm.weights.T)
    return scores + svm.bias.reshape((1,) * (scores.ndim - 1) + (-1,))


@functools.partial(jax.jit, static_argnames=('num_classes', 'max_steps'))
def linear_svm_ovr(
    x: Float[Array, 'n d'],
    labels: Int[Array, 'n'],
    num_classes: int,
    c: float | int | Float[Array, ''] = 1.0,
    max_steps: int = 50,
) -> LinearSvm:
    """Linear classifiers of each class against the rest, as scikit-learn's `LinearSVC`.

    min 0.5 (||w||^2 + b^2) + C sum_i max(0, 1 - s_i (w . x_i + b))^2, s_i = 1 where the label is
    the class, else -1: the bias is the weight of one more feature that is 1, and regularised. The
    objective is strictly convex and piecewise quadratic. Newton's method solves the least squares
    of the rows within the margin, steps there or half as far, ..., until nothing gets
    better; it ends after finitely many steps at the minimum (Keerthi & DeCoste, 2005). With
    fewer rows than features all of it happens in their span. A class without rows has w = 0 and
    b near -1; without any row everything is 0.

    Args:
      c: C, the weight of the errors.
      max_steps: bound on the Newton steps; ten are usual.

    Raises:
      ValueError: for fewer than one class.
    """
    if num_classes < 1:
        raise ValueError(f'num_classes: expected at least 1, got {num_classes}')
    x = in_float32(x)
    x = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    n, d = x.shape
    if n < d:
        basis, triangle = jnp.linalg.qr(x.T)  # x = triangle' basis'
        rows, lift = triangle.T, basis
    else:
        rows, lift = x, jnp.eye(d, dtype=x.dtype)

    def one(number):
        sides = jnp.where(labels == number, 1.0, -1.0).astype(x.dtype)

        def objective(w):
            missing = jnp.maximum(1.0 - sides * matmul(rows, w), 0.0)
            return 0.5 * jnp.sum(w * w) + c * jnp.sum(missing * missing)

        def within(w):
            return sides * matmul(rows, w) < 1.0

        def improve(carry):
            w, value, step, _ = carry
            active = rows * within(w).astype(x.dtype)[:, None]
            hessian = jnp.eye(rows.shape[1], dtype=x.dtype) + 2.0 * c * matmul(active.T, active)
            target = 2.0 * c * matmul(active.T, sides)
            wanted = jax.scipy.linalg.solve(hessian, target, assume_a='pos')

            def halve(trial):
                length, _, count = trial
                length = 0.5 * length
                return length, objective(w + length * (wanted - w)), count + 1

            def too_far(trial):
                _, reached, count = trial
                return (reached >= value) & (count < HALVINGS)

            first = jnp.ones((), x.dtype), objective(wanted), 0
            length, reached, _ = jax.lax.while_loop(too_far, halve, first)
            better = reached < value
            moved = jnp.where(better, w + length * (wanted - w), w)
            # The minimum of the quadratic of these rows is the one of all if the rows stay the same.
            same = jnp.all(within(moved) == within(w)) & (length == 1.0)
            return moved, jnp.minimum(reached, value), step + 1, same | ~better

        def unfinished(carry):
            _, _, step, done = carry
            return (step < max_steps) & ~done

        start = jnp.zeros(rows.shape[1], x.dtype)
        begin = start, objective(start), 0, jnp.array(False)
        w, value, _, done = jax.lax.while_loop(unfinished, improve, begin)
        w = matmul(lift, w)
        return w[:-1], w[-1], value, done

    return LinearSvm(*jax.lax.map(one, jnp.arange(num_classes)))
