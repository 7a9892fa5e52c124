"""Classes as anchors: every proxy against all rows of the batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.losses.contrastive import Scalar, cosine_similarities
from jaxsep.ops.devices import gather, mean
from jaxsep.ops.masks import masked_logsumexp, masked_mean


def proxy_anchor(
    embeddings: Float[Array, 'b d'],
    labels: Int[Array, 'b'],
    proxies: Float[Array, 'k d'],
    *,
    margin: Scalar = 0.1,
    alpha: Scalar = 32.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """Each class's proxy attracts its rows and repels the others, the hardest most.

    With cosines s_ic of row i and proxy c: the mean over the classes present in the batch of
    log(1 + sum_{i in c} exp(-alpha (s_ic - margin))), plus the mean over all classes of
    log(1 + sum_{i not in c} exp(alpha (s_ic + margin))). Rows and proxies are normalised inside.

    Empty case: an empty batch gives 0; a class without rows has no attraction, and one that
    owns all rows no repulsion, both with zero gradient.

    Args:
      proxies: one row per class, learnt with the network.
      axis_name: inside pmap or shard_map, the axis that the rows are sharded over; the
        proxies are the same on every device.

    >>> import jax.numpy as jnp
    >>> z = jnp.eye(3)
    >>> aligned = proxy_anchor(z, jnp.arange(3), z)
    >>> bool(aligned < proxy_anchor(z, jnp.arange(3), z[::-1]))
    True

    Source: Kim 2020, equation 4, https://arxiv.org/abs/2003.13911
    """
    cosines = cosine_similarities(proxies, embeddings)
    own = jnp.arange(proxies.shape[0])[:, None] == labels[None, :]
    attraction, present = _log_one_plus_sum(-alpha * (cosines - margin), own, axis_name)
    repulsion, _ = _log_one_plus_sum(alpha * (cosines + margin), ~own, axis_name)
    value = masked_mean(attraction, present) + jnp.sum(repulsion) / max(proxies.shape[0], 1)
    # Equal on all devices already: the mean says so, and makes gradients exact.
    return mean(value[None], axis_name)


def _log_one_plus_sum(logits, mask, axis_name):
    """log(1 + sum exp) over the kept rows of all devices, and whether there are any; per class."""
    per_device = gather(masked_logsumexp(logits, mask)[None, :], axis_name)
    any_kept = per_device > -jnp.inf
    total = masked_logsumexp(per_device, any_kept, axis=0)
    present = jnp.any(any_kept, axis=0)
    return jnp.where(present, jax.nn.softplus(jnp.where(present, total, 0.0)), 0.0), present
