"""Losses of probabilistic auto-encoders whose codes say much about their inputs: MIM and cMIM.

An encoder gives q(z|x), a Gaussian of mean and log-variance per example; a decoder gives p(x|z).
All log-probabilities are SUMS over dimensions and pixels: with means, the balance between
the decoder and the code would be another one.

With `axis_name`, inside pmap or shard_map, each device brings its own rows; scalars are those of
the rows of all devices, as in `jaxsep.losses.contrastive`.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.contrastive import Scalar, check_temperature, nt_xent
from jaxsep.ops import devices
from jaxsep.ops.chunked import ChunkSize
from jaxsep.ops.geometry import in_float32, l2_normalize
from jaxsep.ops.masks import masked_logsumexp


def reparametrize(
    mean: Float[Array, 'b d'], logvar: Float[Array, 'b d'], noise: Float[Array, 'b d']
) -> Float[Array, 'b d']:
    """A Gaussian sample as a differentiable function of its mean and variance.

    z = mean + exp(logvar/2) noise, noise standard normal.

    Source: Kingma 2014, section 2.4, https://arxiv.org/abs/1312.6114
    """
    return in_float32(mean) + jnp.exp(0.5 * in_float32(logvar)) * in_float32(noise)


def gaussian_log_prob(
    x: Float[Array, 'b *s'], mean: Float[Array, 'b *s'], logvar: Float[Array, 'b *s']
) -> Float[Array, 'b']:
    """The log-density of rows under Gaussians with independent dimensions, summed over them.

    log p = -1/2 sum_d ( log(2 pi) + logvar_d + (x_d - mean_d)^2/exp(logvar_d) ). Squares of
    differences beyond 1e18 overflow float32.

    Empty case: 0 without dimensions.
    """
    x, mean, logvar = in_float32(x), in_float32(mean), in_float32(logvar)
    # One exponential before the square: the product overflows later than its factors.
    scaled = (x - mean) * jnp.exp(-0.5 * logvar)
    return -0.5 * _sum_dimensions(math.log(2 * math.pi) + logvar + jnp.square(scaled))


def bernoulli_log_prob(x: Float[Array, 'b *s'], logits: Float[Array, 'b *s']) -> Float[Array, 'b']:
    """The log-probability of pixels in [0, 1] under Bernoulli distributions, summed over pixels.

    log p = sum_d ( x_d log sigma(l_d) + (1 - x_d) log(1 - sigma(l_d)) ), l the logits. A grey
    x_d is the mean of black and white ones.

    Empty case: 0 without pixels.
    """
    x, logits = in_float32(x), in_float32(logits)
    return _sum_dimensions(x * logits - jax.nn.softplus(logits))


def pair_log_prob(
    z: Float[Array, 'b d'],
    mean: Float[Array, 'b d'] | None = None,
    temperature: Scalar = 0.1,
    *,
    axis_name: str | None = None,
) -> Float[Array, 'b']:
    """The log-probability that a code belongs to its own example, per code.

    log p_i = s_ii - log( exp(s_ii) + mean_{j != i} exp(s_ij) ), s_ij = cos(z_i, m_j)/temperature.
    The negatives enter as a MEAN, not as a sum, hence a probability that does not shrink as the
    batch grows. m are the samples z themselves, with s_ii = 1/temperature, or the mean codes
    if given; those also pull each sample towards its mean, that is to low noise. With
    `axis_name` the local codes are compared with those of all devices, and the values of the
    local codes returned.

    Empty case: 0 with zero gradient for a single code, which has no others.

    >>> import jax, jax.numpy as jnp
    >>> alike = jax.jit(pair_log_prob)(jnp.ones((8, 2)))
    >>> round(alike[0].item(), 4)  # log(1/2), for any batch
    -0.6931

    Source: Livne 2025, https://arxiv.org/abs/2509.21511; the form of the factor is not checked
    against code of the paper, which is not public.
    """
    check_temperature(temperature)
    z = l2_normalize(z)
    own = z if mean is None else l2_normalize(mean)
    rows, places = devices.gather(own, axis_name), devices.positions(len(z), axis_name)
    if len(rows) < 2:
        return jnp.zeros(len(z), z.dtype)
    logits = jnp.matmul(z, rows.T, precision=jax.lax.Precision.HIGHEST) / temperature
    others = places[:, None] != jnp.arange(len(rows))[None, :]
    negatives = masked_logsumexp(logits, others) - math.log(len(rows) - 1)
    return -jax.nn.softplus(negatives - jnp.sum(z * own, axis=-1) / temperature)


def amim_loss(
    log_px: Float[Array, 'b'],
    log_q: Float[Array, 'b'],
    log_prior: Float[Array, 'b'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The asymmetric mutual information machine: a good decoder of codes that are far from noise.

    mean_i ( -log p(x_i|z_i) - 1/2 (log q(z_i|x_i) + log P(z_i)) ), z_i a reparametrised sample
    of q. Gradients flow into log_q, also through z. Unlike in the VAE, log q is RAISED: variances
    shrink as far as they are allowed to, so that they need a floor.

    Empty case: 0.

    Source: Livne 2020 (MIM and A-MIM), https://arxiv.org/abs/1910.03175 and
    https://arxiv.org/abs/2003.02645; signs as in NVIDIA NeMo, MegatronAMIMHiddenLoss.
    """
    log_px, log_q, log_prior = map(in_float32, (log_px, log_q, log_prior))
    return devices.mean(-log_px - 0.5 * (log_q + log_prior), axis_name)


