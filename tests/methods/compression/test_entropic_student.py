import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep import main, session
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


@functools.lru_cache
def learnt(stage, **options):
    """Method, parameters, extra, loss, gradients, new extra, metrics, outputs."""
    method = make(stage, coded=not options.get('num_bits'), **options)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        params, extra = method.begin(params, extra)
        step = jax.value_and_grad(method.loss, has_aux=True)
        (value, (new, metrics)), grads = step(params, extra, batch, jax.random.key(1))
        return params, extra, value, grads, new, metrics, method.outputs(params, extra, batch)

    return method, *all_of_it(BATCH)


def zero(tree):
    return all(np.all(leaf == 0) for leaf in jax.tree.leaves(tree))


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(np.all(x == y)), a, b)))


def test_imitation_runs_on_the_teachers_layers_and_moves_the_bottleneck_only():
    _, params, extra, value, grads, new, metrics, _ = learnt('imitate')
    for name, leaves in params['tail'].items():
        assert equal(leaves, params['teacher'][name])
    for name, leaves in extra['tail']['batch_stats'].items():
        assert equal(leaves, extra['teacher']['batch_stats'][name])
    assert zero(grads['teacher']) and zero(grads['tail']) and equal(new, extra)
    assert all(not zero(grads['bottleneck'][p]) for p in ('encoder', 'decoder', 'entropy'))
    want = metrics['squared_error'] + 0.1 * metrics['bits'] + metrics['quantiles']
    np.testing.assert_allclose(value, want, rtol=1e-5)


def test_quantiles_are_moved_by_their_own_loss_only_whatever_beta():
    quantiles = [
        learnt('imitate', beta=b)[4]['bottleneck']['entropy']['quantiles'] for b in (0.1, 5.0)
    ]
    np.testing.assert_array_equal(*quantiles)
    assert np.all(quantiles[0] != 0)
    # Without bits the densities learn nothing: the loss of the quantiles does not reach them.
    density = dict(learnt('imitate', beta=0.0)[4]['bottleneck']['entropy'])
    density.pop('quantiles')
    assert zero(density)


def test_fine_tuning_moves_decoder_and_later_layers_only():
    _, params, extra, value, grads, new, metrics, outputs = learnt('finetune')
    assert zero(grads['teacher']) and zero(grads['bottleneck']['encoder'])
    assert zero(grads['bottleneck']['entropy']) and not zero(grads['bottleneck']['decoder'])
    assert all(not zero(grads['tail'][name]) for name in entropic_student.TAIL)
    assert equal(new['teacher'], extra['teacher']) and not equal(new['tail'], extra['tail'])
    np.testing.assert_allclose(metrics['bits'], outputs['bits'].mean(), rtol=1e-5)


def test_fine_tuning_with_the_labels_alone_is_cross_entropy_of_the_rounded_latents():
    method = make('finetune', alpha=1.0, rounding='median')
    params, extra = method.init(jax.random.key(0), BATCH)
    params['bottleneck']['entropy']['quantiles'] += 0.37
    value, _ = method.loss(params, extra, BATCH, jax.random.key(1))
    other, _ = make('finetune', alpha=1.0).loss(params, extra, BATCH, jax.random.key(1))
    assert abs(value - other) > 1e-6
    # In evaluation mode of the norms the loss is that of the outputs; here statistics are the batch's.
    layer = models.Bottleneck(2, models.FeatureDecoder(4))
    net = models.StagedNetwork(3, **NETWORK)
    image = jnp.asarray(BATCH['image']) / 255.0
    sent = layer.apply({'params': params['bottleneck']}, image, method='send')
    (_, logits), _ = net.apply(
        {'params': params['tail'], **extra['tail']}, sent.decoded,
        train=True, method='tail', mutable=['batch_stats'],
    )  # fmt: skip
    np.testing.assert_allclose(value, cross_entropy(logits, jnp.asarray(BATCH['label'])), rtol=1e-5)


def test_the_codec_of_the_image_leaves_the_teacher_alone_and_the_end_to_end_student_has_none():
    _, params, extra, _, grads, new, metrics, _ = learnt('input_codec')
    assert set(params) == {'teacher', 'bottleneck'} and zero(grads['teacher'])
    assert equal(new, extra) and metrics['squared_error'] > 0
    _, params, _, _, grads, *_ = learnt('end_to_end')
    assert set(params) == {'tail', 'bottleneck'}
    assert not zero(grads['tail']['stage2']) and not zero(grads['bottleneck']['encoder'])


