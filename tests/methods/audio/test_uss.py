import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.run import load_config
from jaxsep import main
from jaxsep.data.source import load
from jaxsep.losses.separation import magnitude_l1, waveform_l1
from jaxsep.methods.audio.uss import add_clips, make

TINY = {
    'num_classes': 3,
    'sample_rate': 8000,
    'tagger': {'n_fft': 32, 'hop': 16, 'bands': 4, 'widths': (4,)},
    'separator': {'n_fft': 16, 'hop': 8, 'widths': (2,), 'pools': ((1, 2),), 'momentum': 0.9},
    'anchor_seconds': 0.02,
}


@pytest.fixture(scope='module')
def batch():
    source = load(
        'sound_events', kinds=('chirp', 'noise', 'chord'), num_train=8, num_test=1,
        seconds=0.06, event_seconds=0.02,
    )  # fmt: skip
    return source.splits['train'].take(np.arange(0, 24)[np.r_[0:5, 8:13, 16:22]])


@pytest.fixture(scope='module')
def state(batch):
    return jax.jit(make(**TINY).init)(jax.random.key(0), batch)


def grad_of(method):
    def f(params, extra, batch, key):
        return jax.value_and_grad(method.loss, has_aux=True)(params, extra, batch, key)

    return f


@pytest.fixture(scope='module')
def first(batch, state):
    """Value, extra, metrics and gradient of the first step, on one device."""
    return jax.jit(grad_of(make(**TINY)))(*state, batch, jax.random.key(1))


def test_l1_losses_are_those_of_the_released_code_in_value_and_gradient(golden):
    g = golden('uss')
    out, target = (jnp.asarray(g[f'loss/{name}'][:, 0]) for name in ('out', 'tgt'))

    def both(x):
        return jnp.mean(waveform_l1(x, target) + magnitude_l1(x, target, n_fft=2048, hop=320))

    np.testing.assert_allclose(waveform_l1(out, target).mean(), g['loss/l1_wav'], rtol=1e-5)
    np.testing.assert_allclose(both(out), g['loss/l1_wav_l1_sp'], rtol=1e-5)
    grad = jax.grad(lambda x: jnp.mean(waveform_l1(x, target)))(out)
    np.testing.assert_allclose(grad, np.sign(out - target) / out.size, rtol=1e-5)
    assert np.isfinite(jax.grad(both)(0 * out)).all()


def test_no_gradient_reaches_the_tagger_and_every_separator_parameter_has_one(first):
    _, grads = first
    assert all(not g.any() for g in jax.tree.leaves(grads['tagger']))
    assert all(g.any() for g in jax.tree.leaves(grads['separator']))


def test_frozen_tagger_stays_and_queries_are_counted(state, first, batch):
    (_, (extra, _)), _ = first
    for before, after in zip(
        jax.tree.leaves(state[1]['tagger']), jax.tree.leaves(extra['tagger']), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(extra['query_count'], np.bincount(batch['label'], minlength=3))
    assert (extra['query_sum'] > 0).all()


def test_beginning_freezes_the_parameters_that_were_taken_over(state):
    params, extra = state
    taught = {**params, 'tagger': jax.tree.map(lambda x: x + 1.0, params['tagger'])}
    _, begun = make(**TINY).begin(taught, extra)
    for new, want in zip(
        jax.tree.leaves(begun['tagger']['params']), jax.tree.leaves(taught['tagger']), strict=True
    ):
        np.testing.assert_array_equal(new, want)
    assert jax.tree.structure(begun) == jax.tree.structure(extra)


def test_eight_devices_agree_with_one_in_value_gradient_and_state(batch, state, first):
    (value, (extra, _)), grads = first
    local = grad_of(make(**TINY, axis_name='devices'))

    def shard(params, extra, batch, key):
        (value, (extra, _)), grads = local(params, extra, batch, key)
        return jax.lax.pmean(value, 'devices'), extra, jax.lax.pmean(grads, 'devices')

    shards = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch)
    found = jax.pmap(shard, axis_name='devices', in_axes=(None, None, 0, None), out_axes=None)(
        *state, shards, jax.random.key(1)
    )
    np.testing.assert_allclose(found[0], value, rtol=1e-5)
    for got, want in ((found[1], extra), (found[2], grads)):
        largest = max(np.abs(x).max() for x in jax.tree.leaves(want))
        for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * largest)


@pytest.fixture(scope='module')
def outputs(batch, state):
    params, extra = state
    known = {**extra, 'query_sum': 3 * jnp.eye(3), 'query_count': jnp.array([3.0, 1.0, 0.0])}
    apply = jax.jit(make(**TINY, branches=((0, 2), (1,)), threshold=0.5).outputs)
    return lambda rows, extra=known, params=params: apply(params, extra, rows)


def test_outputs_have_their_shapes_and_do_not_depend_on_other_rows(outputs, batch):
    found = outputs(batch)
    assert found['waveform'].shape == found['wrong'].shape == (16, 2, 160)
    assert found['stems'].shape == (16, 2, 160)
    np.testing.assert_array_equal(found['wrong'][:, 0], found['wrong'][:, 1])
    turned = outputs({k: np.roll(v, 1, axis=0) for k, v in batch.items()})
    for name, values in found.items():
        np.testing.assert_allclose(turned[name], np.roll(values, 1, axis=0), atol=1e-5)


