"""Features of a new model that stay comparable with those of an old one (Biondi et al., 2024)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.ops import devices

MASKS = ('zero', 'exclude')


def higher_order_compatibility(
    new: Float[Array, 'b d'],
    old: Float[Array, 'b d'],
    labels: Int[Array, 'b'],
    *,
    scale: Scalar = 10.0,
    mask: str = 'zero',
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Contrastive loss between the features that two models give to the same rows.

    mean_n [ -s_nn + log sum_m exp(s_nm [y_n != y_m]) ] with s_nm = scale cos(old_n, new_m): each
    old feature looks for its new one among those of other classes. That aligns more than the
    class means. No gradient flows into `old`.

    With mask 'zero', as in the released code, a pair of the same class (and the row itself) is
    in the sum with exponent 0: a constant of 1 for each. 'exclude' leaves such pairs out; a row
    without any other class then gives -s_nn alone.

    Empty case: an empty batch gives 0. A zero vector has cosine 0 with everything.

    Args:
      new: features of the model that learns; normalised inside.
      old: features of the frozen model, row by row of the same examples.
      scale: mu in the paper; 10.

    Source: Biondi 2024, equation 8, https://arxiv.org/abs/2405.02581; `HocLoss` of the code
    """
    if mask not in MASKS:
        raise ValueError(f'mask: expected one of {MASKS}, got {mask!r}')
    if len(new) == 0:
        return jnp.zeros(())
    new, labels_all = devices.gather(new, axis_name), devices.gather(labels, axis_name)
    similarities = scale * cosine_similarities(jax.lax.stop_gradient(old), new)
    own = devices.positions(len(old), axis_name)[:, None] == jnp.arange(len(new))[None, :]
    matching = jnp.sum(jnp.where(own, similarities, 0.0), axis=1)
    same = labels[:, None] == labels_all[None, :]
    if mask == 'zero':
        others = jax.nn.logsumexp(jnp.where(same, 0.0, similarities), axis=1)
    else:
        alone = jnp.all(same, axis=1)
        kept = jnp.where(alone[:, None], 0.0, jnp.where(same, -jnp.inf, similarities))
        others = jnp.where(alone, 0.0, jax.nn.logsumexp(kept, axis=1))
    return devices.mean(others - matching, axis_name)
