"""The gate of a class pair and the head that ends in a LayerNorm, against the original's weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.hydra import LayerNormHead, PairGate, open_gate


def norm(a, name):
    """Parameters and statistics of a batch normalisation of torch, in flax's names."""
    params = {'scale': a[f'{name}.weight'], 'bias': a[f'{name}.bias']}
    return params, {'mean': a[f'{name}.running_mean'], 'var': a[f'{name}.running_var']}


def dense(a, name):
    found = {'kernel': a[f'{name}.weight'].T}
    return found | ({'bias': a[f'{name}.bias']} if f'{name}.bias' in a else {})


@pytest.fixture(scope='module')
def original(golden):
    """The gate's arrays and its variables."""
    a = {k.removeprefix('gate/'): v for k, v in golden('hydra').items() if k.startswith('gate/')}
    first, first_statistics = norm(a, 'w/mlp.1')
    second, second_statistics = norm(a, 'w/mlp.4')
    params = {
        'Embed_0': {'embedding': a['w/label_embedding.weight']},
        'BatchNorm_0': first,
        'Dense_0': dense(a, 'w/mlp.2'),
        'BatchNorm_1': second,
        'Dense_1': dense(a, 'w/mlp.5'),
    }
    statistics = {'BatchNorm_0': first_statistics, 'BatchNorm_1': second_statistics}
    return a, {'params': params, 'batch_stats': statistics}


@pytest.mark.parametrize('case', ['gate_eval', 'gate_eval_single', 'gate_eval_product'])
def test_the_gate_agrees_with_the_original_in_evaluation(original, case):
    a, variables = original
    model = PairGate(5, 8, 6, 12, product=case.endswith('product'))
    y2 = None if case.endswith('single') else jnp.asarray(a['y2'])
    found = jax.jit(model.apply)(variables, jnp.asarray(a['y1']), y2)
    np.testing.assert_allclose(found, a[case], rtol=2e-5)


def test_the_gate_agrees_in_training_and_its_variance_is_the_biased_one(original):
    a, variables = original
    model = PairGate(5, 8, 6, 12)
    apply = jax.jit(lambda *y: model.apply(variables, *y, train=True, mutable=['batch_stats']))
    found, changed = apply(jnp.asarray(a['y1']), jnp.asarray(a['y2']))
    np.testing.assert_allclose(found, a['gate_train'], rtol=5e-5)  # two batch normalisations
    statistics = changed['batch_stats']['BatchNorm_0']
    np.testing.assert_allclose(statistics['mean'], a['bn0_mean_after'], rtol=2e-5, atol=1e-6)
    # torch puts n / (n - 1) times the batch's variance into the running one; flax does not.
    before, n = variables['batch_stats']['BatchNorm_0']['var'], len(a['y1'])
    unbiased = (a['bn0_var_after'] - 0.9 * before) / 0.1
    want = 0.9 * before + 0.1 * unbiased * (n - 1) / n
    np.testing.assert_allclose(statistics['var'], want, rtol=2e-5)


def test_the_head_agrees_with_the_original(golden):
    a = {k.removeprefix('head/'): v for k, v in golden('hydra').items() if k.startswith('head/')}
    params, statistics = norm(a, 'w/1')
    variables = {
        'params': {
            'Dense_0': dense(a, 'w/0'),
            'BatchNorm_0': params,
            'Dense_1': dense(a, 'w/3'),
            'LayerNorm_0': {'scale': a['w/4.weight'], 'bias': a['w/4.bias']},
        },
        'batch_stats': {'BatchNorm_0': statistics},
    }
    found = jax.jit(LayerNormHead(10, 6).apply)(variables, jnp.asarray(a['x']))
    np.testing.assert_allclose(found, a['out_eval'], rtol=2e-5, atol=1e-5)


def test_the_gate_is_symmetric_in_the_pair_and_of_a_class_with_itself_the_single_one(original):
    a, variables = original
    apply = jax.jit(PairGate(5, 8, 6, 12).apply)
    y1, y2 = jnp.asarray(a['y1']), jnp.asarray(a['y2'])
    gate = apply(variables, y1, y2)
    np.testing.assert_allclose(apply(variables, y2, y1), gate, rtol=1e-6)
    np.testing.assert_allclose(apply(variables, y1, y1), a['gate_eval_single'], rtol=2e-5)
    assert np.all((gate > 0) & (gate < 1))


def test_the_product_of_two_single_gates_has_the_parameters_of_the_fused_gate():
    labels = jnp.arange(4)
    trees = [
        jax.eval_shape(PairGate(4, 8, 6, 12, product=product).init, jax.random.key(0), *pair)
        for product in (False, True)
        for pair in ((labels,), (labels, labels))
    ]
    assert all(tree == trees[0] for tree in trees)


def test_an_open_gate_is_one_everywhere():
    np.testing.assert_array_equal(open_gate(jnp.array([2, 0]), 3), np.ones((2, 3)))
