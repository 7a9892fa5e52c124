"""Where in a clip the tagged sound is, and mixtures of such segments (Kong et al., 2023, section 3).

https://arxiv.org/abs/2305.07447; uss/data of https://github.com/bytedance/uss. Nothing here has
gradients to give: it makes training pairs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

QUIETEST = 1e-10
"""Mean squares are at least this where one divides by them."""
RATIOS = (0.02, 50.0)
"""Amplitude ratios are kept between these."""


def anchor_scores(probabilities: Float[Array, '*b m'], size: int) -> Float[Array, '*b m']:
    """The mean probability over the `size` frames around each frame; the ends are repeated.

    Args:
      size: odd, seconds x frames a second + 1.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f'size: expected an odd number of frames, got {size}')
    sides = [(0, 0)] * (probabilities.ndim - 1) + [(size // 2, size // 2)]
    padded = jnp.pad(probabilities, sides, mode='edge')
    window = (1,) * (probabilities.ndim - 1) + (size,)
    ones = (1,) * probabilities.ndim
    return jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, ones, 'valid') / size


def anchor_centers(
    framewise: Float[Array, 'b m k'], labels: Int[Array, 'b'], size: int
) -> Int[Array, 'b']:
    """The frame around which each clip's class is most probable, with room on both sides.

    The first maximum of `anchor_scores`, moved to between size // 2 and m - size // 2.
    """
    own = jnp.take_along_axis(framewise, labels[:, None, None], axis=2)[:, :, 0]
    return with_room(jnp.argmax(anchor_scores(own, size), axis=1), framewise.shape[1], size)


def random_centers(keys: Key[Array, 'b'], num_frames: int, size: int) -> Int[Array, 'b']:
    """A frame drawn for each clip, uniformly among those that `anchor_centers` can give.

    The released code draws among the first `size` frames only; the paper says nothing of it.
    """
    first, last = size // 2, num_frames - size // 2
    if last < first:
        raise ValueError(f'size: expected at most {num_frames} frames, got {size}')
    return jax.vmap(lambda key: jax.random.randint(key, (), first, last + 1))(keys)


def with_room(centers: Int[Array, 'b'], num_frames: int, size: int) -> Int[Array, 'b']:
    """Frames moved to where a segment of size - 1 frames around them is inside the clip."""
    first, last = size // 2, num_frames - size // 2
    if last < first:
        raise ValueError(f'size: expected at most {num_frames} frames, got {size}')
    return jnp.clip(centers, first, last).astype(jnp.int32)


def cut_segments(
    waveforms: Float[Array, 'b t'], centers: Int[Array, 'b'], size: int, hop: int
) -> Float[Array, 'b s']:
    """The samples from frame center - size // 2 to center + size // 2; s = 2 (size // 2) hop."""
    length = size // 2 * 2 * hop
    begin = (centers - size // 2) * hop
    return jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (at,), (length,)))(waveforms, begin)


def neighbours(batch_size: int, count: int) -> Int[Array, 'b n']:
    """Rows that come next in the batch, after the last the first: b + 1, ..., b + count."""
    return (jnp.arange(batch_size)[:, None] + jnp.arange(1, count + 1)[None, :]) % batch_size


def partners_of_other_classes(
    keys: Key[Array, 'b'],
    places: Int[Array, 'b'],
    labels: Int[Array, 'n'],
    count: int,
) -> Int[Array, 'b m']:
    """Random rows of other classes to mix each row with, all different.

    Where too few rows are of another class, others of the same are taken, and last the row itself.

    Args:
      keys: one for each row.
      places: of these rows among all n.
      labels: of all rows.
      count: at most n.
    """
    if not 1 <= count <= len(labels):
        raise ValueError(f'count: expected 1 to {len(labels)} (the rows), got {count}')

    def choose(key, place):
        rank = jax.random.uniform(key, labels.shape) - (labels == labels[place])
        rank = jnp.where(jnp.arange(len(labels)) == place, -2.0, rank)
        return jax.lax.top_k(rank, count)[1]

    return jax.vmap(choose)(keys, places)


def amplitude_ratio(
    targets: Float[Array, '*b s'], others: Float[Array, '*b s']
) -> Float[Array, '*b']:
    """What others are multiplied by to be as loud as the targets: sqrt(mean t^2 / mean o^2).

    mean o^2 is at least 1e-10 and the ratio between 0.02 and 50.
    """
    energy = jnp.mean(jnp.square(targets), axis=-1)
    other = jnp.maximum(jnp.mean(jnp.square(others), axis=-1), QUIETEST)
    return jnp.clip(jnp.sqrt(energy / other), *RATIOS)


def mix(
    targets: Float[Array, 'b s'],
    segments: Float[Array, 'n s'],
    partners: Int[Array, 'b m'],
    match_energy: bool = True,
) -> Float[Array, 'b s']:
    """Each target plus its partners, each as loud as the target; targets are not rescaled.

    Args:
      segments: of the whole batch, from which partners are taken.
      partners: rows of `segments` for each target.
      match_energy: without it, partners are added as they are.
    """
    others = segments[partners]
    if match_energy:
        everywhere = jnp.broadcast_to(targets[:, None, :], others.shape)
        others = others * amplitude_ratio(everywhere, others)[..., None]
    return targets + jnp.sum(others, axis=1)