def cmim_loss(
    log_px: Float[Array, 'b'],
    log_q: Float[Array, 'b'],
    log_prior: Float[Array, 'b'],
    log_pair: Float[Array, 'b'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The contrastive mutual information machine: `amim_loss` and the factor of the own pair.

    amim_loss(log_px, log_q, log_prior) - mean_i log_pair_i, log_pair of `pair_log_prob`. The
    weight is 1, since it is a factor of the model's distribution.

    Empty case: 0.

    Source: Livne 2025, https://arxiv.org/abs/2509.21511
    """
    pairs = devices.mean(in_float32(log_pair), axis_name)
    return amim_loss(log_px, log_q, log_prior, axis_name=axis_name) - pairs


def negative_elbo(
    log_px: Float[Array, 'b'],
    log_q: Float[Array, 'b'],
    log_prior: Float[Array, 'b'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The loss of the variational auto-encoder, with the divergence from the prior sampled.

    mean_i ( -log p(x_i|z_i) + log q(z_i|x_i) - log P(z_i) ), z_i a reparametrised sample of q.

    Empty case: 0.

    Source: Kingma 2014, equation 6, https://arxiv.org/abs/1312.6114
    """
    log_px, log_q, log_prior = map(in_float32, (log_px, log_q, log_prior))
    return devices.mean(-log_px + log_q - log_prior, axis_name)


def infonce_code(
    mean: Float[Array, 'b d'],
    logvar: Float[Array, 'b d'],
    noise: Float[Array, 'b 2 d'],
    temperature: Scalar = 0.1,
    *,
    axis_name: str | None = None,
    chunk_size: ChunkSize = None,
) -> Float[Array, '']:
    """InfoNCE without augmentation: two samples of one code are the positive pair.

    `nt_xent` of z = mean + exp(logvar/2) noise_1 and of the same with noise_2: a SUM over the
    negatives, and no decoder. What cMIM is compared with.

    Empty case: 0 without codes, or with a single one.

    Source: Livne 2025, https://arxiv.org/abs/2509.21511 (the baseline)
    """
    first, second = (reparametrize(mean, logvar, noise[:, view]) for view in (0, 1))
    return nt_xent(first, second, temperature, axis_name=axis_name, chunk_size=chunk_size)


def _sum_dimensions(values):
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))
