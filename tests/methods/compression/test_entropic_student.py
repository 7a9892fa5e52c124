import functools
import importlib.util
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep import configuration, session
from jaxsep.data import source
from jaxsep.evals import rate
from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.methods.compression import entropic_student
from jaxsep.models import entropic_student as models

ROOT = pathlib.Path(__file__).parents[3]
RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.integers(0, 256, (16, 12, 12, 1)).astype(np.uint8),
    'label': np.arange(16, dtype=np.int32) % 3,
    'index': np.arange(16, dtype=np.int32),
}
NETWORK = dict(width=4, blocks=(0, 0, 0, 0))
STUDENTS = ('imitate', 'finetune', 'input_codec', 'end_to_end')


def make(stage, **options):
    given = dict(num_classes=3, channels=2, beta=0.1, radius=15, network=NETWORK) | options
    return entropic_student.make(stage=stage, **given)


class Learnt(NamedTuple):
    params: dict
    extra: dict
    value: jax.Array
    grads: dict
    new: dict
    metrics: dict
    other: jax.Array
    outputs: dict


@functools.lru_cache
def learnt(stage, **options):
    """Parameters, extra, loss, gradients, new extra, metrics, the loss of another key, outputs."""
    method = make(stage, coded=True, **options)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.begin(*method.init(jax.random.key(0), batch))
        step = jax.value_and_grad(method.loss, has_aux=True)
        (value, (new, metrics)), grads = step(params, extra, batch, jax.random.key(1))
        other, _ = method.loss(params, extra, batch, jax.random.key(7))
        outputs = method.outputs(params, extra, batch)
        return Learnt(params, extra, value, grads, new, metrics, other, outputs)

    return all_of_it(BATCH)


def zero(tree):
    return all(np.all(leaf == 0) for leaf in jax.tree.leaves(tree))


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(np.all(x == y)), a, b)))


def test_imitation_runs_on_the_teachers_layers_and_moves_the_bottleneck_only():
    params, extra, value, grads, new, metrics, other, _ = learnt('imitate')
    for name, leaves in params['tail'].items():
        assert equal(leaves, params['teacher'][name])
    for name, leaves in extra['tail']['batch_stats'].items():
        assert equal(leaves, extra['teacher']['batch_stats'][name])
    assert zero(grads['teacher']) and zero(grads['tail']) and equal(new, extra)
    assert all(not zero(grads['bottleneck'][p]) for p in ('encoder', 'decoder', 'entropy'))
    want = metrics['squared_error'] + 0.1 * metrics['bits'] + metrics['quantiles']
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert abs(other - value) > 1e-6  # other noise


def test_without_a_weight_of_the_bits_the_density_learns_nothing_but_its_quantiles():
    method, found = make('imitate', beta=0.0), learnt('imitate')

    def loss(density):
        layer = found.params['bottleneck'] | {'entropy': density}
        params = found.params | {'bottleneck': layer}
        return method.loss(*method.begin(params, found.extra), BATCH, jax.random.key(1))[0]

    grads = jax.jit(jax.grad(loss))(found.params['bottleneck']['entropy'])
    quantiles = found.grads['bottleneck']['entropy']['quantiles']
    np.testing.assert_array_equal(grads.pop('quantiles'), quantiles)
    assert np.all(quantiles != 0) and zero(grads)


def test_a_stage_begins_with_its_own_weight_of_the_bits():
    for stage in ('imitate', 'input_codec', 'end_to_end'):
        found = learnt(stage)
        earlier = found.extra | {'beta': jnp.float32(7.0)}
        _, extra = make(stage, beta=0.3).begin(found.params, earlier)
        assert extra['beta'] == jnp.float32(0.3) and found.extra['beta'] == jnp.float32(0.1)
    assert 'beta' not in learnt('finetune').extra