@pytest.mark.parametrize('stage', STUDENTS)
def test_outputs_are_coded_to_bytes_that_agree_with_the_estimated_bits(stage):
    outputs = learnt(stage)[-1]
    assert outputs['logits'].shape == (16, 3) and outputs['embedding'].shape == (16, 32)
    assert outputs['bits'].shape == (16,) and outputs['symbols'].shape == (16, 2, 2, 2)
    assert outputs['tables'].shape == (16, 2, 32)
    np.testing.assert_array_equal(outputs['tables'].sum(-1), 65536)
    found = rate.evaluate({'test': jax.device_get(outputs)}, coded=True)
    np.testing.assert_allclose(found['bits'], outputs['bits'].mean(), rtol=1e-6)
    assert found['bits'] - 1 <= found['coded_bits'] <= found['bits'] * 1.05 + 12


def test_eight_bit_latents_have_no_density_and_imitate_without_noise():
    method, params, extra, value, _, _, metrics, outputs = learnt('imitate', num_bits=8)
    assert 'entropy' not in params['bottleneck'] and metrics['quantiles'] == 0
    np.testing.assert_array_equal(outputs['bits'], 8 * 8 + 64)
    again, _ = method.loss(params, extra, BATCH, jax.random.key(7))
    np.testing.assert_allclose(again, value, rtol=1e-5)


def test_noise_comes_from_the_key():
    method, params, extra, value, *_ = learnt('imitate')
    other, _ = method.loss(params, extra, BATCH, jax.random.key(7))
    assert abs(other - value) > 1e-6


@pytest.mark.parametrize('stage', STUDENTS)
def test_every_stage_is_the_same_on_eight_devices(stage):
    _, params, extra, value, grads, new, *_ = learnt(stage)
    method = make(stage, axis_name='devices', coded=True)

    def shard(batch):
        step = jax.value_and_grad(method.loss, has_aux=True)
        (value, (extra_after, _)), grads = step(params, extra, batch, jax.random.key(1))
        return jax.lax.pmean((value, grads), 'devices'), extra_after

    shards = {k: v.reshape(8, -1, *v.shape[1:]) for k, v in BATCH.items()}
    (values, many), after = jax.pmap(shard, axis_name='devices', out_axes=None)(shards)
    np.testing.assert_allclose(values, value, rtol=1e-5)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(grads))
    for got, want in zip(
        jax.tree.leaves((many, after)), jax.tree.leaves((grads, new)), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5 * largest)


def config_of(arg):
    path = ROOT / 'configs' / 'compression' / 'entropic_student.py'
    spec = importlib.util.spec_from_file_location('config', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


def test_a_run_freezes_the_teacher_and_then_the_encoder(tmp_path):
    config = config_of('smoke')
    config.report = False
    results = main.run(config, tmp_path)
    assert {'test/accuracy', 'test/bits', 'test/bytes'} <= set(results)
    assert results['test/bits'] - 8 <= results['test/coded_bits'] <= 1.1 * results['test/bits'] + 12
    done = {name: variables for name, (_, variables) in session.reopen(tmp_path).items()}
    teacher, imitate, finetune = (done[name][0] for name in ('teacher', 'imitate', 'finetune'))
    assert equal(teacher['teacher'], imitate['teacher'])
    assert equal(imitate['teacher'], finetune['teacher'])
    for name in entropic_student.TAIL:
        assert equal(imitate['tail'][name], teacher['teacher'][name])
        assert not equal(finetune['tail'][name], imitate['tail'][name])
    for part in ('encoder', 'entropy'):
        assert equal(imitate['bottleneck'][part], finetune['bottleneck'][part])
    assert not equal(imitate['bottleneck']['decoder'], finetune['bottleneck']['decoder'])


LAST = {
    'small': 'finetune', 'quantized': 'finetune', 'position': 'finetune', 'sweep': 'finetune-15',
    'sweep_input_codec': 'input_codec-0.6', 'sweep_end_to_end': 'end_to_end-0.03',
    'second_tail': 'second', 'end_to_end_second_tail': 'second',
}  # fmt: skip


@pytest.mark.parametrize('arg', LAST)
def test_the_variants_of_the_config_are_ready_to_run(arg):
    config = config_of(arg)
    small = source.load('digits')
    labels = {name: small.labels['label'] for name in ('digit', 'transform')}
    splits = {
        name: source.Arrays({'image': rows['image'], **dict.fromkeys(labels, rows['label'])})
        for name, rows in ((n, source.take_all(s)) for n, s in small.splits.items())
    }
    stages = session.prepare(config, lambda **_: source.Source(splits, labels))
    assert stages[-1].name == LAST[arg]


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
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        entropic_student.make(num_classes=3, **options)


def test_a_batch_without_the_label_is_named():
    with pytest.raises(ValueError, match="label: no column 'kind'; there are"):
        make('teacher', label='kind').init(jax.random.key(0), BATCH)
