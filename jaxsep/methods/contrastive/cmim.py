"""cMIM: contrastive mutual information machine, without positive-pair augmentations (Livne, 2025).

A probabilistic auto-encoder. MIM trains encoder q(z|x) and decoder p(x|z) so that codes say much
about their inputs; cMIM multiplies in the probability that a code belongs to its own example,
which spreads the codes of different examples in angle. No augmentation makes positives.
The *informative embedding* is the decoder's last hidden layer at the mean code.

https://arxiv.org/abs/2509.21511. There is no public code of it: the A-MIM loss is checked against
that of NVIDIA NeMo (same author), the form of the contrastive factor against a reference of
our own. The baselines A-MIM, VAE, auto-encoder and InfoNCE are variants of the same network.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsep.data.augment import to_float
from jaxsep.losses.cmim import (
    amim_loss,
    bernoulli_log_prob,
    cmim_loss,
    gaussian_log_prob,
    infonce_code,
    negative_elbo,
    pair_log_prob,
    reparametrize,
)
from jaxsep.method import Method
from jaxsep.models.cmim import Decoder, GaussianEncoder
from jaxsep.models.encoders import apply_train, init_model, make_encoder
from jaxsep.ops import devices

VARIANTS = ('cmim', 'amim', 'vae', 'ae', 'infonce')
POSITIVES = ('sample', 'mean')
LIKELIHOODS = ('bernoulli', 'gaussian')


def make(
    *,
    variant: str = 'cmim',
    code_size: int = 64,
    encoder: Mapping = {'name': 'mlp', 'widths': (256, 256), 'normalize': False},  # noqa: B006
    decoder: Sequence[int] = (256, 256),
    temperature: float = 0.1,
    positive: str = 'sample',
    likelihood: str = 'bernoulli',
    logvar_range: Sequence[float] = (-8.0, 4.0),
    axis_name: str | None = None,
) -> Method:
    """The contrastive MIM as a Method; outputs `embedding`, `informative` and `reconstruction`.

    `embedding` is the mean code, `informative` the last hidden layer of the decoder there,
    `reconstruction` the -log p(x|z) there, in nats per example.

    Args:
      variant: cmim; amim, the same without the contrastive factor; vae; ae, which decodes the mean
        code; infonce, which trains the encoder only, on two samples of each code.
      encoder: name and options for `jaxsep.models.encoders.make_encoder`.
      decoder: widths of the hidden layers.
      temperature: of the cosines between codes, in cmim and infonce.
      positive: what a code is compared with, the 'sample' of every example or its 'mean' code.
      likelihood: 'bernoulli' for pixels in [0, 1]; 'gaussian' of variance 1.
      logvar_range: bounds of the code's log-variance. A-MIM and cMIM go to the lower one.
    """
    for name, value, known in (
        ('variant', variant, VARIANTS),
        ('positive', positive, POSITIVES),
        ('likelihood', likelihood, LIKELIHOODS),
    ):
        if value not in known:
            raise ValueError(f'{name}: expected one of {", ".join(known)}, got {value!r}')
    low, high = logvar_range
    if not low < high:
        raise ValueError(f'logvar_range: expected (low, high), low < high, got ({low}, {high})')
    network = make_encoder(**encoder, axis_name=axis_name)
    encode = GaussianEncoder(network, code_size, (low, high))

    def decode(params, z, x):
        """-log p(x|z) per example, and the last hidden layer."""
        output, hidden = Decoder(decoder, x.shape[1:]).apply({'params': params['decoder']}, z)
        if likelihood == 'bernoulli':
            return -bernoulli_log_prob(x, output), hidden
        return -gaussian_log_prob(x, output, jnp.zeros_like(output)), hidden

    def init(key, batch):
        x = to_float(batch['image'])
        keys = jax.random.split(key)
        params, extra = init_model(encode, keys[0], x)
        code = jnp.zeros((len(x), code_size))
        decoder_params = Decoder(decoder, x.shape[1:]).init(keys[1], code)['params']
        return {'encoder': params, 'decoder': decoder_params}, extra

    def loss(params, extra, batch, key):
        x = to_float(batch['image'])
        keys = devices.example_keys(key, len(x), axis_name)
        (mean, logvar), extra = apply_train(encode, params['encoder'], extra, x)
        draws = 2 if variant == 'infonce' else 1
        noise = jax.vmap(lambda k: jax.random.normal(k, (draws, code_size)))(keys)
        metrics = {'code_std': devices.mean(jnp.mean(jnp.exp(0.5 * logvar), -1), axis_name)}
        if variant == 'infonce':
            value = infonce_code(mean, logvar, noise, temperature, axis_name=axis_name)
            return value, (extra, metrics)
        z = mean if variant == 'ae' else reparametrize(mean, logvar, noise[:, 0])
        error, _ = decode(params, z, x)
        metrics['reconstruction'] = devices.mean(error, axis_name)
        if variant == 'ae':
            return metrics['reconstruction'], (extra, metrics)
        log_q = gaussian_log_prob(z, mean, logvar)
        log_prior = gaussian_log_prob(z, jnp.zeros_like(z), jnp.zeros_like(z))
        terms = -error, log_q, log_prior
        if variant == 'cmim':
            own = mean if positive == 'mean' else None
            log_pair = pair_log_prob(z, own, temperature, axis_name=axis_name)
            metrics['log_pair'] = devices.mean(log_pair, axis_name)
            return cmim_loss(*terms, log_pair, axis_name=axis_name), (extra, metrics)
        variant_loss = amim_loss if variant == 'amim' else negative_elbo
        return variant_loss(*terms, axis_name=axis_name), (extra, metrics)

    def outputs(params, extra, batch):
        x = to_float(batch['image'])
        mean, _ = encode.apply({'params': params['encoder'], **extra}, x)
        error, hidden = decode(params, mean, x)
        return {'embedding': mean, 'informative': hidden, 'reconstruction': error}

    return Method(init, loss, outputs)
