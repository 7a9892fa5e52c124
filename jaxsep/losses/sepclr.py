"""SepCLR: what images have in common and what is salient to some of them (Louiset et al., 2024).

A background set shows common factors only, a target set common and salient ones. Two
networks give c and s. InfoMax on c over all images and on s over the targets, where the
s of the background is held at 0; and a large joint entropy H(c, s) leaves little that both
know, I(c; s) = H(c) + H(s) - H(c, s). Entropies are estimated with the Gaussian kernel
exp(-d^2 / (2 temperature)): the uniformity of `jaxsep.losses.sphere` at
t = 1 / (2 temperature), and `joint_entropy`. Rows are taken as they are where nothing else is said:
squares of entries beyond 1e18 overflow float32.

`axis_name` as in `jaxsep.losses.contrastive`. https://arxiv.org/abs/2402.11928;
https://github.com/neurospin-projects/2024_rlouiset_sep_clr
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.losses.sphere import uniformity
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32, l2_normalize, squared_distances

EQUAL_LABELS = 5e-6
"""The temperature at which `supervised_alignment` pulls only equal class numbers together."""


class Terms(NamedTuple):
    """The parts of the loss before they are weighted, each a scalar.

    Attributes:
      common_alignment, common_uniformity: L_C, InfoMax on c.
      salient_alignment, salient_uniformity: L_S, InfoMax on s.
      background: L_0, the salient code of a background image says nothing.
      joint: L_J, minus the estimated joint entropy.
    """

    common_alignment: Float[Array, '']
    common_uniformity: Float[Array, '']
    salient_alignment: Float[Array, '']
    salient_uniformity: Float[Array, '']
    background: Float[Array, '']
    joint: Float[Array, '']


def kernel_alignment(
    x: Float[Array, 'n d'],
    y: Float[Array, 'n d'],
    mask: Bool[Array, 'n'] | None = None,
    *,
    temperature: Scalar = 0.5,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Minus the mean logarithm of the Gaussian kernel of matching rows; small is aligned.

    mean_{i in mask} ||x_i - y_i||^2 / (2 temperature). Rows are not normalised.

    Empty case: no row in the mask gives 0 with zero gradient.

    Source: Louiset 2024; `align_loss` of the code, at alpha = 2
    """
    squares = jnp.sum(jnp.square(in_float32(x) - in_float32(y)), axis=-1)
    mask = jnp.ones(len(x), bool) if mask is None else mask
    kept = jnp.sum(jnp.where(mask, squares, 0.0)), jnp.sum(mask)
    sum_of_squares, count = devices.total(kept, axis_name)
    return sum_of_squares / jnp.maximum(count, 1) / (2.0 * temperature)


