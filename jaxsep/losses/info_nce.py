"""InfoNCE between two sets of matching rows, in one direction or both."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar, check_temperature, contrastive_out
from jaxsep.losses.paired import clip_info_nce
from jaxsep.ops import chunked, devices
from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import inner_products, l2_normalize


def info_nce(
    a: Float[Array, 'b d'],
    b: Float[Array, 'b d'],
    temperature: Scalar = 0.1,
    *,
    symmetric: bool = False,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Cross-entropy of each row's match among all rows of the other set.

    mean_i -log softmax_j(cosine(a_i, b_j) / temperature)_i; with `symmetric` the mean of that and
    of the same with a and b exchanged, which is `jaxsep.losses.paired.clip_info_nce`. The rows are
    normalised inside; gradients flow into both sets.

    Empty case: a single pair gives 0.

    Args:
      chunk_size: as in `jaxsep.losses.contrastive`: None for the matrix of all pairs.

    >>> import jax.numpy as jnp
    >>> bool(info_nce(jnp.eye(3), jnp.eye(3)) < info_nce(jnp.eye(3), jnp.eye(3)[::-1]))
    True

    Source: van den Oord 2018, equation 4, https://arxiv.org/abs/1807.03748
    """
    if symmetric:
        return clip_info_nce(a, b, temperature, axis_name=axis_name, chunk_size=chunk_size)
    check_temperature(temperature)
    a, b = l2_normalize(a), l2_normalize(b)
    rows = devices.gather(b, axis_name)
    if chunk_size is None:
        own = devices.positions(len(a), axis_name)[:, None] == jnp.arange(len(rows))[None, :]
        losses = contrastive_out(inner_products(a, rows) / temperature, own, ~own)
    else:
        everything = chunked.cross_logsumexp(a / temperature, rows, chunk_size)
        losses = everything - jnp.sum(a * b, axis=1) / temperature
    return devices.mean(losses, axis_name)