def test_query_decides_what_is_separated(outputs, batch):
    swapped = {**batch, 'true_classes': batch['true_classes'][:, ::-1]}
    a, b = outputs(batch)['waveform'], outputs(swapped)['waveform']
    np.testing.assert_allclose(a, b[:, ::-1], atol=1e-5)
    assert np.abs(a[:, 0] - a[:, 1]).max() > 1e-4


@pytest.mark.parametrize('shift', [-20.0, 20.0])
def test_branches_are_silent_where_the_tagger_hears_nothing_and_sound_elsewhere(
    outputs, batch, state, shift
):
    _, extra = state
    bias = extra['tagger']['params']['Dense_1']['bias'] + shift * jnp.array([1.0, -1.0, -1.0])
    deaf = {
        **extra['tagger']['params'],
        'Dense_1': {**extra['tagger']['params']['Dense_1'], 'bias': bias},
    }
    known = {**extra, 'tagger': {**extra['tagger'], 'params': deaf}}
    silent = ~np.any(outputs(batch, extra=known)['stems'], axis=2)
    if shift > 0:  # hears class 0 only, of the first branch
        assert not silent[:, 0].any() and silent[:, 1].all()
    else:  # hears classes 1 and 2
        assert not silent.any()


def test_added_clips_bring_their_tags_and_the_others_stay():
    waveforms = 10.0 ** jnp.arange(6)[:, None] * jnp.ones((1, 2))
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    for seed in range(5):
        mixed, tags = add_clips(jax.random.key(seed), waveforms, labels, 3, 0.5)
        for row in range(6):
            parts = [i for i in range(6) if f'{float(mixed[row, 0]):06.0f}'[5 - i] == '1']
            assert row in parts and len(parts) <= 2
            assert set(np.flatnonzero(tags[row])) == {int(labels[i]) for i in parts}
            assert len(parts) == tags[row].sum()
    for probability, number in ((0.0, 1), (1.0, 2)):
        _, tags = add_clips(jax.random.key(0), waveforms, labels, 3, probability)
        assert (tags.sum(axis=1) == number).all()


@pytest.mark.parametrize(
    'options',
    [{'mining': 'random'}, {'query': 'embedding'}, {'num_mixed': 3}, {'match_energy': False},
     {'spectrum_weight': 0.1}],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_variants_change_the_loss_and_stay_finite(batch, first, options):
    method = make(**TINY, **options)
    params, extra = jax.jit(method.init)(jax.random.key(0), batch)
    value, (after, _) = jax.jit(method.loss)(params, extra, batch, jax.random.key(1))
    assert np.isfinite(value) and value != first[0][0]
    assert jax.tree.structure(after) == jax.tree.structure(extra)
    if options == {'query': 'embedding'}:
        assert set(jax.eval_shape(method.outputs, params, extra, batch)) == {'waveform', 'wrong'}


def test_both_stages_run_from_the_smoke_config_and_the_tagger_is_taken_over(tmp_path):
    config = load_config('configs/audio/uss.py:smoke', {'report': False}, 0)
    config.stages = tuple(
        {**stage, 'num_steps': 4, 'eval_every': 4, 'checkpoint_every': 4} for stage in config.stages
    )
    config.num_devices = 1
    results = main.run(config, tmp_path)
    assert {'test/sdri', 'test/wrong_sdri', 'test/absent_silent'} <= set(results)
    assert all(np.isfinite(value) for value in results.values())
    assert json.loads((tmp_path / 'results.json').read_text()) == results


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stage': 'detector'}, 'stage: expected one of'),
        ({'mining': 'loudest'}, 'mining: expected one of'),
        ({'query': 'text'}, 'query: expected one of'),
        ({'num_classes': 1}, 'num_classes: expected at least 2'),
        ({'num_mixed': 1}, 'num_mixed: expected at least 2'),
        ({'threshold': 0.0}, 'threshold: expected'),
        ({'spectrum_weight': -1.0}, 'spectrum_weight: expected 0 or more'),
        ({'added': 1.5}, 'added: expected a probability'),
        ({'branches': ((3,),)}, 'branches: expected classes from 0 to 2'),
        ({'anchor_seconds': 0.001}, 'anchor_seconds: expected at least'),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**{**TINY, **options})


def test_missing_columns_and_clips_that_are_too_short_are_named(batch):
    lacking = {k: v for k, v in batch.items() if k != 'mixture'}
    with pytest.raises(ValueError, match="data: no column 'mixture'"):
        make(**TINY).init(jax.random.key(0), lacking)
    with pytest.raises(ValueError, match="data: no column 'label'"):
        make(**TINY, stage='tagger').init(jax.random.key(0), {'waveform': batch['waveform']})
    with pytest.raises(ValueError, match='anchor_seconds: expected less than the clips'):
        make(**{**TINY, 'anchor_seconds': 1.0}).init(jax.random.key(0), batch)
