"""Accuracy of logistic regression on the embeddings, fitted on train, measured on test."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, classes, vectors
from jaxsep.metrics.probes import logistic_probe, probe_logits

NEEDS = ('train', 'test')


def evaluate(
    splits: Splits,
    *,
    label: str = 'label',
    output: str = 'embedding',
    l2: float = 1e-4,
    max_steps: int = 500,
) -> dict[str, float]:
    """Accuracy of a linear probe on embeddings standardised with the training statistics.

    Minimises mean cross-entropy + 0.5 l2 ||W||^2 by L-BFGS. A feature that is constant
    on the training split is left out.

    Args:
      splits: 'train' and 'test', each a dict of columns with `output` and `label`.
      label: the label column to predict. Test labels that training never saw count as
        errors.
      output: the named output that is probed.
      l2: weight decay; 1 / (C n) in scikit-learn's terms.
      max_steps: of L-BFGS, which usually stops by itself.

    Returns:
      'linear_probe_accuracy' and 'linear_probe_balanced_accuracy', the mean of the
      accuracies on each class of the test split.
    """
    (train_labels, test_labels), num_classes = classes(splits, NEEDS, label)
    if not l2 > 0:
        raise ValueError(f'l2 must be positive, got {l2}')
    if max_steps < 1:
        raise ValueError(f'max_steps must be at least 1, got {max_steps}')
    train, test = vectors(splits, 'train', output), vectors(splits, 'test', output)
    predicted = _predict(
        jnp.asarray(train), jnp.asarray(train_labels), jnp.asarray(test), l2, num_classes, max_steps
    )
    right = np.asarray(predicted) == test_labels
    sizes = np.bincount(test_labels, minlength=num_classes)
    right_per_class = np.bincount(test_labels, weights=right, minlength=num_classes)
    return {
        'linear_probe_accuracy': float(right.mean()),
        'linear_probe_balanced_accuracy': float(
            np.mean(right_per_class[sizes > 0] / sizes[sizes > 0])
        ),
    }


@jax.jit(static_argnames=('num_classes', 'max_steps'))
def _predict(train, train_labels, test, l2, num_classes, max_steps):
    """The classes of the test points by a probe of the standardised training points."""
    train, test = train.astype(jnp.float32), test.astype(jnp.float32)
    middle = jnp.mean(train, axis=0, keepdims=True)
    width = jnp.std(train, axis=0, keepdims=True)
    # The mean of equal numbers is off by rounding; such a width is no signal.
    varies = width > 1e-6 * jnp.abs(middle)
    scale = jnp.where(varies, 1.0 / jnp.where(varies, width, 1.0), 0.0)
    weights, bias = logistic_probe(
        (train - middle) * scale, train_labels, num_classes, 1.0 / (l2 * len(train)), max_steps
    )
    return jnp.argmax(probe_logits((test - middle) * scale, weights, bias), axis=-1)
