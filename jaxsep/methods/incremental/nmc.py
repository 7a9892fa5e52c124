"""NMC: A Simple Baseline that Questions Pretrained Models in Continual Learning (Janson et al., 2022).

Continual classification without learning anything: a frozen encoder, the mean of the unit features
of each class, and the nearest mean. Since sums and counts add up, it does not matter in how many
sessions the classes came, nor in which order. What a continual method has to beat.

https://arxiv.org/abs/2210.04428. The encoder is `config.encoder` (an earlier stage or a pretrained
one) or nothing, where the rows themselves are the features. As in the released code, means are
not scaled to unit norm again; `metric='cosine'` does that. `metric='lda'` adds one covariance for all
classes, streaming linear discriminant analysis (Hayes & Kanan, 2020), which merges as exactly.
"""

import jax.numpy as jnp

from jaxsep.algorithms import class_means, streaming_lda
from jaxsep.method import Estimator
from jaxsep.ops.geometry import l2_normalize
from jaxsep.ops.rows import feature_rows


def make(
    *,
    num_classes: int,
    label: str = 'label',
    metric: str = 'euclidean',
    shrinkage: float = 1e-4,
    input: str | None = None,
) -> Estimator:
    """Nearest class means as an Estimator.

    Outputs `logits` [b, k] (minus the distance to each mean, the cosine, or the discriminant; -inf
    for classes without rows) and `embedding`, the unit features.

    Args:
      num_classes: a fact of the data.
      label: the label column whose classes get means.
      metric: 'euclidean', the paper's; 'cosine', to means of unit norm, or 'lda', ours.
      shrinkage: of the covariance of 'lda' towards the identity; Hayes and Kanan's.
      input: the column of features; None for `embedding`, else `features`, else `image`.
    """
    if metric not in ('euclidean', 'cosine', 'lda'):
        raise ValueError(f"metric: expected 'euclidean', 'cosine' or 'lda', got {metric!r}")
    if not 0 < shrinkage <= 1:
        raise ValueError(f'shrinkage: expected 0 < shrinkage <= 1, got {shrinkage}')
    learner = streaming_lda if metric == 'lda' else class_means

    def fit(key, data):
        del key
        if label not in data:
            raise ValueError(f'label: no column {label!r}; there are {sorted(data)}')
        x = feature_rows(data, input)
        return learner.update(learner.empty(num_classes, x.shape[1]), x, jnp.asarray(data[label]))

    def outputs(fitted, batch):
        x = feature_rows(batch, input)
        if metric == 'lda':
            logits = streaming_lda.scores(fitted, x, shrinkage=shrinkage)
        else:
            logits = class_means.scores(fitted, x, metric)
        return {'logits': logits, 'embedding': l2_normalize(x)}

    return Estimator(fit, outputs)
