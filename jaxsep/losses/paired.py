"""Contrastive losses between two sets of rows: images and texts, queries and keys.

`axis_name` and `chunk_size` as in `jaxsep.losses.contrastive`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar, check_temperature, contrastive_out
from jaxsep.ops import chunked, devices
from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import inner_products, l2_normalize


def clip_info_nce(
    a: Float[Array, 'b d'],
    b: Float[Array, 'b d'],
    temperature: Scalar = 0.07,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Cross-entropy of matching pairs across two modalities, averaged over both directions.

    S = cosine(a, b)/temperature; 0.5 (CE(S, arange) + CE(S^T, arange)). Pairs within a
    modality take no part. The rows are normalised inside.

    Empty case: a single pair gives 0.

    Source: Radford 2021 (CLIP), figure 3, https://arxiv.org/abs/2103.00020
    """
    check_temperature(temperature)
    a, b = l2_normalize(a), l2_normalize(b)
    if chunk_size is not None and axis_name is None:
        rows, columns = chunked.two_sided_logsumexp(a / temperature, b, chunk_size)
        losses = 0.5 * (rows + columns) - _matching(a, b) / temperature
        return devices.mean(losses, axis_name)
    forward = _matching_cross_entropy(a, b, temperature, axis_name, chunk_size)
    backward = _matching_cross_entropy(b, a, temperature, axis_name, chunk_size)
    return 0.5 * (devices.mean(forward, axis_name) + devices.mean(backward, axis_name))


def mocov3(
    q: Float[Array, 'b d'],
    k: Float[Array, 'b d'],
    temperature: Scalar = 0.2,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Cross-entropy of each query's own key among the keys of the batch, times 2 temperature.

    2 temperature CE(cosine(q, k)/temperature, arange): one direction; add the loss with the views
    exchanged. The rows are normalised inside; no gradient flows into `k`.

    Empty case: a single pair gives 0.

    Source: Chen 2021 (MoCo v3), algorithm 1, https://arxiv.org/abs/2104.02057
    """
    check_temperature(temperature)
    q, k = l2_normalize(q), l2_normalize(jax.lax.stop_gradient(k))
    losses = _matching_cross_entropy(q, k, temperature, axis_name, chunk_size)
    return 2 * temperature * devices.mean(losses, axis_name)


def queue_info_nce(
    q: Float[Array, 'b d'],
    k: Float[Array, 'b d'],
    queue: Float[Array, 'n d'],
    temperature: Scalar = 0.2,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Cross-entropy of each query's own key against a queue of negatives.

    mean_i -log( exp(q_i.k_i/temperature) / (exp(q_i.k_i/temperature) + sum_n exp(q_i.queue_n/
    temperature)) ). All rows are normalised inside; no gradient flows into `k` and `queue`.
    Zero rows of a queue that is not yet full count as negatives of similarity 0. With
    `axis_name` every device has the same queue.

    Empty case: an empty queue gives 0.

    Source: He 2020 (MoCo), equation 1, https://arxiv.org/abs/1911.05722
    """
    check_temperature(temperature)
    q, k = l2_normalize(q), l2_normalize(jax.lax.stop_gradient(k))
    queue = l2_normalize(jax.lax.stop_gradient(queue))
    own = _matching(q, k) / temperature
    if chunk_size is None:
        logits = jnp.concatenate([own[:, None], inner_products(q, queue) / temperature], axis=1)
        positive = jnp.broadcast_to(jnp.arange(logits.shape[1]) == 0, logits.shape)
        losses = contrastive_out(logits, positive, ~positive)
    else:
        losses = jax.nn.softplus(chunked.cross_logsumexp(q / temperature, queue, chunk_size) - own)
    return devices.mean(losses, axis_name)


def siglip(
    a: Float[Array, 'b d'],
    b: Float[Array, 'b d'],
    logit_scale: Scalar = 10.0,
    bias: Scalar = -10.0,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """Every pair of two modalities classified by itself as matching or not: no softmax.

    -(1/b) sum_ij log sigmoid(y_ij (logit_scale cosine(a_i, b_j) + bias)), y_ij = 1 for the
    matching pair and -1 for all others. Scale and bias are learnt in the paper, from 10 and
    -10. The rows are normalised inside.

    Empty case: 0.

    Source: Zhai 2023 (SigLIP), algorithm 1, https://arxiv.org/abs/2303.15343
    """
    a, b = l2_normalize(a), devices.gather(l2_normalize(b), axis_name)
    places, numbers = devices.positions(len(a), axis_name), jnp.arange(len(b))

    def of_anchors(anchors, places):
        logits = logit_scale * inner_products(anchors, b) + bias
        matching = places[:, None] == numbers[None, :]
        return -jnp.sum(jax.nn.log_sigmoid(jnp.where(matching, logits, -logits)), axis=-1)

    losses = chunked.map_rows(of_anchors, chunk_size, a, places)
    return devices.mean(losses, axis_name)


def _matching_cross_entropy(x, y, temperature, axis_name, chunk_size):
    """-log softmax(x_i . y / temperature)_i for the local rows of x, over the y of all devices."""
    rows = devices.gather(y, axis_name)
    if chunk_size is not None:
        everything = chunked.cross_logsumexp(x / temperature, rows, chunk_size)
        return everything - _matching(x, y) / temperature
    matching = devices.positions(len(x), axis_name)[:, None] == jnp.arange(len(rows))[None, :]
    return contrastive_out(inner_products(x, rows) / temperature, matching, ~matching)


def _matching(x, y):
    return jnp.sum(x * y, axis=-1)
