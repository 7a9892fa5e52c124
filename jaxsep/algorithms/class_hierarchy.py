"""Detect and separate along a hierarchy of classes (Kong et al., 2023, section 3.5).

https://arxiv.org/abs/2305.07447; uss/inference.py of https://github.com/bytedance/uss.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

QUIET = 1e-6
"""A stem whose largest sample is not above this is none."""
SILENT_FRAME = 0.02
"""Frames whose peak is not above this are no example of a sound."""


class Gate(NamedTuple):
    """Which branches sound in which segment, and what to ask the separator for.

    Attributes:
      active: [g, m].
      conditions: tags outside the branch set to 0, [g, m, k].
    """

    active: Bool[Array, 'g m']
    conditions: Float[Array, 'g m k']


def members(parents: Sequence[int], classes: Sequence[int], num_classes: int) -> np.ndarray:
    """Which classes the tagger knows at or below each node of a tree; bool [nodes, num_classes].

    Args:
      parents: node above each, listed before it; -1 at a root.
      classes: number that the tagger gives each node; -1 where it has none.

    >>> members([-1, 0, 0], [-1, 1, 0], 2).tolist()
    [[True, True], [False, True], [True, False]]
    """
    if len(parents) != len(classes) or any(not -1 <= p < i for i, p in enumerate(parents)):
        raise ValueError(
            f'parents: expected one earlier node, or -1, for each of {len(classes)}, got {parents}'
        )
    if any(not -1 <= k < num_classes for k in classes):
        raise ValueError(f'classes: expected -1 to {num_classes - 1}, got {classes}')
    below = np.zeros((len(parents), num_classes), bool)
    for node in reversed(range(len(parents))):
        if classes[node] >= 0:
            below[node, classes[node]] = True
        if parents[node] >= 0:
            below[parents[node]] |= below[node]
    return below


def levels(parents: Sequence[int]) -> list[int]:
    """The distance of each node from its root."""
    found = []
    for parent in parents:
        found.append(0 if parent < 0 else found[parent] + 1)
    return found


def gate(
    probabilities: Float[Array, 'm k'], branches: Bool[Array, 'g k'], threshold: float = 0.2
) -> Gate:
    """A branch is active in a segment where one of its classes is as probable as the threshold.

    A branch without classes never is.
    """
    kept = jnp.where(branches[:, None, :], probabilities[None], 0.0)
    sounds = branches[:, None, :] & (probabilities[None] >= threshold)
    return Gate(jnp.any(sounds, axis=-1), kept)


def split_segments(waveform: Float[Array, 't'], length: int) -> Float[Array, 'm s']:
    """Consecutive segments, the last one filled up with zeros."""
    if length < 1:
        raise ValueError(f'length: expected at least 1 sample, got {length}')
    return jnp.pad(waveform, (0, -len(waveform) % length)).reshape(-1, length)


def separate_by_hierarchy(
    waveform: Float[Array, 't'],
    tag: Callable[[Array], Array],
    separate: Callable[[Array, Array], Array],
    branches: Bool[Array, 'g k'],
    *,
    length: int,
    threshold: float = 0.2,
) -> tuple[Float[Array, 'g t'], Bool[Array, 'g']]:
    """One stem for each branch: separated where it is active, silent elsewhere.

    Args:
      tag: segments [m, s] -> probabilities [m, k].
      separate: segments [m, s] and conditions [m, k] -> waveforms [m, s].
      branches: which classes belong to each, see `members`.
      length: s, samples of a segment; 2 seconds in the paper.

    Returns:
      stems [g, t]; which of them are kept: their largest sample is above 1e-6.
    """
    segments = split_segments(waveform, length)
    found = gate(tag(segments), branches, threshold)
    g, m = found.active.shape
    repeated = jnp.tile(segments, (g, 1))
    separated = separate(repeated, found.conditions.reshape(g * m, -1)).reshape(g, m, length)
    stems = jnp.where(found.active[..., None], separated, 0.0).reshape(g, m * length)
    stems = stems[:, : len(waveform)]
    return stems, jnp.max(stems, axis=1, initial=0.0) > QUIET


def without_silence(
    waveform: Float[np.ndarray, 't'], frame_length: int, threshold: float = SILENT_FRAME
) -> Float[np.ndarray, 'n']:
    """The frames whose peak is above the threshold, one after another; the rest at the end is lost.

    Frames are of 0.1 s in the paper. In numpy, as the length depends on the content.
    """
    frames = waveform[: len(waveform) // frame_length * frame_length].reshape(-1, frame_length)
    return frames[np.max(np.abs(frames), axis=1, initial=0.0) > threshold].reshape(-1)


def repeat_to(waveform: Float[np.ndarray, 't'], length: int) -> Float[np.ndarray, 'n']:
    """The waveform again and again, up to `length` samples.

    >>> repeat_to(np.arange(3.0), 7).tolist()
    [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0]
    """
    if not len(waveform):
        raise ValueError('waveform: expected at least one sample, got none')
    return np.tile(waveform, -(-length // len(waveform)))[:length]


def class_sums(
    conditions: Float[Array, 'b d'], labels: Int[Array, 'b'], num_classes: int
) -> tuple[Float[Array, 'k d'], Float[Array, 'k']]:
    """Sums of the conditions of each class and their numbers: query by example, to be added up."""
    one_hot = (labels[:, None] == jnp.arange(num_classes)[None, :]).astype(conditions.dtype)
    sums = jnp.einsum('bk,bd->kd', one_hot, conditions, precision='highest')
    return sums, jnp.sum(one_hot, axis=0)
