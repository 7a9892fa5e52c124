import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.methods.recognition import dhvt

rng = np.random.default_rng(0)
BATCH = {
    'image': rng.integers(0, 256, (8, 8, 8, 1)).astype(np.uint8),
    'label': rng.integers(0, 3, 8).astype(np.int32),
    'index': np.arange(8, dtype=np.int32),
}
SMALL = dict(width=8, depth=2, num_heads=2, expansion=2, drop_path=0.0, num_classes=3)


def surprise(logits, smoothing=0.0):
    return cross_entropy(jnp.asarray(logits), jnp.asarray(BATCH['label']), smoothing=smoothing)


def run(keys=(0,), batch=BATCH, **options):
    """Variables, the losses under some keys, and outputs of a small model."""
    method = dhvt.make(**SMALL | options)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        losses = [method.loss(params, extra, batch, jax.random.key(k))[0] for k in keys]
        return (params, extra), losses, method.outputs(params, extra, batch)

    return jax.device_get(all_of_it(batch))


def test_outputs_are_logits_embedding_and_a_map_of_attention():
    _, losses, found = run(keys=(1, 2))
    assert set(found) == {'logits', 'embedding', 'attention'}
    assert found['logits'].shape == (8, 3) and found['embedding'].shape == (8, 8)
    assert found['attention'].shape == (8, 2, 2)
    total = found['attention'].sum((1, 2))
    assert (found['attention'] > 0).all() and (total < 1).all() and (total > 0.2).all()
    assert losses[0] == losses[1]  # without drop path and augmentation nothing is drawn


def test_the_plain_transformer_has_none_of_the_parts_and_its_loss_is_smoothed_cross_entropy():
    (params, extra), losses, found = run(parts=(), label_smoothing=0.1)
    assert not extra  # no batch norm: training and evaluation are the same
    assert set(params['encoder']['block_0']['feed_forward']) == {'hidden', 'output'}
    assert 'positions' in params['encoder']
    np.testing.assert_allclose(losses[0], surprise(found['logits'], 0.1), rtol=1e-5)


def test_drop_path_is_drawn_from_the_key():
    _, losses, found = run(keys=(1, 2, 1), parts=(), drop_path=0.5)
    assert losses[0] == losses[2] != losses[1]
    assert np.abs(np.array(losses) - surprise(found['logits'])).min() > 1e-6


def test_positions_are_learned_unless_all_parts_are_there():
    images = {**BATCH, 'image': BATCH['image'][:2], 'label': BATCH['label'][:2]}
    for options, there in (
        (dict(), False),
        (dict(positions=True), True),
        (dict(parts=('overlap', 'heads')), True),
        (dict(parts=(), positions=False), False),
    ):
        method = dhvt.make(**SMALL | options)
        params, _ = jax.eval_shape(method.init, jax.random.key(0), images)
        assert ('positions' in params['encoder']) == there


def test_images_are_resized_and_normalised():
    method = dhvt.make(**SMALL, parts=(), image_size=16, pixel_mean=(0.5,), pixel_std=(0.25,))
    plain = dhvt.make(**SMALL, parts=(), image_size=0)

    @jax.jit
    def both(batch):
        params, extra = method.init(jax.random.key(0), batch)
        image = jax.image.resize(batch['image'] / 255.0, (8, 16, 16, 1), 'bilinear')
        same = {**batch, 'image': (image - 0.5) / 0.25}
        return method.outputs(params, extra, batch), plain.outputs(params, extra, same)

    a, b = both(BATCH)
    assert a['attention'].shape == (8, 4, 4)
    np.testing.assert_allclose(a['logits'], b['logits'], rtol=1e-4, atol=1e-5)


def test_another_encoder_is_a_baseline_without_attention():
    encoder = dict(name='conv', widths=(4,), features=0)
    (params, extra), _, found = run(encoder=encoder)
    assert set(found) == {'logits', 'embedding'} and found['embedding'].shape == (8, 4)
    assert set(params) == {'encoder', 'head'} and extra


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(label_smoothing=1.0),
            'label_smoothing: expected a number from 0 to below 1, got 1.0',
        ),
        (dict(image_size=-1), 'image_size: expected 0 or more pixels, got -1'),
        (dict(parts=('conv',)), "parts: expected some of .*, got 'conv'"),
        (dict(num_heads=3), 'num_heads: expected a divisor of width 8, got 3'),
        (dict(encoder=dict(name='vgg')), "encoder.name: expected one of .*, got 'vgg'"),
        (dict(augment=dict(crops={})), "unknown augmentation 'crops'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        dhvt.make(**SMALL | options)


def test_a_missing_label_column_is_named():
    method = dhvt.make(**SMALL, label='animal')
    with pytest.raises(ValueError, match="label: no column 'animal'; there are .*'label'"):
        method.init(jax.random.key(0), BATCH)
