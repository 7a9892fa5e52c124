"""NMC: A Simple Baseline that Questions Pretrained Models in Continual Learning (Janson et al., 2022).

Continual classification without learning anything: a frozen encoder, the mean of the unit features
of each class, and the nearest mean. Since sums and counts add up, it does not matter in how many
sessions the classes came, nor in which order. What a continual method has to beat.

https://arxiv.org/abs/2210.04428. The encoder is `config.encoder` (an earlier stage or a pretrained
one) or nothing, where the rows themselves are the features. As in the released code, means are
not scaled to unit norm again; `metric='cosine'` does that.
"""

import jax.numpy as jnp

from jaxsep.algorithms.class_means import empty, scores, update
from jaxsep.method import Estimator
from jaxsep.ops.geometry import l2_normalize
from jaxsep.ops.rows import feature_rows


def make(
    *,
    num_classes: int,
    label: str = 'label',
    metric: str = 'euclidean',
    input: str | None = None,
) -> Estimator:
    """Nearest class means as an Estimator.

    Outputs `logits` [b, k] (minus the distance to each mean, or the cosine; -inf for classes
    without rows) and `embedding`, the unit features.

    Args:
      num_classes: a fact of the data.
      label: the label column whose classes get means.
      metric: 'euclidean', the paper's, or 'cosine', to means of unit norm; ours.
      input: the column of features; None for `embedding`, else `features`, else `image`.
    """
    if metric not in ('euclidean', 'cosine'):
        raise ValueError(f"metric: expected 'euclidean' or 'cosine', got {metric!r}")

    def fit(key, data):
        del key
        if label not in data:
            raise ValueError(f'label: no column {label!r}; there are {sorted(data)}')
        x = feature_rows(data, input)
        return update(empty(num_classes, x.shape[1]), x, jnp.asarray(data[label]))

    def outputs(fitted, batch):
        x = feature_rows(batch, input)
        return {'logits': scores(fitted, x, metric), 'embedding': l2_normalize(x)}

    return Estimator(fit, outputs)
