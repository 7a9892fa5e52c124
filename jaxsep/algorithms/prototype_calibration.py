"""Prototypes of new classes from few shots, moved towards the base classes they resemble.

Of a new class only a handful of rows is known, and their mean is noisy; rows of it are mistaken
for base classes. What base classes look like is known well, and a new class resembles some of
them: its prototype is shifted to a mixture of theirs. Nothing is trained.

TEEN (Wang et al., 2023), section 4, https://arxiv.org/abs/2312.05229
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops.geometry import inner_products, l2_normalize


def resemblance(
    new: Float[Array, 'm d'], base: Float[Array, 'k d'], softmax_scale: Scalar = 16.0
) -> Float[Array, 'm k']:
    """How much each base class takes part in a new one: softmax over the base classes of
    softmax_scale times the cosine of the prototypes. Rows sum to 1.
    """
    cosines = inner_products(l2_normalize(new), l2_normalize(base))
    return jax.nn.softmax(softmax_scale * cosines, axis=-1)


def calibrate(
    new: Float[Array, 'm d'],
    base: Float[Array, 'k d'],
    *,
    softmax_scale: Scalar = 16.0,
    shift: Scalar = 0.5,
) -> Float[Array, 'm d']:
    """Prototypes of new classes moved towards the base prototypes they resemble.

    (1 - shift) p / |p| + shift d / |d| with d the sum of the unit base prototypes weighted by
    `resemblance`. The result is not scaled to unit norm again; cosine logits do that. Rows do not
    depend on one another, so the order of sessions does not matter. A zero prototype is
    treated as equally like all base classes.

    Args:
      new: mean features of the shots of each class, of any length.
      base: mean features of the base classes; only they are anchors, never earlier new classes.
      softmax_scale: tau in the paper; 16.
      shift: alpha in the paper; 0.1 for CIFAR-100, 0.5 for CUB and miniImageNet; 0 for none.

    >>> import jax.numpy as jnp
    >>> calibrate(jnp.array([[0.0, 2.0]]), jnp.array([[3.0, 0.0]]), shift=0.25).tolist()
    [[0.25, 0.75]]

    Source: Wang 2023, equations 5 and 6; `soft_calibration` of the code
    """
    weights = resemblance(new, base, softmax_scale)
    mixture = jnp.matmul(weights, l2_normalize(base), precision=jax.lax.Precision.HIGHEST)
    return (1.0 - shift) * l2_normalize(new) + shift * l2_normalize(mixture)