def joint_entropy(
    c: Float[Array, 'n d'],
    s: Float[Array, 'n e'],
    *,
    temperature: Scalar = 0.5,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Minus a kernel estimate of the entropy of c and s together (k-JEM); small is entropic.

    mean_i log mean_j k(c_i, c_j) k(s_i, s_j) with k the Gaussian kernel, j over all rows, i
    itself among them. A product of Gaussian kernels is one of the rows side by side:
    k([c, s]_i, [c, s]_j). Rows are not normalised. Between -log n, all far apart, and 0.

    Empty case: 0 without rows.

    >>> import jax.numpy as jnp
    >>> c, s = jnp.array([[0.0], [0.0], [9.0], [9.0]]), jnp.array([[0.0], [9.0], [0.0], [9.0]])
    >>> [round(joint_entropy(*both).item(), 3) for both in ((c, s), (c, c))]
    [-1.386, -0.693]

    Source: Louiset 2024, k-JEM; `joint_entropy_loss` of the code
    """
    z = jnp.concatenate([in_float32(c), in_float32(s)], axis=1)
    rows = devices.gather(z, axis_name)
    if len(rows) == 0:
        return jnp.zeros((), z.dtype)
    itself = devices.positions(len(z), axis_name)[:, None] == jnp.arange(len(rows))[None, :]
    # The Gram form is not exactly 0 there where s has grown large.
    squares = jnp.where(itself, 0.0, squared_distances(z, rows))
    potentials = jax.nn.logsumexp(-squares / (2.0 * temperature), axis=1)
    return devices.mean(potentials, axis_name) - jnp.log(float(len(rows)))


def supervised_alignment(
    x: Float[Array, 'n'],
    y: Float[Array, 'n'],
    mask: Bool[Array, 'n'] | None = None,
    *,
    temperature: Scalar = 0.025,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """How far one feature differs between samples whose attribute is nearly the same.

    mean_{i<j} exp(-(y_i - y_j)^2 / (2 temperature)) (x_i - x_j)^2 over the pairs in the mask:
    the feature x is made to follow the attribute y. For class numbers use temperature
    `EQUAL_LABELS`, where only equal ones count.

    Empty case: fewer than two rows in the mask give 0 with zero gradient.

    Source: Louiset 2024; `sup_align_loss` and, at `EQUAL_LABELS`, `discrete_sup_align_loss` of
    the code
    """
    x, y = in_float32(x), in_float32(y)
    mask = jnp.ones(len(x), bool) if mask is None else mask
    all_x, all_y, all_mask = (devices.gather(values, axis_name) for values in (x, y, mask))
    others = devices.positions(len(x), axis_name)[:, None] != jnp.arange(len(all_x))[None, :]
    pairs = others & mask[:, None] & all_mask[None, :]
    likeness = jnp.exp(-jnp.square(y[:, None] - all_y[None, :]) / (2.0 * temperature))
    apart = likeness * jnp.square(x[:, None] - all_x[None, :])
    kept = jnp.sum(jnp.where(pairs, apart, 0.0)), jnp.sum(pairs)
    total, count = devices.total(kept, axis_name)
    return total / jnp.maximum(count, 1)


def sepclr_terms(
    c1: Float[Array, 'b d'],
    c2: Float[Array, 'b d'],
    s1: Float[Array, 'b e'],
    s2: Float[Array, 'b e'],
    is_target: Bool[Array, 'b'],
    *,
    temperature: Scalar = 0.5,
    axis_name: str | None = None,
) -> Terms:
    """The parts of SepCLR for two views of every image.

    c is normalised to unit length, s is not; t_v is s_v with 0 in the rows of the background.

      common_alignment    align(c_1, c_2)            all rows
      common_uniformity   (U(c_1) + U(c_2)) / 2      all rows
      salient_alignment   align(s_1, s_2)            targets
      salient_uniformity  (U(t_1) + U(t_2)) / 2      all rows: targets also leave 0
      background          (align(0, s_1) + align(0, s_2)) / 2     background
      joint               (J(c_1, t_1) + J(c_2, t_2)) / 2

    align = `kernel_alignment`, U = `uniformity` at t = 1/(2 temperature), J = `joint_entropy`.
    Gradients flow through the target rows of t: it is no stopped teacher.

    Empty case: without targets the salient terms are 0, without background that term is.

    Source: Louiset 2024; the training scripts of the code
    """
    options = dict(temperature=temperature, axis_name=axis_name)
    align = partial(kernel_alignment, **options)
    scatter = partial(uniformity, t=1.0 / (2.0 * temperature), axis_name=axis_name)
    c = l2_normalize(jnp.stack([c1, c2]))
    s = in_float32(jnp.stack([s1, s2]))
    t = jnp.where(is_target[None, :, None], s, 0.0)

    def mean_of_views(function, *rows):  # one program for both views
        return jnp.mean(jax.vmap(function)(*rows))

    return Terms(
        common_alignment=align(*c),
        common_uniformity=mean_of_views(scatter, c),
        salient_alignment=align(*s, is_target),
        salient_uniformity=mean_of_views(scatter, t),
        background=mean_of_views(lambda s: align(jnp.zeros_like(s), s, ~is_target), s),
        joint=mean_of_views(partial(joint_entropy, **options), c, t),
    )


def sepclr(
    terms: Terms,
    *,
    salient_weight: Scalar = 1.0,
    background_weight: Scalar = 10.0,
    joint_weight: Scalar = 10.0,
) -> Float[Array, '']:
    """The loss of SepCLR from its parts.

    L_C + salient_weight L_S + background_weight L_0 + joint_weight L_J, where L_C and L_S are
    alignment + 2 uniformity. The code has the weights (1000, 1000, 10) for CIFAR-MNIST and
    CelebA, (1, 10, 10) for CheXpert and (1, 100, 10) for ODIR.

    Source: Louiset 2024; the 2 is that of the code, which paper and code do not share
    """
    return (
        terms.common_alignment
        + 2.0 * terms.common_uniformity
        + salient_weight * (terms.salient_alignment + 2.0 * terms.salient_uniformity)
        + background_weight * terms.background
        + joint_weight * terms.joint
    )
