"""Global contrastive losses with one temperature per image and per text.

The image-text forms of `isogclr`, where the module's docstring explains the idea, the
indices, and why the value is a surrogate. Each side of a pair keeps its own running
mean s, running largest exponent c, temperature and momentum. Everything is relative to
exp(c), which keeps the exponentials at or below 1 at temperatures of 0.005 and is part
of the published algorithms: both bound s from below AFTER this scaling.

Source: Qiu 2023, https://arxiv.org/abs/2305.11965;
https://github.com/zhqiu/contrastive-learning-iSogCLR (bimodal);
https://github.com/Optimization-AI/LibAUC (GCLoss_v2)
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.losses.isogclr import put, take
from jaxsep.ops.masks import off_diagonal


class SideState(NamedTuple):
    """What is remembered of one side, images or texts, of each of n training pairs.

    inner_mean: s, the running mean of exp(D/tau - c), D the gap to the positive.
    largest_exponent: c, the largest D/tau seen so far, at least 0.
    temperature: tau.
    momentum: u, the running mean of the temperature's gradient.
    """

    inner_mean: Float[Array, 'n']
    largest_exponent: Float[Array, 'n']
    temperature: Float[Array, 'n']
    momentum: Float[Array, 'n']


class BimodalState(NamedTuple):
    """The states of the images and of the texts."""

    image: SideState
    text: SideState

    @classmethod
    def init(cls, num_samples: int, temperature: Scalar) -> 'BimodalState':
        """Nothing seen yet, and the same temperature for all images and texts."""

        def side():
            zeros = (jnp.zeros((num_samples,), dtype=float) for _ in range(3))
            start = jnp.full((num_samples,), temperature, dtype=float)
            inner_mean, largest_exponent, momentum = zeros
            return SideState(inner_mean, largest_exponent, start, momentum)

        return cls(image=side(), text=side())


def rgcl_bimodal(
    state: BimodalState,
    index: Int[Array, 'b'],
    images: Float[Array, 'b d'],
    texts: Float[Array, 'b d'],
    *,
    gamma: Scalar = 0.8,
    rho: Scalar = 6.0,
    tau_min: Scalar = 0.005,
    tau_max: Scalar = 1.0,
    eta: Scalar = 0.03,
    beta: Scalar = 0.9,
) -> tuple[Float[Array, ''], BimodalState]:
    """The robust global contrastive loss of image-text pairs, and the updated state.

    S = cosines of images and texts. For the images D_ij = S_ij - S_ii (for the texts the
    same of the transpose), with the old temperatures,

      c' = max(c, max_j D_ij/tau);   e_j = exp(D_ij/tau - c')
      s <- (1 - gamma) s exp(c - c') + gamma (1/(b-1)) sum_j e_j;   w_j = e_j/(s + 1e-10)
      loss = mean_i (1/(b-1)) sum_j w_j D_ij, images plus texts
      u <- (1 - beta) u + beta clip(log s + c' + rho - (1/(b-1)) sum_j w_j D_ij/tau, -5, 5)
      tau <- clip(tau - eta u, tau_min, tau_max)

    As in the original the sums include the pair itself (D = 0), there is no first-epoch
    rule, and eta = 0 gives SogCLR. Rows are normalised inside; w is a constant of the
    differentiation.

    Empty case: a batch of one pair has no negatives: loss 0, state unchanged.
    """
    options = dict(
        gamma=(gamma, gamma),
        negative=jnp.ones((images.shape[0],) * 2, dtype=bool),
        learn=(rho, eta, beta, tau_min, tau_max),
        gradient_limit=5.0,
        bounded=lambda inner_mean: (inner_mean, inner_mean + 1e-10),
    )
    image_values, text_values, new_state = _both_sides(state, index, images, texts, **options)
    return _mean(image_values) + _mean(text_values), new_state


def gcl_bimodal(
    state: BimodalState,
    index: Int[Array, 'b'],
    images: Float[Array, 'b d'],
    texts: Float[Array, 'b d'],
    *,
    first_epoch: bool | Bool[Array, ''],
    gamma: Scalar = 0.9,
    rho: Scalar = 6.0,
    tau_min: Scalar = 0.005,
    tau_max: Scalar = 0.05,
    eta: Scalar = 0.01,
    beta: Scalar = 0.9,
) -> tuple[Float[Array, ''], BimodalState]:
    """LibAUC's global contrastive loss of image-text pairs (GCLoss_v2), and its new state.

    As `rgcl_bimodal`, except: the pair itself is left out of the sums (but not of the
    largest exponent), s is kept at 1e-20 or above, the temperature's gradient is not
    clipped, gamma is 1 for a side of which no sample of the batch was seen before, while
    `first_epoch`, and

      loss = 0.5 mean_i sum_j (e_j/s) D_ij, images plus texts, NOT divided by b - 1.

    eta = 0 gives SogCLR.

    Empty case: a batch of one pair has no negatives: loss 0, state unchanged.

    Args:
      first_epoch: whether the first-epoch rule may apply; may be traced. False with the
        cosine `gamma_schedule`, which starts at 1 by itself.
    """

    def bounded(inner_mean):
        floored = jnp.maximum(inner_mean, 1e-20)
        return floored, floored

    options = dict(
        gamma=tuple(_first_gamma(side, index, first_epoch, gamma) for side in state),
        negative=off_diagonal(images.shape[0]),
        learn=(rho, eta, beta, tau_min, tau_max),
        gradient_limit=math.inf,
        bounded=bounded,
    )
    image_values, text_values, new_state = _both_sides(state, index, images, texts, **options)
    num_negatives = images.shape[0] - 1
    return 0.5 * num_negatives * (_mean(image_values) + _mean(text_values)), new_state


def _first_gamma(side, index, first_epoch, gamma):
    unseen = jnp.all(take(side.inner_mean, index) == 0)
    return jnp.where(first_epoch & unseen, 1.0, gamma)


def _both_sides(state, index, images, texts, *, gamma, **options):
    """The weighted mean gap of each image and of each text [b], and the new state."""
    similarities = cosine_similarities(images, texts)
    positives = jnp.diagonal(similarities)[:, None]
    image, image_state = _one_side(
        state.image, index, similarities - positives, gamma=gamma[0], **options
    )
    text, text_state = _one_side(
        state.text, index, similarities.T - positives, gamma=gamma[1], **options
    )
    return image, text, BimodalState(image_state, text_state)


def _one_side(side, index, gaps, *, gamma, negative, learn, gradient_limit, bounded):
    """Rows of `gaps` [b b] are the anchors; only they carry a gradient."""
    if gaps.shape[0] < 2:
        return jnp.zeros(gaps.shape[0], gaps.dtype), side
    num_negatives = gaps.shape[0] - 1
    rho, eta, beta, tau_min, tau_max = learn
    side = jax.lax.stop_gradient(side)
    stored, old_largest, temperature, momentum = (take(values, index) for values in side)
    exponents = jax.lax.stop_gradient(gaps) / temperature[:, None]
    largest = jnp.maximum(old_largest, jnp.max(exponents, axis=1))
    exponentials = jnp.where(negative, jnp.exp(exponents - largest[:, None]), 0.0)
    newest = jnp.sum(exponentials, axis=1) / num_negatives
    inner_mean = (1.0 - gamma) * stored * jnp.exp(old_largest - largest) + gamma * newest
    inner_mean, divisor = bounded(inner_mean)
    weights = exponentials / (divisor[:, None] * num_negatives)
    gradient = jnp.log(inner_mean) + largest + rho - jnp.sum(weights * exponents, axis=1)
    momentum = (1.0 - beta) * momentum + beta * jnp.clip(gradient, -gradient_limit, gradient_limit)
    temperature = jnp.clip(temperature - eta * momentum, tau_min, tau_max)
    updated = SideState(inner_mean, largest, temperature, momentum)
    new_side = SideState(*(put(old, index, new) for old, new in zip(side, updated, strict=True)))
    return jnp.sum(weights * gaps, axis=1), new_side


def _mean(values):
    return jnp.mean(values) if values.shape[0] else jnp.zeros((), values.dtype)
