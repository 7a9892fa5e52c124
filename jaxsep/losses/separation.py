"""Losses of source separation: signal to distortion in dB, over permutations or mixtures; L1.

Estimates and targets are [b, n, t]: n sources of t samples. Losses are minus the decibels. Energies
are divided by `eps` and multiplied by one another: samples beyond 1e9 overflow float32.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32
from jaxsep.ops.stft import stft, to_polar

KINDS = ('snr', 'si_sdr', 'sd_sdr')
MAX_BRUTE_FORCE = 5
"""Sources up to which all permutations are compared; 6 have 720."""
MAX_MIXIT = 12
"""Estimates up to which all ways to share them out are compared; 12 have 4,096."""


def decibels(
    estimates: Float[Array, '*#b t'],
    targets: Float[Array, '*#b t'],
    *,
    kind: str = 'si_sdr',
    zero_mean: bool = True,
    eps: float = 1e-8,
) -> Float[Array, '...']:
    """How much of each estimate is its target, in dB: SNR, SI-SDR or SD-SDR.

    10 log10(|p|^2 / (|d|^2 + eps) + eps). With a = <e, s> / (|s|^2 + eps), the scale at which the
    target s is nearest to the estimate e:

      snr: p = s, d = e - s
      si_sdr: p = a s, d = e - a s; any scale of e gives the same
      sd_sdr: p = a s, d = e - s; a wrong scale counts as distortion

    A silent target gives 10 log10(eps), without gradient. float32 for half precision.

    Args:
      estimates, targets: of equal rank; axes of length 1 are broadcast.
      kind: one of the three above.
      zero_mean: take the mean over time out of both first.
      eps: stands in three places, as in asteroid.

    Le Roux et al., SDR - half-baked or well done?, 2019, https://arxiv.org/abs/1811.02508.
    """
    if kind not in KINDS:
        raise ValueError(f'kind: expected one of {KINDS}, got {kind!r}')
    e, s = in_float32(estimates), in_float32(targets)
    if zero_mean:
        e = e - jnp.mean(e, axis=-1, keepdims=True)
        s = s - jnp.mean(s, axis=-1, keepdims=True)
    projection = s
    if kind != 'snr':
        inner = jnp.sum(e * s, axis=-1, keepdims=True)
        projection = inner / (jnp.sum(s * s, axis=-1, keepdims=True) + eps) * s
    distortion = e - (projection if kind == 'si_sdr' else s)
    ratio = jnp.sum(projection**2, axis=-1) / (jnp.sum(distortion**2, axis=-1) + eps)
    return 10.0 * jnp.log10(ratio + eps)


def pairwise_losses(
    estimates: Float[Array, 'b n t'], targets: Float[Array, '...'], **options
) -> Float[Array, 'b n k']:
    """Minus `decibels` of every estimate i against every target j; options are those of it."""
    if targets.ndim != 3 or estimates.shape[::2] != targets.shape[::2]:
        raise ValueError(
            'targets: expected [b, k, t] with b and t of the estimates, '
            f'got {targets.shape} and {estimates.shape}'
        )
    return -decibels(estimates[:, :, None, :], targets[:, None, :, :], **options)


def permutation_invariant(
    losses: Float[Array, 'b ...'],
) -> tuple[Float[Array, 'b'], Int[Array, 'b n']]:
    """The smallest mean loss over the assignments of estimates to targets, and that assignment.

    min over permutations p of mean_j losses[p(j), j]. All permutations are compared up to 5 sources
    (ties: the first in lexicographic order), above that the Hungarian algorithm is used.
    Gradients flow through the n chosen entries only. Without sources: 0.

    Args:
      losses: of estimate i against target j, see `pairwise_losses`.

    Returns:
      the loss of each example; int32, which estimate belongs to each target.

    Kolbaek et al., Multi-talker speech separation with utterance-level permutation invariant
    training, 2017, https://arxiv.org/abs/1703.06284.
    """
    if losses.ndim != 3 or losses.shape[1] != losses.shape[2]:
        raise ValueError(f'losses: expected [b, n, n], got {losses.shape}')
    losses = in_float32(losses)
    n = losses.shape[1]
    if n == 0:
        return jnp.zeros(len(losses), losses.dtype), jnp.zeros((len(losses), 0), jnp.int32)
    known = jax.lax.stop_gradient(losses)
    if n <= MAX_BRUTE_FORCE:
        all_permutations = np.array(list(itertools.permutations(range(n))), np.int32)
        scores = jnp.sum(known[:, all_permutations, np.arange(n)[None, :]], axis=-1)
        best = jnp.asarray(all_permutations)[jnp.argmin(scores, axis=-1)]
    else:
        best = jax.vmap(assign)(known)
    chosen = jnp.take_along_axis(losses, best[:, None, :], axis=1)[:, 0]
    return jnp.mean(chosen, axis=-1), best


def assign(losses: Float[Array, 'n n']) -> Int[Array, 'n']:
    """Which row belongs to each column, at the smallest total, by the Hungarian algorithm."""
    rows, columns = optax.assignment.hungarian_algorithm(losses)
    return jnp.zeros(len(losses), jnp.int32).at[columns].set(rows.astype(jnp.int32))


def reorder(
    estimates: Float[Array, 'b n t'], permutation: Int[Array, 'b n']
) -> Float[Array, 'b n t']:
    """The estimates in the order of their targets."""
    return jnp.take_along_axis(estimates, permutation[:, :, None], axis=1)


def mixture_invariant(
    estimates: Float[Array, 'b m t'],
    mixtures: Float[Array, 'b k t'],
    *,
    generalized: bool = True,
    kind: str = 'snr',
    zero_mean: bool = False,
    eps: float = 1e-8,
) -> tuple[Float[Array, 'b'], Float[Array, 'b k t']]:
    """MixIT: each estimate is given to one of the mixtures; the loss at the best way to do so.

    min over ways A of mean_j loss(sum_{i: A(i)=j} e_i, x_j). The estimates are those of the sum of all
    mixtures, whose sources are unknown. Gradients flow through the best way only.

    Args:
      generalized: all k^m ways, some mixtures may get none; without it, m / k to each.
      kind, zero_mean, eps: of `decibels`.

    Returns:
      the loss of each example; the sums, [b, k, t].

    Wisdom et al., Unsupervised sound separation using mixture invariant training, 2020,
    https://arxiv.org/abs/2006.12701.
    """
    m, k = estimates.shape[1], mixtures.shape[1]
    ways = shares(m, k, generalized)
    sums = jnp.einsum(
        'wkm,bmt->bwkt', jnp.asarray(ways, jnp.float32), in_float32(estimates), precision='highest'
    )
    targets = in_float32(mixtures)[:, None]
    losses = -decibels(sums, targets, kind=kind, zero_mean=zero_mean, eps=eps).mean(axis=-1)
    best = jnp.argmin(jax.lax.stop_gradient(losses), axis=1)
    value = jnp.take_along_axis(losses, best[:, None], axis=1)[:, 0]
    return value, jnp.take_along_axis(sums, best[:, None, None, None], axis=1)[:, 0]


def shares(num_estimates: int, num_mixtures: int, generalized: bool) -> Float[np.ndarray, 'w k m']:
    """All ways to give estimates to mixtures, as 0 and 1.

    >>> shares(2, 2, generalized=False)[:, 0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if not 1 <= num_estimates <= MAX_MIXIT or num_mixtures < 1:
        raise ValueError(
            f'estimates: expected 1 to {MAX_MIXIT} for at least 1 mixture, '
            f'got {num_estimates} for {num_mixtures}'
        )
    if not generalized and num_estimates % num_mixtures:
        raise ValueError(
            f'estimates: expected a multiple of {num_mixtures} mixtures, got {num_estimates}'
        )
    each = num_estimates // num_mixtures
    given = itertools.product(range(num_mixtures), repeat=num_estimates)
    kept = [
        way
        for way in given
        if generalized or all(way.count(j) == each for j in range(num_mixtures))
    ]
    return np.array([[[i == j for i in way] for j in range(num_mixtures)] for way in kept], float)


def waveform_l1(
    estimates: Float[Array, '*b t'], targets: Float[Array, '*b t']
) -> Float[Array, '*b']:
    """mean_t |e - s|."""
    return jnp.mean(jnp.abs(in_float32(estimates) - in_float32(targets)), axis=-1)


def magnitude_l1(
    estimates: Float[Array, '*b t'],
    targets: Float[Array, '*b t'],
    *,
    n_fft: int,
    hop: int,
    eps: float = 1e-8,
) -> Float[Array, '*b']:
    """The mean over frames and frequencies of the difference of magnitudes, | |E| - |S| |.

    Squared magnitudes are at least eps.
    """
    sizes = {'n_fft': n_fft, 'hop': hop}
    e, s = (to_polar(stft(x, **sizes), eps).magnitude for x in (estimates, targets))
    return jnp.mean(jnp.abs(e - s), axis=(-2, -1))
