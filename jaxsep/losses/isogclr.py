"""Global contrastive losses with one temperature per training sample: two views of images.

Each anchor i has a temperature tau_i, the multiplier of a robust objective over its
negatives, and a running estimate s_i of its inner mean E_j exp(S_ij/tau_i), so that a
small batch estimates the loss over all negatives:

    F = (1/n) sum_i tau_i log E_j exp(h_ij/tau_i) + tau_i rho,   h_ij = S_ij - S_ii'.

Two published code bases differ, and are separate variants here: `rgcl` (the paper's own
code) and `gcl`, `sogclr` (LibAUC). For image-text pairs see `isogclr_bimodal`. The value
of all of them is a linear surrogate whose GRADIENT in the features is the estimate of
dF; its magnitude is not that of F. All state and all weights are constants of the
differentiation; feature rows are normalised inside.

Running means are kept as logarithms: exp(S/tau) leaves float32 below tau = 0.0113, and
the squared hinge already at 0.088. An unseen sample has log_inner_mean = -inf (mean 0).

Indices are the rows of the samples in the data set and must be unique within a batch: of
repeated ones, one arbitrary row is stored. An index outside the state (negative ones
included) makes the loss NaN, which no training loop misses, and is stored nowhere.

Source: Qiu 2023, https://arxiv.org/abs/2305.11965;
https://github.com/zhqiu/contrastive-learning-iSogCLR;
Yuan 2022 (SogCLR), https://arxiv.org/abs/2202.12387;
https://github.com/Optimization-AI/LibAUC
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.ops.masks import masked_logsumexp, off_diagonal


class TemperatureState(NamedTuple):
    """What is remembered of each of n training samples.

    log_inner_mean: log s, the running mean of exp(S/tau) over its negatives.
    temperature: tau.
    momentum: u, the running mean of the temperature's gradient.
    """

    log_inner_mean: Float[Array, 'n']
    temperature: Float[Array, 'n']
    momentum: Float[Array, 'n']

    @classmethod
    def init(cls, num_samples: int, temperature: Scalar) -> 'TemperatureState':
        """Nothing seen yet, and the same temperature for all samples."""
        return cls(
            log_inner_mean=jnp.full((num_samples,), -jnp.inf, dtype=float),
            temperature=jnp.full((num_samples,), temperature, dtype=float),
            momentum=jnp.zeros((num_samples,), dtype=float),
        )


def rgcl(
    state: TemperatureState,
    index: Int[Array, 'b'],
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    first_epoch: bool | Bool[Array, ''],
    gamma: Scalar = 0.8,
    rho: Scalar = 0.3,
    tau_min: Scalar = 0.05,
    tau_max: Scalar = 1.0,
    eta: Scalar = 0.03,
    beta: Scalar = 0.5,
) -> tuple[Float[Array, ''], TemperatureState]:
    """The robust global contrastive loss of two views, and the updated state (iSogCLR).

    S = cosines among the 2b rows of both views; the negatives N_i of a row are all rows
    but itself and its positive i', m = 2b - 2 of them. For both views v of an item, with
    its old temperature,

      g_v = (1/m) sum_{j in N} exp(S_ij/tau);   s_v = (1 - gamma) s + gamma g_v
      loss = mean_i sum_v (1/m) sum_{j in N} (exp(S_ij/tau)/s_v) S_ij - S_ii'
      u <- (1 - beta) u + beta clip(mean_v log s_v + rho - (1/m) sum_j (...) S_ij/tau, -3, 3)
      s <- mean_v s_v;   tau <- clip(tau - eta u, tau_min, tau_max)

    In the first epoch gamma is 1, since nothing is stored yet.

    Empty case: a batch of one item has no negatives: loss 0, state unchanged.

    Args:
      first_epoch: whether no sample was seen before; may be traced, so that one
        compiled step serves all epochs.
      rho: the robustness radius; larger values lower all temperatures.
      eta: step size of the temperatures.
    """
    similarities, positives, negative = _two_views(z1, z2)
    weighted, new_state = _estimate(
        state,
        index,
        similarities,
        negative,
        gamma=jnp.where(first_epoch, 1.0, gamma),
        learn=(rho, eta, beta, tau_min, tau_max),
        gradient_limit=3.0,
    )
    return _total(weighted - positives), new_state


def rgcl_squared_hinge(
    state: TemperatureState,
    index: Int[Array, 'b'],
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    gamma: Scalar = 0.8,
    rho: Scalar = 0.3,
    tau_min: Scalar = 0.05,
    tau_max: Scalar = 1.0,
    eta: Scalar = 0.03,
    beta: Scalar = 0.5,
    margin: Scalar = 0.8,
) -> tuple[Float[Array, ''], TemperatureState]:
    """`rgcl` with the squared hinge of the similarity gap in place of the gap itself.

    l_ij = max(0, S_ij - S_ii' + margin)^2 replaces S_ij everywhere and nothing is
    subtracted afterwards. As in the original, only the row itself is left out (m = 2b - 1,
    the positive counts with margin^2), and there is no first-epoch rule: the first
    weights of a sample are larger by 1/gamma.

    Empty case: a batch of one item: loss 0, state unchanged.
    """
    similarities, positives, _ = _two_views(z1, z2)
    hinges = jnp.square(jnp.maximum(similarities - positives[..., None] + margin, 0.0))
    weighted, new_state = _estimate(
        state,
        index,
        hinges,
        _by_view(off_diagonal(2 * z1.shape[0])),
        gamma=gamma,
        learn=(rho, eta, beta, tau_min, tau_max),
        gradient_limit=3.0,
    )
    return _total(weighted), new_state


def gcl(
    state: TemperatureState,
    index: Int[Array, 'b'],
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    first_epoch: bool | Bool[Array, ''],
    gamma: Scalar = 0.9,
    rho: Scalar = 0.3,
    tau_min: Scalar = 0.05,
    tau_max: Scalar = 0.7,
    eta: Scalar = 0.01,
    beta: Scalar = 0.9,
) -> tuple[Float[Array, ''], TemperatureState]:
    """LibAUC's global contrastive loss with learnt temperatures (GCLoss_v1, iSogCLR).

    As `rgcl`, but the temperature's gradient is not clipped, s is at least 1e-8 in the
    weights, and in the first epoch gamma is 1 only for a batch of which no sample was
    seen before.

    Empty case: a batch of one item has no negatives: loss 0, state unchanged.

    Args:
      first_epoch: whether the first-epoch rule may apply; False with the cosine
        `gamma_schedule`, which starts at 1 by itself.
    """
    return _libauc(
        state,
        index,
        z1,
        z2,
        first_epoch=first_epoch,
        gamma=gamma,
        learn=(rho, eta, beta, tau_min, tau_max),
    )


def sogclr(
    state: TemperatureState,
    index: Int[Array, 'b'],
    z1: Float[Array, 'b d'],
    z2: Float[Array, 'b d'],
    *,
    first_epoch: bool | Bool[Array, ''],
    gamma: Scalar = 0.9,
) -> tuple[Float[Array, ''], TemperatureState]:
    """LibAUC's global contrastive loss at fixed temperatures (GCLoss_v1, SogCLR).

    `gcl` whose temperatures stay as `TemperatureState.init` set them; only the running
    means change.

    Empty case: a batch of one item has no negatives: loss 0, state unchanged.
    """
    return _libauc(state, index, z1, z2, first_epoch=first_epoch, gamma=gamma, learn=None)


def gamma_schedule(
    epoch: Scalar, gamma: Scalar, decay_epochs: int | None = None
) -> Float[Array, '']:
    """The weight of the newest batch in the running means, by epoch (from 0).

    gamma throughout, or with `decay_epochs` the cosine from 1 at epoch 0 down to gamma:
    gamma + (1 - gamma) (1 + cos(pi epoch/decay_epochs))/2, constant afterwards. LibAUC
    recommends half of the training for `decay_epochs`.

    >>> [round(gamma_schedule(epoch, 0.8, 2).item(), 3) for epoch in range(4)]
    [1.0, 0.9, 0.8, 0.8]
    """
    if decay_epochs is None:
        return jnp.asarray(gamma, dtype=float)
    if decay_epochs < 1:
        raise ValueError(f'decay_epochs must be at least 1, got {decay_epochs}')
    progress = jnp.minimum(jnp.asarray(epoch, dtype=float) / decay_epochs, 1.0)
    return gamma + (1.0 - gamma) * 0.5 * (1.0 + jnp.cos(math.pi * progress))


def take(values: Float[Array, 'n'], index: Int[Array, 'b']) -> Float[Array, 'b']:
    """values[index], with NaN where the index is outside 0 ... n - 1."""
    return values.at[_no_wrap(index, values)].get(mode='fill', fill_value=jnp.nan)


def put(
    values: Float[Array, 'n'], index: Int[Array, 'b'], new: Float[Array, 'b']
) -> Float[Array, 'n']:
    """A copy with values[index] = new; what is outside 0 ... n - 1 is dropped."""
    return values.at[_no_wrap(index, values)].set(new.astype(values.dtype), mode='drop')


def _no_wrap(index, values):
    """Negative indices would count from the end, in gathers and scatters of any mode."""
    return jnp.where(index < 0, values.shape[0], index)


def _two_views(z1, z2):
    """Similarities [2 b 2b] by view of the anchor, of positives [2 b], negatives mask."""
    b = z1.shape[0]
    z = jnp.concatenate([z1, z2])
    similarities = cosine_similarities(z, z)
    across = jnp.diagonal(similarities, offset=b)
    return (
        _by_view(similarities),
        jnp.stack([across, across]),
        _by_view(jnp.tile(off_diagonal(b), (2, 2))),
    )


def _by_view(rows):
    return rows.reshape(2, rows.shape[0] // 2, rows.shape[1])


def _total(values):
    """Both views of an item are added, items are averaged: the originals' scale."""
    if values.shape[1] < 2:
        return jnp.zeros((), values.dtype)
    return jnp.mean(jnp.sum(values, axis=0))


def _libauc(state, index, z1, z2, *, first_epoch, gamma, learn):
    similarities, positives, negative = _two_views(z1, z2)
    unseen = jnp.all(take(state.log_inner_mean, index) == -jnp.inf)
    weighted, new_state = _estimate(
        state,
        index,
        similarities,
        negative,
        gamma=jnp.where(first_epoch & unseen, 1.0, gamma),
        learn=learn,
        smallest_mean=1e-8,
    )
    return _total(weighted - positives), new_state


def _estimate(
    state, index, scores, mask, *, gamma, learn, gradient_limit=math.inf, smallest_mean=0.0
):
    """The weighted mean score of each anchor's pairs [2 b], and the state after this batch.

    The weights exp(score/tau)/s are constants: only `scores` [2 b n] carry a gradient.
    One item alone has nothing to be compared with: its state stays.
    """
    if scores.shape[1] < 2:
        return jnp.zeros(scores.shape[:2], scores.dtype), state
    constant = jax.lax.stop_gradient(scores)
    state = jax.lax.stop_gradient(state)
    stored, temperature, momentum = (take(values, index) for values in state)
    exponents = constant / temperature[None, :, None]
    log_count = jnp.log(jnp.sum(mask, axis=-1))
    log_mean = jnp.logaddexp(
        jnp.log1p(-gamma) + stored[None, :],
        jnp.log(gamma) + masked_logsumexp(exponents, mask) - log_count,
    )
    log_floor = math.log(smallest_mean) if smallest_mean else -math.inf
    log_divisor = jnp.maximum(log_mean, log_floor) + log_count
    weights = jnp.where(mask, jnp.exp(exponents - log_divisor[..., None]), 0.0)
    weighted = jnp.sum(weights * scores, axis=-1)
    log_inner_mean = jnp.logaddexp(log_mean[0], log_mean[1]) - math.log(2.0)
    new_state = state._replace(log_inner_mean=put(state.log_inner_mean, index, log_inner_mean))
    if learn is None:
        return weighted, new_state
    rho, eta, beta, tau_min, tau_max = learn
    gradient = jnp.mean(log_mean + rho - jnp.sum(weights * exponents, axis=-1), axis=0)
    gradient = jnp.clip(gradient, -gradient_limit, gradient_limit)
    momentum = (1.0 - beta) * momentum + beta * gradient
    temperature = jnp.clip(temperature - eta * momentum, tau_min, tau_max)
    return weighted, new_state._replace(
        temperature=put(state.temperature, index, temperature),
        momentum=put(state.momentum, index, momentum),
    )
