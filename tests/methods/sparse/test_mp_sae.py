import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.sparse import mp_sae
from jaxsep.ops.matching_pursuit import mp_encode

X = (3 + 2 * np.random.default_rng(0).normal(size=(16, 5))).astype(np.float32)


def first_step(**options):
    method = mp_sae.make(num_atoms=12, num_active=2, **options)

    @jax.jit
    def run(x):
        params, extra = method.init(jax.random.key(0), {'features': x})
        value, (extra, metrics) = method.loss(params, extra, {'features': x}, jax.random.key(1))
        return params, extra, value, metrics, method.outputs(params, extra, {'features': x})

    return method, *run(X)


def test_loss_and_outputs_are_those_of_a_pursuit_of_the_standardised_rows():
    method, params, _, value, metrics, outputs = first_step(steps=(1, 4))
    x = (X - X.mean(0)) / np.sqrt(np.mean(np.square(X - X.mean(0))))
    np.testing.assert_allclose(outputs['target'], x, rtol=1e-4, atol=1e-5)
    encode = jax.jit(mp_encode, static_argnames='num_steps')
    found = {k: encode(jnp.asarray(x), params['dictionary'], num_steps=k) for k in (1, 2, 4)}
    np.testing.assert_allclose(value, np.mean(np.square(found[2].residual)), rtol=1e-4)
    np.testing.assert_allclose(outputs['embedding'], found[2].codes, rtol=1e-3, atol=1e-4)
    errors = [np.sum(np.square(found[k].residual), axis=1) for k in (1, 4)]
    np.testing.assert_allclose(outputs['squared_errors'], np.stack(errors, 1), rtol=1e-3)
    assert metrics['active'] <= 2
    longer = jax.tree.map(lambda x: 3 * x, params)
    norms = np.linalg.norm(method.constrain(longer)['dictionary'], axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


def test_moments_of_many_batches_are_those_of_all_rows():
    moments = mp_sae.Moments(jnp.zeros(()), jnp.zeros(5), jnp.zeros(()))
    np.testing.assert_array_equal(mp_sae.standardized(jnp.asarray(X), moments), X)
    for batch in np.split(X, 4):
        moments = mp_sae.observe(moments, jnp.asarray(batch))
    np.testing.assert_allclose(moments.mean, X.mean(0), rtol=1e-5)
    rows = mp_sae.standardized(jnp.asarray(X), moments)
    np.testing.assert_allclose(np.mean(np.square(rows)), 1, rtol=1e-4)


def test_batch_topk_starts_from_the_first_threshold_and_then_averages():
    method, params, extra, *_ = first_step(encoder='batch_topk', standardize=False, momentum=0.75)
    first = extra['threshold']
    assert first > 0
    other = {'features': 2 * X}
    loss = jax.jit(lambda extra, batch: method.loss(params, extra, batch, jax.random.key(0))[1][0])
    mixed = loss(extra, other)['threshold']
    fresh = loss({'threshold': jnp.float32(-1)}, other)['threshold']
    np.testing.assert_allclose(mixed, 0.75 * first + 0.25 * fresh, rtol=1e-6)


def test_penalties_are_added():
    _, _, _, value, metrics, _ = first_step(encoder='relu', l1_weight=0.5)
    np.testing.assert_allclose(value, metrics['error'] + 0.5 * metrics['l1'], rtol=1e-6)
    _, _, _, value, metrics, _ = first_step(encoder='jump_relu', l0_weight=0.5)
    np.testing.assert_allclose(value, metrics['error'] + 0.5 * metrics['active'], rtol=1e-6)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'num_atoms': 0}, 'num_atoms: expected at least 1, got 0'),
        ({'encoder': 'pca'}, "encoder: expected one of .*, got 'pca'"),
        ({'steps': (2, 0)}, r'steps: expected numbers of codes from 1, got \(2, 0\)'),
        ({'dropout': 1.0}, 'dropout: expected 0 <= dropout < 1, got 1.0'),
        ({'l1_weight': -1.0}, 'l1_weight, l0_weight: not negative, got -1.0, 0.0'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        mp_sae.make(**{'num_atoms': 8, 'num_active': 2, **options})
