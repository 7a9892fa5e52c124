"""What the contract suite does not see: the variants, and their wrong arguments."""

import functools

import jax
import numpy as np
import pytest

from jaxsep.losses.cmim import bernoulli_log_prob
from jaxsep.methods.contrastive import cmim
from jaxsep.models.cmim import Decoder

B, CODE = 8, 3
OPTIONS = dict(
    code_size=CODE,
    encoder=dict(name='mlp', widths=(6,), normalize=False),
    decoder=(5,),
)
BATCH = {'image': np.random.default_rng(0).uniform(size=(B, 2, 2, 1)).astype(np.float32)}


# Where variances are so small that a sample is the mean code.
SMALL, SMALLER = (-12.0, -11.999), (-16.0, -15.999)


@functools.cache
def variables():
    """Parameters and extra state; every variant has the same."""
    return jax.jit(cmim.make(**OPTIONS).init)(jax.random.key(0), BATCH)


@functools.cache
def start(variant, differentiate=False, **more):
    """Loss and metrics of a variant, from the same start, and the gradient if asked for."""
    method = cmim.make(variant=variant, **{**OPTIONS, **more})
    loss = method.loss
    if differentiate:
        loss = jax.value_and_grad(loss, has_aux=True)
    found = jax.jit(loss)(*variables(), BATCH, jax.random.key(1))
    if not differentiate:
        value, (_, metrics) = found
        return value, metrics
    (value, (_, metrics)), gradient = found
    return value, metrics, gradient


def test_cmim_adds_to_amim_the_factor_of_the_own_pair_and_nothing_else():
    amim, _ = start('amim', logvar_range=SMALL)
    for positive in ('sample', 'mean'):
        value, metrics = start('cmim', logvar_range=SMALL, positive=positive)
        assert metrics['log_pair'] < 0
        np.testing.assert_allclose(value, amim - metrics['log_pair'], rtol=1e-5)


def test_amim_rewards_small_variances_and_the_vae_charges_for_them_twice_as_much():
    nats = 0.5 * CODE * 4  # what log q rises by
    for variant, change in (('amim', -nats / 2), ('vae', nats)):
        before, metrics = start(variant, logvar_range=SMALL)
        after, _ = start(variant, logvar_range=SMALLER)
        np.testing.assert_allclose(after - before, change, atol=0.02)
        np.testing.assert_allclose(metrics['code_std'], np.exp(-6), rtol=1e-3)


def test_infonce_leaves_the_decoder_alone_and_an_auto_encoder_the_variances():
    _, _, gradient = start('infonce', True)
    assert not any(np.any(g) for g in jax.tree.leaves(gradient['decoder']))
    assert any(np.any(g) for g in jax.tree.leaves(gradient['encoder']))
    value, metrics, gradient = start('ae', True)
    assert value == metrics['reconstruction']
    head = gradient['encoder']['Dense_0']
    assert np.any(head['bias'][:CODE]) and not np.any(head['bias'][CODE:])


def test_the_reconstruction_is_that_of_the_mean_code():
    method = cmim.make(**OPTIONS)
    decoder = Decoder(OPTIONS['decoder'], BATCH['image'].shape[1:])

    @jax.jit
    def both(params, extra, batch):
        found = method.outputs(params, extra, batch)
        logits, hidden = decoder.apply({'params': params['decoder']}, found['embedding'])
        return found, -bernoulli_log_prob(batch['image'], logits), hidden

    found, error, hidden = both(*variables(), BATCH)
    np.testing.assert_allclose(found['reconstruction'], error, rtol=1e-6)
    np.testing.assert_allclose(found['informative'], hidden, rtol=1e-6)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'variant': 'mim'}, "variant: expected one of cmim, amim, vae, ae, infonce, got 'mim'"),
        ({'positive': 'self'}, "positive: expected one of sample, mean, got 'self'"),
        ({'likelihood': 'poisson'}, 'likelihood: expected one of bernoulli, gaussian'),
        ({'logvar_range': (1.0, -1.0)}, r'logvar_range: expected \(low, high\), low < high'),
    ],
)
def test_a_wrong_argument_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        cmim.make(**{**OPTIONS, **wrong})
