"""AUC, log loss and accuracy of one logit per row against a label of two classes."""

import jax.numpy as jnp
import numpy as np

from jaxsep.evals.columns import Splits, column, vectors
from jaxsep.metrics import binary

NEEDS = ('test',)


def evaluate(
    splits: Splits, *, label: str = 'label', output: str = 'logits', split: str = 'test'
) -> dict[str, float]:
    """How well the logits of a split tell label 1 from label 0.

    The log loss is that of probabilities clipped to [1e-6, 1 - 1e-6], as click-through rates are
    reported; accuracy is at logit 0.

    Args:
      label: a column of 0 and 1, both present.
      output: the named output with the log-odds of label 1, [b] or [b, 1].
      split: 'test'.

    Returns:
      'auc', 'logloss' and 'accuracy'.
    """
    logits, labels = vectors(splits, split, output), column(splits, split, label)
    if logits.shape[1] != 1:
        raise ValueError(f'output {output!r}: expected one logit per row, got {logits.shape[1]}')
    if labels.ndim != 1 or set(np.unique(labels)) != {0, 1}:
        raise ValueError(
            f'column {label!r} of split {split!r}: expected labels 0 and 1, both present, '
            f'got {np.unique(labels)[:5].tolist()} in shape {labels.shape}'
        )
    logits, labels = logits[:, 0], labels.astype(np.int32)
    exact = logits.astype(np.float64)
    probabilities = np.clip(0.5 * (1.0 + np.tanh(0.5 * exact)), 1e-6, 1 - 1e-6)
    losses = -np.log(np.where(labels == 1, probabilities, 1 - probabilities))
    return {
        'auc': binary.exact_auc(logits, labels),
        'logloss': float(losses.mean()),
        'accuracy': float(binary.accuracy(jnp.asarray(logits), jnp.asarray(labels))),
    }
