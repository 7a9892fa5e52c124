"""Losses of a student against a teacher that gets no gradient: BYOL, SimSiam, DINO, logits, features.

With `axis_name`, inside pmap or shard_map, each device brings its own rows and returns the
value of the rows of all devices.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.losses.contrastive import Scalar
from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32, l2_normalize
from jaxsep.ops.softmax import log_softmax, softmax


def byol(
    p: Float[Array, 'b d'], z: Float[Array, 'b d'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """The squared distance of predictions and targets as unit vectors.

    mean_i (2 - 2 cos(p_i, z_i)). No gradient flows into z. For two views, the sum of both
    directions is the paper's loss. A zero vector has cosine 0 with everything.

    Empty case: 0.

    Source: Grill 2020, equation 2, https://arxiv.org/abs/2006.07733
    """
    return devices.mean(2.0 - 2.0 * _cosines(p, z), axis_name)


def simsiam(
    p: Float[Array, 'b d'], z: Float[Array, 'b d'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """The negative cosine of predictions and targets.

    -mean_i cos(p_i, z_i). No gradient flows into z. For two views, the mean of both
    directions is the paper's loss. A zero vector has cosine 0 with everything.

    Empty case: 0.

    Source: Chen 2021, equation 1, https://arxiv.org/abs/2011.10566
    """
    return devices.mean(-_cosines(p, z), axis_name)


def dino(
    student: Float[Array, 'v b k'],
    teacher: Float[Array, 'g b k'],
    center: Float[Array, 'k'],
    *,
    student_temperature: Scalar = 0.1,
    teacher_temperature: Scalar = 0.04,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of the student's views with the centred, sharpened teacher's other views.

    `cross_view_entropy` of softmax((teacher - center)/teacher_temperature) and
    student/student_temperature. The first g of the v views are the global ones, which the
    teacher sees; a view is not compared with itself. No gradient flows into teacher and
    center. The center is used as it is: `update_center` follows.

    Empty case: 0 without rows, and for a single view.

    Source: Caron 2021, algorithm 1 and equation 4, https://arxiv.org/abs/2104.14294
    """
    for name, value in (
        ('student_temperature', student_temperature),
        ('teacher_temperature', teacher_temperature),
    ):
        if isinstance(value, (int, float)) and not value > 0:
            raise ValueError(f'{name} must be positive, got {value}')
    teacher, center = jax.lax.stop_gradient((in_float32(teacher), in_float32(center)))
    targets = softmax((teacher - center[None, None, :]) / teacher_temperature)
    logits = in_float32(student) / student_temperature
    return cross_view_entropy(targets, logits, axis_name=axis_name)


def update_center(
    center: Float[Array, 'k'],
    teacher: Float[Array, 'g b k'],
    momentum: Scalar = 0.9,
    *,
    axis_name: str | None = None,
) -> Float[Array, 'k']:
    """The teacher's running mean after a batch.

    momentum center + (1 - momentum) mean_{g,b} teacher. No gradient flows through.

    Empty case: an empty batch leaves the center as it was.

    >>> import jax.numpy as jnp
    >>> print(update_center(jnp.zeros(2), jnp.array([[[1.0, 3.0]]]), 0.5))
    [0.5 1.5]

    Source: Caron 2021, equation 4, https://arxiv.org/abs/2104.14294
    """
    center, teacher = jax.lax.stop_gradient((in_float32(center), in_float32(teacher)))
    if teacher.shape[0] * teacher.shape[1] == 0:
        return center
    mean = jnp.mean(teacher, axis=(0, 1))
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    return momentum * center + (1.0 - momentum) * mean


def cross_view_entropy(
    targets: Float[Array, 'g b k'],
    logits: Float[Array, 'v b k'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy of each view with the targets made from other views of the same items.

    mean over pairs (i, v), v != i, of mean_b -sum_k targets_ibk log_softmax(logits_v)_bk.
    The first g of the v views are those the targets were made from. The rows of targets
    are probabilities; they are differentiated if the caller does not stop that.

    Empty case: 0 without rows, and without a pair of different views.
    """
    num_targets, num_views = len(targets), len(logits)
    if num_targets > num_views:
        raise ValueError(
            f'logits: expected at least the {num_targets} views of the targets, got {num_views}'
        )
    log_probability = log_softmax(logits)
    # Products of all pairs [g v] per row, then the mean over the rows.
    entropy = -jnp.einsum(
        'gbk,vbk->bgv', in_float32(targets), log_probability, precision=jax.lax.Precision.HIGHEST
    )
    different = ~jnp.eye(num_targets, num_views, dtype=bool)
    pairs = max(num_targets * (num_views - 1), 1)
    return devices.mean(
        jnp.sum(jnp.where(different[None], entropy, 0.0), (1, 2)) / pairs, axis_name
    )


def knowledge_distillation(
    student: Float[Array, 'b k'],
    teacher: Float[Array, 'b k'],
    labels: Int[Array, 'b'],
    *,
    alpha: float = 0.5,
    temperature: float = 1.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Cross-entropy with the labels, mixed with the divergence from the teacher's softened classes.

    alpha CE(student, labels) + (1 - alpha) T^2 mean_b KL(softmax(teacher / T) || softmax(student / T)).
    No gradient flows into the teacher.

    Empty case: 0.

    Args:
      student, teacher: logits.
      alpha: 1 for the labels alone.
      temperature: T; its square keeps the size of the gradient.

    Source: Hinton 2015, section 2, https://arxiv.org/abs/1503.02531
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha: expected a share from 0 to 1, got {alpha}')
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    teacher = jax.lax.stop_gradient(in_float32(teacher)) / temperature
    target, known = softmax(teacher), log_softmax(teacher)
    divergence = jnp.sum(target * (known - log_softmax(in_float32(student) / temperature)), axis=-1)
    own = cross_entropy(student, labels, axis_name=axis_name)
    soft = temperature**2 * devices.mean(divergence, axis_name)
    return alpha * own + (1.0 - alpha) * soft


def squared_errors(
    student: Sequence[Float[Array, 'b ...']], teacher: Sequence[Float[Array, 'b ...']]
) -> Float[Array, 'b']:
    """How far a student's features are from a teacher's at several depths, for each example.

    sum over depths of the sum over all entries of (student - teacher)^2; a sum, so that large maps
    weigh more. No gradient flows into the teacher.

    Args:
      student, teacher: one map per depth, of equal shapes; at least one.

    Source: Matsubara 2022, equation 2, https://arxiv.org/abs/2108.11898
    """
    shapes = [[x.shape for x in maps] for maps in (student, teacher)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ValueError(f'student: expected maps of the shapes {shapes[1]}, got {shapes[0]}')
    apart = [
        in_float32(s) - jax.lax.stop_gradient(in_float32(t))
        for s, t in zip(student, teacher, strict=True)
    ]
    return sum(jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim))) for x in apart)


def _cosines(p, z):
    return jnp.sum(l2_normalize(p) * l2_normalize(jax.lax.stop_gradient(z)), axis=-1)
