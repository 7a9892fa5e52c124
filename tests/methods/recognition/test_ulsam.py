import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.methods.recognition import ulsam

rng = np.random.default_rng(0)
BATCH = {
    'image': rng.integers(0, 256, (8, 16, 16, 1)).astype(np.uint8),
    'label': rng.integers(0, 3, 8).astype(np.int32),
    'index': np.arange(8, dtype=np.int32),
}
SMALL = dict(network='small', places=(7, 8), num_classes=3)


def test_outputs_are_logits_embedding_and_attention_and_the_loss_learns_the_statistics():
    method = ulsam.make(**SMALL, label_smoothing=0.1)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        value, (after, metrics) = method.loss(params, extra, batch, jax.random.key(1))
        return value, extra, after, metrics, method.outputs(params, extra, batch)

    value, extra, after, metrics, found = jax.device_get(all_of_it(BATCH))
    assert set(found) == {'logits', 'embedding', 'attention'}
    assert found['logits'].shape == (8, 3) and found['embedding'].shape == (8, 64)
    assert found['attention'].shape == (8, 4, 4)
    np.testing.assert_allclose(found['attention'].sum((1, 2)), 1, rtol=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), extra, after)
    assert all(m > 0 for m in jax.tree.leaves(moved))
    assert np.isfinite(value) and 0 <= metrics['accuracy'] <= 1


def test_the_loss_is_smoothed_cross_entropy_of_the_logits_in_training():
    method = ulsam.make(**SMALL, label_smoothing=0.1)
    plain = ulsam.make(**SMALL)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        params['head']['kernel'] = jnp.zeros_like(params['head']['kernel'])  # logits are the bias
        params['head']['bias'] = jnp.arange(3.0)
        return [m.loss(params, extra, batch, jax.random.key(1))[0] for m in (method, plain)]

    logits = jnp.tile(jnp.arange(3.0), (8, 1))
    for value, smoothing in zip(all_of_it(BATCH), (0.1, 0.0), strict=True):
        expected = cross_entropy(logits, jnp.asarray(BATCH['label']), smoothing=smoothing)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize('options, attends', [(dict(places=()), False), (dict(change='drop'), False),
                                              (dict(change='insert'), True)])  # fmt: skip
def test_there_is_attention_where_a_module_is(options, attends):
    method = ulsam.make(**SMALL | options)
    params, extra = jax.eval_shape(method.init, jax.random.key(0), BATCH)
    found = jax.eval_shape(method.outputs, params, extra, BATCH)
    assert ('attention' in found) == attends
    assert any('ulsam' in name for name in params) == attends


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(network='resnet'), "network: expected one of .*, got 'resnet'"),
        (dict(places=(9,)), 'places: expected layers from 2 to 8, got 9'),
        (dict(change='skip'), "change: expected one of .*, got 'skip'"),
        (dict(num_splits=5), 'num_splits: expected a divisor of 64 channels, got 5'),
        (dict(momentum=1.0), 'momentum: expected a share from 0 to below 1, got 1.0'),
        (
            dict(label_smoothing=-0.1),
            'label_smoothing: expected a number from 0 to below 1, got -0.1',
        ),
        (dict(augment=dict(crops={})), "unknown augmentation 'crops'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ulsam.make(**SMALL | options)


def test_a_missing_label_column_is_named():
    with pytest.raises(ValueError, match="label: no column 'animal'; there are .*'label'"):
        ulsam.make(**SMALL, label='animal').init(jax.random.key(0), BATCH)
