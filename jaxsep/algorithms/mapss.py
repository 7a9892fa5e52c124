"""MAPSS from waveforms: frames of references, outputs and distorted references, and their PS and PM.

On the host, once a mixture: all signals to one loudness, the frames in which at least two references
are active, a bank of distorted copies of each reference for PS and another for PM, encoded frame by
frame. In jax, frame by frame: a diffusion map for each of the two banks, the measures, their radii.

Ivry, Cornell, Watanabe, 2025, https://arxiv.org/abs/2509.09212; engine.py and audio.py of
https://github.com/Amir-Ivry/MAPSS-measures, which encodes with layers of wav2vec2 and its kin; 'raw'
frames are among its encoders, 'log_mel' is ours.
"""

import functools
from collections.abc import Callable, Collection
from math import gcd
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Bool, Float

from jaxsep.data.audio_distortions import FAST_KINDS, check_kinds, most_copies, pm_bank, ps_bank
from jaxsep.data.loudness import normalize_loudness
from jaxsep.metrics.mapss import check_map, clusters_of, diffusion_map, pm, ps
from jaxsep.metrics.mapss_intervals import check_delta, pm_radii, ps_radii
from jaxsep.ops.mel import mel_filters

RATE = 16_000
FRAME = 320
"""Samples of a frame, 20 ms; frames do not overlap."""
SILENCE = 0.1
"""A source is active in a frame whose rms is above this share of that of the whole signal."""
SHORTEST = 6400
"""Samples of the shortest signal that has a loudness, 0.4 s."""
CHUNK = 16
"""Frames that are scored together."""
MEL_BANDS = 40


class FrontEnd(NamedTuple):
    """How waveforms become points; see `points_of`.

    Attributes:
      every: take each k-th frame, from the first on; 1 for all.
      kinds: of distortions; here all of `jaxsep.data.audio_distortions.KINDS` but two slow ones.
      encoder: 'raw' for the samples of a frame, 'log_mel' for 40 bands.
      seed: of the noise among the distortions.
    """

    every: int = 1
    kinds: tuple[str, ...] = FAST_KINDS
    encoder: str = 'raw'
    seed: int = 0


class Manifold(NamedTuple):
    """How points become scores.

    Attributes:
      alpha, time, cutoff: of `jaxsep.metrics.mapss.diffusion_map`.
      delta: 1 - delta is the confidence of the probabilistic radii.
    """

    alpha: float = 1.0
    time: int = 1
    cutoff: float = 0.99
    delta: float = 0.05


FRONT_END, MANIFOLD = FrontEnd(), Manifold()


class Points(NamedTuple):
    """Of one mixture: f frames, s sources; along p are reference, output and distortions.

    Attributes:
      ps, pm: encoded frames of the two banks.
      ps_mask, pm_mask: which points exist.
      active: which sources are scored in which frame: those active where at least two are.
    """

    ps: Float[np.ndarray, 'f s p d']
    ps_mask: Bool[np.ndarray, 's p']
    pm: Float[np.ndarray, 'f s q d']
    pm_mask: Bool[np.ndarray, 's q']
    active: Bool[np.ndarray, 'f s']


class FrameScores(NamedTuple):
    """Of each frame and source; NaN, in jax 0, where `scored` is False.

    Attributes:
      ps, pm: perceptual separation and perceptual match, from 0 to 1, higher is better.
      ps_bias, pm_bias: radii for dropped coordinates.
      ps_prob, pm_prob: radii for the number of distortions.
      scored: whether the source was active together with another one.
    """

    ps: Float[Array | np.ndarray, 'f s']
    pm: Float[Array | np.ndarray, 'f s']
    ps_bias: Float[Array | np.ndarray, 'f s']
    ps_prob: Float[Array | np.ndarray, 'f s']
    pm_bias: Float[Array | np.ndarray, 'f s']
    pm_prob: Float[Array | np.ndarray, 'f s']
    scored: Bool[Array | np.ndarray, 'f s']


def check_front_end(given: FrontEnd) -> None:
    """Raises ValueError naming the option that is wrong."""
    if given.every < 1:
        raise ValueError(f'every: expected at least 1, got {given.every}')
    if given.encoder not in ENCODERS:
        raise ValueError(f'encoder: expected one of {tuple(ENCODERS)}, got {given.encoder!r}')
    check_kinds(given.kinds)


