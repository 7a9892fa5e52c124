"""SwAV: predicting the balanced cluster assignment of one view from another."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.losses.distillation import cross_view_entropy
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.sinkhorn import sinkhorn


def swav(
    scores_high: Float[Array, 'v b k'],
    scores_low: Float[Array, 'w b k'] | None = None,
    *,
    temperature: Scalar = 0.1,
    eps: float = 0.05,
    num_iterations: int = 3,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of all views with the codes of the other, high-resolution views.

    `cross_view_entropy` of sinkhorn(scores_high_i, eps), i = 1 ... v, and all v + w scores
    over temperature; the low-resolution views get no codes. No gradient flows into the
    codes. `scores` are those of `prototype_scores`. With `axis_name` the codes balance
    over the rows of all devices.

    Empty case: 0 without rows, and for a single view.

    Source: Caron 2020, equation 2 and section 3.3, https://arxiv.org/abs/2006.09882
    """
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    options = dict(eps=eps, num_iterations=num_iterations, axis_name=axis_name)
    codes = [sinkhorn(scores, **options) for scores in scores_high]
    targets = jnp.stack(codes) if codes else in_float32(scores_high)
    views = scores_high if scores_low is None else jnp.concatenate([scores_high, scores_low])
    return cross_view_entropy(targets, in_float32(views) / temperature, axis_name=axis_name)


def prototype_scores(
    z: Float[Array, 'b d'], prototypes: Float[Array, 'k d']
) -> Float[Array, 'b k']:
    """Cosines of the rows with the prototypes; both are normalised inside.

    Where the original scales its prototypes to unit norm after every step of the optimizer,
    this does so where they are used. A zero vector scores 0.

    Empty case: the empty array.

    Source: Caron 2020, section 3.1, https://arxiv.org/abs/2006.09882
    """
    return cosine_similarities(z, prototypes)
