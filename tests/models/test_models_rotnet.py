"""The network in network against the original's weights, and how its parts are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.rotnet import (
    ConvClassifier,
    ConvUnit,
    MultiLayerClassifier,
    NINRotNet,
    SmallRotNet,
    adaptive_average_pool,
    make_network,
)  # fmt: skip

STAGES = ('conv1', 'conv2', 'conv3', 'conv4')


def variables_of(a):
    """Parameters and statistics of the original's network in flax's names."""
    params, statistics = {}, {}
    for number, stage in enumerate(STAGES):
        params[stage], statistics[stage] = {}, {}
        for unit in (1, 2, 3):
            at = f'nin/w/_feature_blocks.{number}.Block{number + 1}_ConvB{unit}.layers.'
            norm = {k: a[f'{at}BatchNorm.{k}'] for k in
                    ('weight', 'bias', 'running_mean', 'running_var')}  # fmt: skip
            params[stage][f'unit{unit}'] = {
                'Conv_0': {'kernel': a[f'{at}Conv.weight'].transpose(2, 3, 1, 0)},
                'BatchNorm_0': {'scale': norm['weight'], 'bias': norm['bias']},
            }
            statistics[stage][f'unit{unit}'] = {
                'BatchNorm_0': {'mean': norm['running_mean'], 'var': norm['running_var']}
            }
    at = 'nin/w/_feature_blocks.4.Classifier.'
    params['classifier'] = {'kernel': a[f'{at}weight'].T, 'bias': a[f'{at}bias']}
    return {'params': params, 'batch_stats': statistics}


def test_every_named_feature_agrees_with_the_original(golden):
    a = golden('rotnet')
    model = NINRotNet(int(a['nin/num_stages']), 4, tuple(a['nin/widths'].tolist()))
    x = jnp.asarray(a['nin/x'].transpose(0, 2, 3, 1))
    found = jax.jit(model.apply)(variables_of(a), x)
    assert set(found) == {*STAGES, 'classifier'}
    for stage in STAGES:
        want = a[f'nin/{stage}'].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found[stage], want, rtol=2e-5, atol=2e-6, err_msg=stage)
    np.testing.assert_allclose(found['classifier'], a['nin/classifier'], rtol=2e-5, atol=2e-6)


def shapes(model, shape=(2, 12, 12, 1)):
    found, _ = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros(shape), train=True)
    )
    return {name: x.shape[1:] for name, x in found.items()}


def test_the_mean_after_the_third_stage_is_only_there_if_asked_for_and_a_fourth_follows():
    plain = {'conv1': (6, 6, 5), 'conv2': (3, 3, 8), 'conv3': (3, 3, 8)}
    assert shapes(NINRotNet(3, 4, (8, 6, 5), pool_third=True)) == plain | {'classifier': (4,)}
    third = {'conv3': (2, 2, 8), 'conv4': (2, 2, 8), 'classifier': (7,)}
    assert shapes(NINRotNet(4, 7, (8, 6, 5), pool_third=True)) == plain | third


def test_the_small_network_halves_its_map_before_every_block_but_the_first():
    want = {'conv1': (12, 12, 2), 'conv2': (6, 6, 3), 'conv3': (3, 3, 5), 'classifier': (4,)}
    assert shapes(SmallRotNet((2, 3, 5))) == want
    want = {'conv1': (6, 6, 2), 'conv2': (3, 3, 3), 'conv3': (1, 1, 5), 'classifier': (4,)}
    assert shapes(SmallRotNet((2, 3, 5), first_stride=2)) == want


def test_convolutions_start_with_the_variance_of_their_fan_out():
    init = jax.jit(ConvUnit(128, 5).init)
    params = init(jax.random.key(0), jnp.zeros((1, 5, 5, 8)))['params']
    kernel = np.asarray(params['Conv_0']['kernel'])
    assert kernel.shape == (5, 5, 8, 128) and 'bias' not in params['Conv_0']
    # 25600 normal numbers: their standard deviation is known to 0.5 %
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (25 * 128)), rtol=0.02)


def test_the_two_classifiers_have_the_layers_of_the_original():
    x = jnp.zeros((2, 3, 3, 4))

    def sizes(model):
        tree = jax.eval_shape(model.init, jax.random.key(0), x)['params']
        return sorted(leaf.shape for leaf in jax.tree.leaves(tree) if len(leaf.shape) > 1)

    hidden = [(36, 60), (60, 3), (60, 60)]
    assert sizes(MultiLayerClassifier(3)) == hidden
    assert sizes(ConvClassifier(3, width=6)) == [(1, 1, 6, 6), (1, 1, 6, 6), (3, 3, 4, 6), (6, 3)]
    assert sizes(MultiLayerClassifier(200))[0] == (36, 2048)


@pytest.mark.parametrize('shape', [(8, 8), (7, 5), (3, 9)])
def test_the_adaptive_mean_is_the_mean_over_cells_that_cover_the_map(shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    found = adaptive_average_pool(jnp.asarray(x), 4)
    h, w = (min(4, n) for n in shape)
    assert found.shape == (2, h, w, 3)
    for i in range(h):
        for j in range(w):
            top, bottom = int(np.floor(i * shape[0] / h)), int(np.ceil((i + 1) * shape[0] / h))
            left, right = int(np.floor(j * shape[1] / w)), int(np.ceil((j + 1) * shape[1] / w))
            cell = x[:, top:bottom, left:right].mean((1, 2))
            np.testing.assert_allclose(found[:, i, j], cell, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (lambda: make_network(name='large'), r"network.name: expected one of \['nin', 'small'\]"),
        (lambda: make_network(name='small', width=3), 'network: .*width'),
        (lambda: adaptive_average_pool(jnp.zeros((1, 2, 2, 1)), 0), 'size: expected at least 1'),
        (lambda: shapes(NINRotNet(2)), 'num_stages: expected at least 3, got 2'),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
