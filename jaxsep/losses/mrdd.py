"""Masked cross-view prediction, and the terms of a Gaussian autoencoder it is made of.

All are means over images of sums over pixels or codes, so that weights mean the same at any
batch size. The original sums the squared error over the batch too: `b` times ours, with a weight
on the divergence that is `b` times smaller in effect.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar
from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def squared_error(
    images: Float[Array, 'b *s'],
    reconstructions: Float[Array, 'b *s'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The squared error of an example, summed over everything in it.

    mean_i sum_p (images_ip - reconstructions_ip)^2.

    Empty case: 0 without rows.

    >>> import jax.numpy as jnp
    >>> squared_error(jnp.zeros((2, 3)), jnp.ones((2, 3))).item()
    3.0
    """
    difference = in_float32(images) - in_float32(reconstructions)
    flat = difference.reshape(difference.shape[0], math.prod(difference.shape[1:]))
    return devices.mean(jnp.sum(jnp.square(flat), axis=-1), axis_name)


def gaussian_kl(
    mean: Float[Array, 'b d'], log_variance: Float[Array, 'b d'], *, axis_name: str | None = None
) -> Float[Array, '']:
    """How far diagonal Gaussians are from the standard one.

    mean_i 0.5 sum_d mean_id^2 + exp(log_variance_id) - 1 - log_variance_id.

    Empty case: 0 without rows.

    >>> import jax.numpy as jnp
    >>> gaussian_kl(jnp.array([[3.0, 1.0]]), jnp.zeros((1, 2))).item()
    5.0

    Source: Kingma & Welling 2014, appendix B, https://arxiv.org/abs/1312.6114
    """
    mean, log_variance = in_float32(mean), in_float32(log_variance)
    each = jnp.square(mean) + jnp.expm1(log_variance) - log_variance
    return devices.mean(0.5 * jnp.sum(each, axis=-1), axis_name)


def masked_cross_view_prediction(
    views: Float[Array, 'b v h w c'],
    reconstructions: Float[Array, 'b v h w c'],
    mean: Float[Array, 'b d'],
    log_variance: Float[Array, 'b d'],
    *,
    kl_weight: Scalar = 1.0,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """What a common code of masked views pays for predicting the whole views.

    `squared_error` over all views + kl_weight `gaussian_kl`. `views` are the images BEFORE
    masking: the hidden patches of one view must come from the others.

    Empty case: 0 without rows.

    Source: Ke 2024, https://arxiv.org/abs/2403.10897
    """
    error = squared_error(views, reconstructions, axis_name=axis_name)
    return error + kl_weight * gaussian_kl(mean, log_variance, axis_name=axis_name)