def check_manifold(given: Manifold) -> None:
    """Raises ValueError naming the option that is wrong."""
    check_map(given.alpha, given.time, given.cutoff)
    check_delta(given.delta)


def num_frames(length: int) -> int:
    """Whole frames of a signal; the last one does not count where the frames fill the signal exactly.

    >>> num_frames(640), num_frames(641)
    (1, 2)
    """
    return max((length - 1) // FRAME, 0)


def frames_of(signals: Float[np.ndarray, '*b t']) -> Float[np.ndarray, '*b f n']:
    """The frames of 320 samples, one after the other."""
    number = num_frames(signals.shape[-1])
    return signals[..., : number * FRAME].reshape(*signals.shape[:-1], number, FRAME)


def frame_rms(signals: Float[np.ndarray, '*b t']) -> Float[np.ndarray, '*b f']:
    """sqrt(mean x^2 + 1e-12) of each frame."""
    return np.sqrt(np.mean(np.square(frames_of(signals)), axis=-1) + 1e-12)


def activity(references: Float[np.ndarray, 's t']) -> Bool[np.ndarray, 's f']:
    """Where each reference is louder than a tenth of its own rms; nowhere for silence."""
    threshold = SILENCE * np.sqrt(np.mean(np.square(references), axis=-1, keepdims=True))
    return (frame_rms(references) > threshold) & (threshold > 0)


def raw(frames: Float[np.ndarray, '*b n']) -> Float[np.ndarray, '*b n']:
    """The samples themselves."""
    return frames


def log_mel(frames: Float[np.ndarray, '*b n']) -> Float[np.ndarray, '*b m']:
    """Logarithms of the power, at least 1e-10, in 40 bands of equal width in mel; Hann windows."""
    power = np.square(np.abs(np.fft.rfft(frames * scipy.signal.get_window('hann', FRAME))))
    return np.log(np.maximum(power @ mel_filters(RATE, FRAME, MEL_BANDS), 1e-10))


ENCODERS = {'raw': raw, 'log_mel': log_mel}


def points_of(
    references: Float[np.ndarray, 's t'],
    outputs: Float[np.ndarray, '...'],
    given: FrontEnd = FRONT_END,
    copies_of: Callable[..., np.ndarray] | None = None,
) -> Points:
    """The points of one mixture at 16 kHz, float32; every k-th frame, whether active or not.

    PM's bank has a place for as many copies as there may be, so that shapes depend on shapes only.

    Args:
      copies_of: `encoded_copies`, or the same with a memory of its results.

    Raises:
      ValueError: for fewer than two sources, shapes that differ, or less than 0.4 s.
    """
    copies_of = copies_of or encoded_copies
    references, outputs = (np.asarray(x, np.float64) for x in (references, outputs))
    check_shapes(references.shape, outputs.shape)
    references = normalize_loudness(references, RATE)
    outputs = normalize_loudness(outputs, RATE)
    both = encoded(np.stack([references, outputs], axis=1), given)

    def cloud(bank, number):
        points, mask = [], np.zeros((len(references), 2 + number), bool)
        for source, reference in enumerate(references):
            seed = given.seed * len(references) + source  # sources must not share their noise
            copies = copies_of(bank, reference.tobytes(), given, seed)
            mask[source, : 2 + len(copies)] = True
            nothing = np.zeros((number - len(copies), *copies.shape[1:]), np.float32)
            points.append(np.concatenate([both[source], copies, nothing]))
        return np.stack(points).transpose(2, 0, 1, 3), mask

    ps_points, ps_mask = cloud(ps_bank, num_whole_copies(references.shape[1], given.kinds))
    pm_points, pm_mask = cloud(pm_bank, most_copies(given.kinds))
    active = activity(references).T[:: given.every]
    scored = active & (np.sum(active, axis=1, keepdims=True) >= 2)
    return Points(ps_points, ps_mask, pm_points, pm_mask, scored)


def points_of_rows(
    references: Float[np.ndarray, 'b s t'],
    outputs: Float[np.ndarray, 'b s t'],
    given: FrontEnd = FRONT_END,
) -> Points:
    """`points_of` each row; references that come again, with another output, are distorted once."""
    copies_of = functools.cache(encoded_copies)
    rows = [points_of(*row, given, copies_of) for row in zip(references, outputs, strict=True)]
    return Points(*map(np.stack, zip(*rows, strict=True)))


def encoded_copies(
    bank: Callable[..., np.ndarray], reference: bytes, given: FrontEnd, seed: int
) -> Float[np.ndarray, 'n f d']:
    """The points of the copies that `ps_bank` or `pm_bank` makes of a reference, its bytes in float64."""
    signal = np.frombuffer(reference)
    copies = bank(signal, RATE, given.kinds, seed)[:, : len(signal)]
    return encoded(normalize_loudness(copies, RATE) if len(copies) else copies, given)


def encoded(signals: Float[np.ndarray, '*b t'], given: FrontEnd) -> Float[np.ndarray, '*b f d']:
    """Every k-th frame of the signals as a point, float32."""
    return ENCODERS[given.encoder](frames_of(signals)[..., :: given.every, :]).astype(np.float32)


@functools.lru_cache(16)
def num_whole_copies(length: int, kinds: tuple[str, ...]) -> int:
    """How many copies `ps_bank` makes of a signal of this length."""
    return len(ps_bank(np.zeros(length), RATE, kinds))


def check_shapes(references: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    """Raises ValueError unless both are the same [s, t] of two or more sources and 0.4 s or more."""
    if len(references) != 2 or references != outputs or references[0] < 2:
        raise ValueError(
            f'references, outputs: expected the same [s, t] with s >= 2, got {references} and {outputs}'
        )
    if references[1] < SHORTEST:
        raise ValueError(
            f'references: expected at least {SHORTEST} samples at 16 kHz, got {references[1]}'
        )


def shapes_of(num_sources: int, length: int, given: FrontEnd) -> Points:
    """What `points_of` returns for these sizes: shapes and dtypes."""
    frames = len(range(0, num_frames(length), given.every))
    size = FRAME if given.encoder == 'raw' else MEL_BANDS
    counts = 2 + num_whole_copies(length, given.kinds), 2 + most_copies(given.kinds)
    clouds = [
        (
            jax.ShapeDtypeStruct((frames, num_sources, count, size), jnp.float32),
            jax.ShapeDtypeStruct((num_sources, count), bool),
        )
        for count in counts
    ]
    return Points(*clouds[0], *clouds[1], jax.ShapeDtypeStruct((frames, num_sources), bool))


def frame_ps(
    points: Float[Array, 's p d'], mask: Bool[Array, 's p'], given: Manifold
) -> tuple[Float[Array, 's'], Float[Array, 's'], Float[Array, 's']]:
    """PS of one frame and its two radii."""
    coordinates, kept = embed(points, mask, given)
    clusters = clusters_of(coordinates, mask, kept)
    radii = ps_radii(coordinates, mask, kept, given.delta, clusters)
    return ps(coordinates, mask, kept, clusters), radii.bias, radii.prob


def frame_pm(
    points: Float[Array, 's p d'], mask: Bool[Array, 's p'], given: Manifold
) -> tuple[Float[Array, 's'], Float[Array, 's'], Float[Array, 's']]:
    """PM of one frame and its two radii."""
    coordinates, kept = embed(points, mask, given)
    radii = pm_radii(coordinates, mask, kept, given.delta)
    return pm(coordinates, mask, kept), radii.bias, radii.prob


def embed(points: Float[Array, 's p d'], mask: Bool[Array, 's p'], given: Manifold):
    """Coordinates [s, p, s p - 1] of all sources in one diffusion map, and how many are kept."""
    s, p, d = points.shape
    found = diffusion_map(
        points.reshape(s * p, d),
        mask.reshape(s * p),
        alpha=given.alpha,
        time=given.time,
        cutoff=given.cutoff,
    )
    return found.coordinates.reshape(s, p, -1), found.num_kept


def score_frames(points: Points, given: Manifold = MANIFOLD) -> FrameScores:
    """The scores of all frames, in float32, or in float64 where jax is told to have it.

    Can be jitted; frames are independent of one another.
    """
    ps_scores = score_bank(points.ps, points.ps_mask, points.active, frame_ps, given)
    pm_scores = score_bank(points.pm, points.pm_mask, points.active, frame_pm, given)
    (ps, ps_bias, ps_prob), (pm, pm_bias, pm_prob) = (
        [jnp.where(points.active, value, 0) for value in scores]
        for scores in (ps_scores, pm_scores)
    )
    return FrameScores(ps, pm, ps_bias, ps_prob, pm_bias, pm_prob, points.active)


@functools.partial(jax.jit, static_argnames=('measure', 'given'))
def score_bank(points, mask, active, measure, given: Manifold):
    """`frame_ps` or `frame_pm` of each frame: points [f, s, p, d], mask [s, p], active [f, s].

    On a processor one after the other, as its caches hold one frame, and those without a source to
    score are left out; 16 together on others.
    """
    dtype = jnp.result_type(float)

    def frame(one):
        seen, there = one
        nothing = (jnp.zeros(len(mask), dtype),) * 3
        scores = functools.partial(measure, seen.astype(dtype), mask & there[:, None], given)
        return jax.lax.cond(jnp.any(there), scores, lambda: nothing)

    together = None if jax.default_backend() == 'cpu' else min(CHUNK, max(len(points), 1))
    return jax.lax.map(frame, (points, active), batch_size=together)


def score_points(points: Points, given: Manifold = MANIFOLD, float64: bool = True) -> FrameScores:
    """The scores of all frames on the host; frames and copies that are not there cost nothing.

    Not to be jitted: it decides itself what is computed, and in which precision.

    Args:
      float64: as exact as can be; else float32, as the original code.
    """
    check_manifold(given)
    frames = np.flatnonzero(points.active.any(axis=1))
    banks = (
        (frame_ps, *trimmed(points.ps, points.ps_mask)),
        (frame_pm, *trimmed(points.pm, points.pm_mask)),
    )
    chunks = [frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK)]
    found = []
    with jax.enable_x64(float64):
        for chunk in chunks:
            padding = CHUNK - len(chunk)
            rows = np.pad(chunk, (0, padding))
            active = np.pad(points.active[chunk], ((0, padding), (0, 0)))
            found.append(
                [score_bank(x[rows], mask, active, measure, given) for measure, x, mask in banks]
            )
    table = np.full((6, *points.active.shape), np.nan)
    for chunk, (ps_scores, pm_scores) in zip(chunks, found, strict=True):
        for place, values in enumerate((*ps_scores, *pm_scores)):
            table[place, chunk] = np.asarray(values)[: len(chunk)]
    table[:, ~points.active] = np.nan
    ps, ps_bias, ps_prob, pm, pm_bias, pm_prob = table
    return FrameScores(ps, pm, ps_bias, ps_prob, pm_bias, pm_prob, points.active)


def trimmed(
    points: Float[np.ndarray, 'f s p d'], mask: Bool[np.ndarray, 's p']
) -> tuple[Float[np.ndarray, 'f s q d'], Bool[np.ndarray, 's q']]:
    """Without places that no source needs, but for a multiple of 8: few sizes are few programs."""
    needed = -(-int(mask.sum(axis=1).max()) // 8) * 8
    return points[:, :, :needed], mask[:, :needed]


def mapss(
    references: Float[np.ndarray, 's t'],
    outputs: Float[np.ndarray, '...'],
    *,
    rate: int = RATE,
    every: int = 1,
    kinds: Collection[str] = FAST_KINDS,
    encoder: str = 'raw',
    seed: int = 0,
    alpha: float = 1.0,
    time: int = 1,
    cutoff: float = 0.99,
    delta: float = 0.05,
    float64: bool = True,
) -> FrameScores:
    """PS and PM of separated sources, frame by frame, with their radii.

    Args:
      references, outputs: of the same sources in the same order, 0.4 s or more.
      rate: samples a second; other signals than of 16 kHz are resampled.
      every, kinds, encoder, seed: see `FrontEnd`.
      alpha, time, cutoff, delta: see `Manifold`.
      float64: the precision of the scores.

    Returns:
      scores of the frames 0, k, 2k, ... with NaN where a source is not scored.
    """
    front_end = FrontEnd(every, tuple(kinds), encoder, seed)
    check_front_end(front_end)
    if rate < 1:
        raise ValueError(f'rate: expected at least 1, got {rate}')
    if rate != RATE:
        up, down = RATE // gcd(rate, RATE), rate // gcd(rate, RATE)
        references, outputs = (
            scipy.signal.resample_poly(np.asarray(x, np.float64), up, down, axis=-1)
            for x in (references, outputs)
        )
    points = points_of(references, outputs, front_end)
    return score_points(points, Manifold(alpha, time, cutoff, delta), float64)