def test_a_pretrained_teacher_begins_with_given_weights_but_for_its_last_layer(monkeypatch):
    batch = {'image': np.zeros((2, 32, 32, 1), np.uint8), 'label': np.zeros(2, np.int32)}
    lite = dict(network=dict(name='efficientnet_lite0'))
    teacher = make('teacher', pretrained=True, **lite)
    params, extra = jax.eval_shape(teacher.init, jax.random.key(0), batch)
    params, extra = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (params, extra))
    trained = {
        'params': jax.tree.map(lambda x: x + 1, params['teacher']['network']),
        'batch_stats': jax.tree.map(lambda x: x + 2, extra['teacher']['batch_stats']['network']),
    }
    read = entropic_student.efficientnet_lite0
    monkeypatch.setattr(read, 'trained_variables', lambda: trained)
    begun, stats = teacher.begin(params, extra)
    for name, layer in begun['teacher']['network'].items():
        expected = 0 if name == 'logits' else 1
        assert all((x == expected).all() for x in jax.tree.leaves(layer)), name
    assert all((x == 2).all() for x in jax.tree.leaves(stats))
    # The student goes on from the teacher's layers after its first map.
    student = make('imitate', **lite)
    shapes = jax.eval_shape(student.init, jax.random.key(0), batch)
    tail, later = shapes[0]['tail'], shapes[1]['tail']['batch_stats']
    assert {'stage3_block1', 'head', 'logits'} <= set(tail['network'])
    assert not {'stem', 'stage1_block1', 'stage2_block2'} & set(tail['network'])
    assert 'stage7_block1' in later['network'] and 'stem_norm' not in later['network']
    whole = shapes[0] | {'teacher': begun['teacher']}
    moved, _ = student.begin(whole, shapes[1] | stats)
    assert (moved['tail']['network']['stage7_block1']['project']['kernel'] == 1).all()
    (value, _) = jax.eval_shape(student.loss, *shapes, batch, jax.random.key(1))
    assert value.shape == ()


def test_fine_tuning_moves_decoder_and_later_layers_only():
    params, extra, value, grads, new, metrics, other, outputs = learnt('finetune')
    assert zero(grads['teacher']) and zero(grads['bottleneck']['encoder'])
    assert zero(grads['bottleneck']['entropy']) and not zero(grads['bottleneck']['decoder'])
    assert set(grads['tail']) == {'stage2', 'stage3', 'stage4', 'head'}
    assert not any(map(zero, grads['tail'].values()))
    assert equal(new['teacher'], extra['teacher']) and not equal(new['tail'], extra['tail'])
    np.testing.assert_allclose(metrics['bits'], outputs['bits'].mean(), rtol=1e-5)
    np.testing.assert_allclose(other, value, rtol=1e-6)  # no noise


def test_fine_tuning_with_the_labels_alone_is_cross_entropy_of_the_rounded_latents():
    layer = models.Bottleneck(2, models.FeatureDecoder(4))
    net = models.StagedNetwork(3, **NETWORK)

    @jax.jit
    def losses(batch):
        params, extra = make('finetune').init(jax.random.key(0), batch)
        params['bottleneck']['entropy']['quantiles'] += 0.37
        sent = layer.apply({'params': params['bottleneck']}, batch['image'] / 255.0, method='send')
        tail = {'params': params['tail'], **extra['tail']}
        (_, logits), _ = net.apply(  # statistics are the batch's
            tail, sent.decoded, train=True, method='tail', mutable=['batch_stats']
        )
        median, plain = (
            make('finetune', alpha=1.0, rounding=way).loss(params, extra, batch, jax.random.key(1))
            for way in ('median', 'plain')
        )
        return median[0], plain[0], cross_entropy(logits, batch['label'])

    median, plain, want = losses(BATCH)
    np.testing.assert_allclose(median, want, rtol=1e-5)
    assert abs(median - plain) > 1e-6


def test_the_codec_of_the_image_leaves_the_teacher_alone_and_the_end_to_end_student_has_none():
    found = learnt('input_codec')
    assert set(found.params) == {'teacher', 'bottleneck'} and zero(found.grads['teacher'])
    assert equal(found.new, found.extra) and found.metrics['squared_error'] > 0
    found = learnt('end_to_end')
    assert set(found.params) == {'tail', 'bottleneck'} and abs(found.other - found.value) > 1e-6
    assert not zero(found.grads['tail']['stage2'])
    assert not zero(found.grads['bottleneck']['encoder'])


@pytest.mark.parametrize('stage', STUDENTS)
def test_outputs_are_coded_to_bytes_that_agree_with_the_estimated_bits(stage):
    outputs = learnt(stage).outputs
    assert outputs['logits'].shape == (16, 3) and outputs['embedding'].shape == (16, 32)
    assert outputs['bits'].shape == (16,) and outputs['symbols'].shape == (16, 2, 2, 2)
    assert outputs['tables'].shape == (16, 2, 32)
    np.testing.assert_array_equal(outputs['tables'].sum(-1), 65536)
    found = rate.evaluate({'test': jax.device_get(outputs)}, coded=True)
    np.testing.assert_allclose(found['bits'], outputs['bits'].mean(), rtol=1e-6)
    assert found['bits'] - 1 <= found['coded_bits'] <= found['bits'] * 1.05 + 12


def test_eight_bit_latents_have_no_density_and_imitate_without_noise():
    method = make('imitate', num_bits=8)

    @jax.jit
    def run(batch):
        params, extra = method.init(jax.random.key(0), batch)
        values = [method.loss(params, extra, batch, jax.random.key(k)) for k in range(2)]
        return params, values, method.outputs(params, extra, batch)['bits']

    params, ((value, (_, metrics)), (other, _)), bits = run(BATCH)
    assert 'entropy' not in params['bottleneck'] and metrics['quantiles'] == 0
    np.testing.assert_array_equal(bits, 8 * 8 + 64)
    np.testing.assert_allclose(other, value, rtol=1e-6)


