"""MAPSS: Manifold-based Assessment of Perceptual Source Separation (Ivry et al., 2025).

Two scores of separated sources, frame by frame, on a learned or a plain representation. Each reference
is joined by some sixty distorted copies that a listener would still take for it; a diffusion map of the
frames of all sources turns them into clusters. PS, perceptual separation, is how much nearer the output
is to its own cluster than to the next; leakage lowers it. PM, perceptual match, is how likely a
distortion is as far from the reference as the output; any distortion lowers it. Nothing is learnt.

https://arxiv.org/abs/2509.09212; https://github.com/Amir-Ivry/MAPSS-measures, whose constants are kept.
The encoder is the raw frame, one of the code's, or log-mel bands, ours; the paper's best scores come
from layers of wav2vec2. Every k-th frame is taken, for a fixed number of them.

The distortions are recursive filters in float64 and depend on the reference alone. They are made on the
host by a callback inside the compiled program, so that data sources need not know of them, once for
all rows of a batch that have the same reference; diffusion maps and scores are in jax, in float32 as
the original. `jaxsep.algorithms.mapss.mapss` has the scores of single frames in float64.
"""

import functools
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.mapss import (
    FrontEnd,
    Manifold,
    check_front_end,
    check_manifold,
    check_shapes,
    points_of_rows,
    score_frames,
    shapes_of,
)
from jaxsep.data.audio_distortions import FAST_KINDS
from jaxsep.method import Estimator

PART = 16_384
"""Samples of one argument of the callback. Those over 100 kB are copied on another thread, which a
machine with one core does not have: it would wait for ever, see https://github.com/jax-ml/jax/issues/24255."""


def make(
    *,
    every: int = 3,
    kinds: Collection[str] = FAST_KINDS,
    encoder: str = 'raw',
    noise_seed: int = 0,
    alpha: float = 1.0,
    time: int = 1,
    cutoff: float = 0.99,
    delta: float = 0.05,
) -> Estimator:
    """MAPSS as an Estimator for rows of `true_waveform` and `waveform`, both [b, n, t] at 16 kHz.

    Outputs, each [b, n], the means over the scored frames of a source: `ps`, `pm`, from 0 to 1, and
    their radii `ps_bias`, `pm_bias` (of dropped coordinates) and `ps_prob`, `pm_prob` (of the number of
    distortions, with probability 1 - delta); and `frames`, how many frames were scored. Where that is
    0, so are the others.

    Args:
      every: take each k-th frame of 20 ms; 1 in the code.
      kinds: of distortions; the code also has 'pitch_shift' and 'vibrato', which take most of the time.
      encoder: of frames, 'raw' or 'log_mel'.
      noise_seed: of the noise among the distortions.
      alpha: normalisation of density; 1 in the code.
      time: steps of the diffusion; 1.
      cutoff: share of the eigenvalues' sum that is kept; 0.99.
      delta: 1 - delta is the confidence of `ps_prob` and `pm_prob`; 0.05.
    """
    front_end = FrontEnd(every, tuple(kinds), encoder, noise_seed)
    manifold = Manifold(alpha, time, cutoff, delta)
    check_front_end(front_end)
    check_manifold(manifold)

    def fit(key, data):
        del key
        check_shapes(data['true_waveform'].shape[1:], data['waveform'].shape[1:])
        return {'num_rows': jnp.int32(len(data['index']))}

    def front(parts, shape):
        references, outputs = np.concatenate(list(map(np.asarray, parts))).reshape(2, *shape)
        return points_of_rows(references, outputs, front_end)

    def row(points):
        scores = score_frames(points, manifold)
        frames = jnp.sum(scores.scored, axis=0, dtype=jnp.int32)
        means = {
            name: jnp.sum(value, axis=0) / jnp.maximum(frames, 1)
            for name, value in scores._asdict().items()
            if name != 'scored'
        }
        return {**means, 'frames': frames}

    def outputs(fitted, batch):
        del fitted
        waveforms = batch['true_waveform'], batch['waveform']
        num_rows, *sizes = shape = waveforms[0].shape
        check_shapes(*(x.shape[1:] for x in waveforms))
        points = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((num_rows, *x.shape), x.dtype),
            shapes_of(*sizes, front_end),
        )
        samples = jnp.concatenate([x.reshape(-1) for x in waveforms])
        parts = [samples[start : start + PART] for start in range(0, samples.size, PART)]
        points = jax.pure_callback(functools.partial(front, shape=shape), points, parts)
        return jax.lax.map(row, points)

    return Estimator(fit, outputs)
