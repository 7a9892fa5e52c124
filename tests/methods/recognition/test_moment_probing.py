import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep.methods.recognition import moment_probing
from jaxsep.trainers.optimizer import make_optimizer

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SMALL = dict(name='moment', hidden=28)
BATCH = {
    'image': RNG.integers(0, 256, (6, 6, 6, 1)).astype(np.uint8),
    'tokens': RNG.normal(size=(6, 5, 4)).astype(np.float32),
    'class': RNG.normal(size=(6, 3)).astype(np.float32),
    'label': np.arange(6, dtype=np.int32) % 3,
}


def cross_entropy(logits, labels):
    z = np.asarray(logits, np.float64)
    z = z - z.max(1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels])


@pytest.mark.parametrize(
    ('first', 'moment'), [('', BATCH['tokens'].mean(1)), ('class', BATCH['class'])]
)
def test_the_first_moment_is_the_mean_token_or_a_column(first, moment):
    method = moment_probing.make(num_classes=3, probe=dict(name='linear'), first=first)
    params, extra = method.init(KEY, BATCH)
    found = method.outputs(params, extra, BATCH)
    np.testing.assert_allclose(found['embedding'], moment, rtol=1e-5, atol=1e-6)
    last = params['probe']['last']
    logits = moment @ np.asarray(last['kernel']) + np.asarray(last['bias'])
    np.testing.assert_allclose(found['logits'], logits, rtol=1e-4, atol=1e-5)
    value, (_, metrics) = method.loss(params, extra, BATCH, KEY)
    np.testing.assert_allclose(value, cross_entropy(logits, BATCH['label']), rtol=1e-5)
    assert metrics['accuracy'] == np.mean(logits.argmax(1) == BATCH['label'])


def test_second_moments_tell_apart_what_the_mean_does_not():
    """Tokens of mean 0 and variance 1 in all classes, whose pairs of channels go together or not."""
    x = RNG.choice([-1.0, 1.0], (48, 40, 2))
    labels = np.arange(48) % 2
    x[labels == 1, :, 1] = x[labels == 1, :, 0]
    tokens = np.concatenate([x, -x], 1).astype(np.float32)  # the mean is 0 exactly
    batch = {'tokens': jnp.asarray(tokens), 'label': jnp.asarray(labels)}
    accuracy = {}
    for name in ('linear', 'moment'):
        method = moment_probing.make(num_classes=2, probe=dict(SMALL, name=name))
        params, extra = method.init(KEY, batch)
        optimizer = optax.adam(1e-2)

        @jax.jit
        def fit(params, method=method, extra=extra, optimizer=optimizer):
            def step(carry, _):
                params, state = carry
                gradient = jax.grad(lambda p: method.loss(p, extra, batch, KEY)[0])(params)
                updates, state = optimizer.update(gradient, state)
                return (optax.apply_updates(params, updates), state), None

            return jax.lax.scan(step, (params, optimizer.init(params)), length=60)[0][0]

        logits = method.outputs(fit(params), extra, batch)['logits']
        accuracy[name] = float(np.mean(np.argmax(logits, 1) == labels))
    assert accuracy['moment'] == 1.0 and accuracy['linear'] == 0.5


def test_a_frozen_network_inside_gives_the_tokens_of_its_own_stage():
    given = dict(num_classes=3, widths=(4, 6), strides=(1, 2))
    network = moment_probing.make(stage='network', **given)
    params, extra = jax.jit(network.init)(KEY, BATCH)
    _, (extra, _) = jax.jit(network.loss)(params, extra, BATCH, KEY)
    seen = network.outputs(params, extra, BATCH)
    assert seen['tokens'].shape == (6, 9, 6) and set(params) == {'network', 'classifier'}
    tokens = BATCH | {'tokens': np.asarray(seen['tokens'])}
    reading = moment_probing.make(probe=SMALL, **given)
    running = moment_probing.make(probe=SMALL, inside=True, **given)
    probe, _ = reading.init(KEY, tokens)
    np.testing.assert_allclose(
        running.outputs({**params, **probe}, extra, BATCH)['logits'],
        reading.outputs(probe, {}, tokens)['logits'],
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    value, (same, _) = running.loss({**params, **probe}, extra, BATCH, KEY)
    other, _ = reading.loss(probe, {}, tokens, KEY)
    np.testing.assert_allclose(value, other, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(extra), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_the_config_freezes_stays_and_recalibration_and_probe_learn():
    method = moment_probing.make(
        num_classes=3, probe=SMALL, inside=True, reduction=2, widths=(4, 6), strides=(1, 2)
    )
    params, extra = jax.jit(method.init)(KEY, BATCH)
    optimizer = make_optimizer(
        name='adamw',
        learning_rate=0.1,
        num_steps=5,
        weight_decay=0.1,
        freeze=('network/(conv|norm)',),
    )

    @jax.jit
    def step(params):
        gradient = jax.grad(lambda p: method.loss(p, extra, BATCH, KEY)[0])(params)
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    after = step(params)
    for name, before in params['network'].items():
        moved = any(
            bool((a != b).any())
            for a, b in zip(
                jax.tree.leaves(after['network'][name]), jax.tree.leaves(before), strict=True
            )
        )
        assert moved == name.startswith('psrp'), name
    assert (after['probe']['last']['kernel'] != params['probe']['last']['kernel']).any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stage': 'mp'}, "stage: expected one of .*, got 'mp'"),
        ({'reduction': 4}, 'reduction: expected 0, or more with inside=True, got 4'),
        ({'reduction': -1, 'inside': True}, 'reduction: expected 0, or more .*, got -1'),
        ({'widths': (4,)}, r'widths, strides: expected as many.*, got \(4,\) and \(1, 2, 1\)'),
        ({'widths': (4, 0, 4)}, 'widths, strides: expected as many, all positive'),
        ({'probe': {'name': 'knn'}}, "probe.name: expected one of .*, got 'knn'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        moment_probing.make(**dict(num_classes=3) | options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'input': 'x'}, "input: no column 'x'; there are"),
        ({'first': 'cls'}, "first: no column 'cls'; there are"),
        ({'input': 'class'}, r'input: expected tokens \[b, n, d\], got shape \(6, 3\)'),
    ],
)
def test_columns_that_are_missing_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        moment_probing.make(num_classes=3, probe=SMALL, **options).init(KEY, BATCH)