# The codec of the image has its loss from the same function as imitation.
@pytest.mark.parametrize('stage', ('imitate', 'finetune', 'end_to_end'))
def test_every_stage_is_the_same_on_eight_devices(stage):
    found = learnt(stage)
    method = make(stage, axis_name='devices')

    def shard(batch):
        step = jax.value_and_grad(method.loss, has_aux=True)
        (value, (extra, _)), grads = step(found.params, found.extra, batch, jax.random.key(1))
        return jax.lax.pmean((value, grads), 'devices'), extra

    shards = {k: v.reshape(8, -1, *v.shape[1:]) for k, v in BATCH.items()}
    (value, grads), extra = jax.pmap(shard, axis_name='devices', out_axes=None)(shards)
    np.testing.assert_allclose(value, found.value, rtol=1e-5)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(found.grads))
    for got, want in zip(
        jax.tree.leaves((grads, extra)), jax.tree.leaves((found.grads, found.new)), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5 * largest)


def config_of(arg):
    path = ROOT / 'configs' / 'compression' / 'entropic_student.py'
    spec = importlib.util.spec_from_file_location('config', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


MOVED = {
    'imitate': ('bottleneck/encoder', 'bottleneck/entropy', 'bottleneck/decoder'),
    'finetune': ('bottleneck/decoder', 'tail/stage2', 'tail/stage3', 'tail/stage4', 'tail/head'),
}


@pytest.mark.parametrize('kind', MOVED)
def test_the_config_freezes_the_teacher_and_then_the_encoder(kind):
    params = learnt(kind).params
    stages = configuration.stage_configs(config_of('small'))
    optimizer = session.make_optimizer(next(c for _, c in stages if c.make.stage == kind))

    @jax.jit
    def updates(params):
        gradients = jax.tree.map(jnp.ones_like, params)
        return optimizer.update(gradients, optimizer.init(params), params)[0]

    found = updates(params)
    parts = {
        f'{part}/{name}': leaves for part, tree in found.items() for name, leaves in tree.items()
    }
    assert {name for name, leaves in parts.items() if not zero(leaves)} == set(MOVED[kind])


NAMES = {
    'small': ('teacher', 'imitate-0.1', 'finetune-0.1', 'imitate-0.5', 'finetune-0.5', 'imitate-2',
              'finetune-2'),
    'input_codec': ('teacher', 'input_codec-0.02', 'input_codec-0.1'),
    'end_to_end': ('end_to_end-0.001', 'end_to_end-0.005', 'end_to_end-0.02'),
    'quantized': ('teacher', 'imitate-0', 'finetune-0'),
}  # fmt: skip


@pytest.mark.parametrize('arg', NAMES)
def test_the_curves_of_the_config_are_ready_to_run(arg):
    digits = source.load('digits')
    stages = session.prepare(config_of(arg), lambda **_: digits)
    assert tuple(stage.name for stage in stages) == NAMES[arg]
    for stage in {stage.config.make.stage: stage for stage in stages}.values():
        params, _ = jax.eval_shape(stage.method.init, jax.random.key(0), BATCH)
        # Raises for a part to be frozen that is not there.
        jax.eval_shape(session.make_optimizer(stage.config).init, params)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'stage': 'train'}, "stage: expected one of .*, got 'train'"),
        ({'rounding': 'down'}, "rounding: expected one of .*, got 'down'"),
        ({'beta': -1.0}, 'beta: expected 0 or more, got -1.0'),
        ({'channels': 0}, 'channels, radius: expected at least 1, got 0 and 127'),
        ({'num_bits': 17}, 'num_bits: expected 0 to 16, got 17'),
        (
            {'num_bits': 8, 'coded': True},
            "coded: expected a density, got stage='imitate' with num_bits=8",
        ),
        ({'stage': 'teacher', 'coded': True}, 'coded: expected a density'),
        ({'alpha': 1.5}, 'alpha, temperature: expected .*, got 1.5 and 1.0'),
        ({'temperature': 0.0}, 'alpha, temperature: expected .*, got 0.5 and 0.0'),
        ({'network': {'depth': 3}}, 'network: .*depth'),
        ({'network': {'name': 'vgg'}}, "network.name: expected one of .*, got 'vgg'"),
        ({'pretrained': True}, "pretrained: expected network.name 'efficientnet_lite0', got"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        entropic_student.make(num_classes=3, **options)


def test_a_batch_without_the_label_is_named():
    with pytest.raises(ValueError, match="label: no column 'kind'; there are"):
        make('teacher', label='kind').init(jax.random.key(0), BATCH)
