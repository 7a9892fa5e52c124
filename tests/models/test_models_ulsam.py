import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.ulsam import (
    NETWORKS,
    ULSAM,
    MobileNet,
    changed,
    neighbourhood_maximum,
    network_cost,
    ulsam_cost,
)
from jaxsep.ops.cost import count_parameters

rng = np.random.default_rng(0)
close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
SPLITS = {'a': 4, 'b': 1}
RUNNING = {'channel_norm': 'bn_dws', 'map_norm': 'bn_point'}


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def joined(data, prefix, name):
    """One array of all subspaces of the original, one after the other."""
    found = [k for k in data if k.startswith(prefix) and k.endswith(f'.{name}')]
    return np.concatenate([data[k].ravel() for k in sorted(found)])


def of_case(golden, case):
    """Variables, input and output of one case; images with channels last."""
    data, w = golden('ulsam'), f'{case}_eval/w/'
    params = {
        'scale': joined(data, w, 'conv_dws.weight'),
        'offset': joined(data, w, 'conv_dws.bias'),
        'kernel': joined(data, w, 'conv_point.weight'),
        'bias': joined(data, w, 'conv_point.bias'),
    }
    stats = {}
    for ours, theirs in RUNNING.items():
        names = {'scale': f'{theirs}.weight', 'bias': f'{theirs}.bias'}
        params[ours] = {'norm': {k: joined(data, w, v) for k, v in names.items()}}
        names = {'mean': f'{theirs}.running_mean', 'var': f'{theirs}.running_var'}
        stats[ours] = {'norm': {k: joined(data, w, v) for k, v in names.items()}}
    last = lambda name: data[name].transpose(0, 2, 3, 1)  # noqa: E731
    return jax.tree.map(jnp.asarray, {'params': params, 'batch_stats': stats}), data, last


@pytest.mark.parametrize('case', ['a', 'b'])
def test_it_agrees_with_the_original_in_value_and_gradient(golden, case):
    variables, _, last = of_case(golden, case)
    module = ULSAM(SPLITS[case])

    @jax.jit
    def both(x, upstream):
        y, pull, attention = jax.vjp(lambda x: module.apply(variables, x), x, has_aux=True)
        return y, pull(upstream)[0], attention

    y, grad, attention = both(last(f'{case}_eval/x'), last(f'{case}_eval/cotangent'))
    close(y, last(f'{case}_eval/y'))
    close(grad, last(f'{case}_eval/grad_x'))
    np.testing.assert_allclose(attention.sum((1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize('case', ['a', 'b'])
def test_it_agrees_with_the_original_in_training_and_keeps_the_biased_variance(golden, case):
    variables, data, last = of_case(golden, case)
    x = last(f'{case}_train/x')
    (y, _), after = jax.jit(
        lambda x: ULSAM(SPLITS[case]).apply(variables, x, train=True, mutable=['batch_stats'])
    )(x)
    close(y, last(f'{case}_train/y'))
    n = x[..., 0].size
    for ours, theirs in RUNNING.items():
        old, new = (v['batch_stats'][ours]['norm'] for v in (variables, after))
        mean, var = (
            joined(data, f'{case}_train_stats/', f'{theirs}.running_{k}') for k in ('mean', 'var')
        )
        close(new['mean'], mean)
        close(0.1 * old['var'] + (new['var'] - 0.1 * old['var']) * n / (n - 1), var)


def oracle(variables, x, splits):
    """The equations in evaluation, subspace by subspace and place by place."""
    p, s = variables['params'], variables['batch_stats']
    x, out = np.asarray(x, np.float64), np.zeros(x.shape)
    b, h, w, c = x.shape
    width, maps = c // splits, np.zeros((b, h, w, splits))

    def normed(name, y, chosen):
        n, r = p[name]['norm'], s[name]['norm']
        get = lambda tree, key: np.asarray(tree[key], np.float64)[chosen]  # noqa: E731
        y = (y - get(r, 'mean')) / np.sqrt(get(r, 'var') + 1e-5) * get(n, 'scale') + get(n, 'bias')
        return np.maximum(y, 0)

    for i, g in np.ndindex(b, splits):
        part = slice(g * width, (g + 1) * width)
        y = x[i, :, :, part] * np.asarray(p['scale'])[part] + np.asarray(p['offset'])[part]
        y = normed('channel_norm', y, part)
        score = np.zeros((h, w))
        for a, e in np.ndindex(h, w):
            window = y[max(a - 1, 0) : a + 2, max(e - 1, 0) : e + 2]
            score[a, e] = window.max((0, 1)) @ np.asarray(p['kernel'])[part]
        score = np.exp(normed('map_norm', score + np.asarray(p['bias'])[g], g))
        maps[i, :, :, g] = score / score.sum()
        out[i, :, :, part] = x[i, :, :, part] * (1 + maps[i, :, :, g : g + 1])
    return out, maps


def random_variables(module, x):
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    draws = jax.tree.map(lambda s: draw(*s.shape), shapes)
    positive = lambda path, v: jnp.abs(v) + 0.5 if path[-1].key == 'var' else v  # noqa: E731
    return jax.tree_util.tree_map_with_path(positive, draws)


def test_it_is_the_equations_subspace_by_subspace():
    module, x = ULSAM(3), draw(2, 3, 4, 6)
    variables = random_variables(module, x)
    y, attention = jax.jit(module.apply)(variables, x)
    expected, maps = oracle(variables, x, 3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(attention, maps, rtol=1e-4, atol=1e-6)
    assert np.ptp(maps) > 0.01


def test_a_subspace_knows_nothing_of_the_others():
    module, x = ULSAM(2), draw(2, 3, 3, 4)
    variables = random_variables(module, x)
    apply = jax.jit(module.apply)
    (a, _), (b, _) = apply(variables, x), apply(variables, x.at[..., :2].multiply(3.0))
    np.testing.assert_array_equal(a[..., 2:], b[..., 2:])


def test_negative_maps_attend_to_all_places_alike_and_by_size_that_doubles():
    x = draw(2, 3, 5, 4)
    for by_size, factor in ((False, 1 + 1 / 15), (True, 2.0)):
        module = ULSAM(2, by_size)
        variables = random_variables(module, x)
        variables['params']['map_norm']['norm']['bias'] = jnp.full(2, -1e3)
        y, attention = jax.jit(module.apply)(variables, x)
        np.testing.assert_allclose(attention, 1 / 15, rtol=1e-5)
        np.testing.assert_allclose(y, factor * x, rtol=1e-5)


def test_gradients_are_finite_at_flat_and_at_extreme_maps():
    module = ULSAM(2)
    variables = random_variables(module, jnp.zeros((1, 3, 3, 4)))

    def loss(x):
        (y, _), _ = module.apply(variables, x, train=True, mutable=['batch_stats'])
        return jnp.sum(jnp.cos(y))

    grad = jax.jit(jax.grad(loss))
    for x in (jnp.zeros((2, 3, 3, 4)), 1e4 * draw(2, 3, 3, 4)):
        assert np.isfinite(grad(x)).all()


def parameters(network, image, classes, splits=4):
    model = MobileNet(network, classes, splits)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image)))
    return count_parameters(shapes['params'])


def test_the_module_costs_what_the_original_does_and_the_paper_counts(golden):
    module = ULSAM(4)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 14, 14, 512)))
    found = ulsam_cost(512, 14 * 14)
    assert found.parameters == golden('ulsam')['cost/params_c512_g4'] == 2572
    assert found.parameters == count_parameters(shapes['params'])
    paper = ulsam_cost(512, 14 * 14, weights_only=True)
    assert paper.parameters == 1024  # '1K'
    assert round(paper.multiply_adds / 1e6, 1) == 0.2


@pytest.mark.parametrize(
    'name, parameters_published, millions',
    [('mobilenet_v1', 4_231_976, 569), ('mobilenet_v2', 3_504_872, 301)],
)
def test_networks_cost_what_is_published_of_them(name, parameters_published, millions):
    found = network_cost(NETWORKS[name], (224, 224, 3), 1000)
    assert found.parameters == parameters_published
    assert parameters(NETWORKS[name], (224, 224, 3), 1000) == parameters_published
    assert round(found.multiply_adds / 1e6) == millions


@pytest.mark.parametrize(
    'places, millions_of_parameters, millions',
    [((14, 17), 2.96, 261.88), ((13, 14, 16, 17), 2.54, 223.77)],
)
def test_replaced_layers_of_mobilenet_v2_save_what_the_slides_say(
    places, millions_of_parameters, millions
):
    """The slides take what is saved from the rounded 3.4M parameters, without norms, and 300M."""
    network = NETWORKS['mobilenet_v2']
    small = changed(network, places)
    image = (224, 224, 3)
    before, after = (network_cost(net, image, 1000) for net in (network, small))
    assert after.parameters == parameters(small, image, 1000)
    assert abs(300 - (before.multiply_adds - after.multiply_adds) / 1e6 - millions) < 0.01
    saved = sum(2 * c * 6 * c + 9 * 6 * c - 2 * c for c in (96, 160)) * len(places) // 2
    assert abs(3.4 - saved / 1e6 - millions_of_parameters) < 0.01


def test_a_replaced_layer_of_mobilenet_v1_saves_what_the_slides_say():
    network, image = NETWORKS['mobilenet_v1'], (224, 224, 3)
    after = network_cost(changed(network, (8,)), image, 1000, num_splits=8)
    assert round(network_cost(network, image, 1000).parameters / 1e6, 1) == 4.2
    assert abs(after.parameters / 1e6 - 3.9) < 0.07


@pytest.mark.parametrize(
    'change, splits, number',
    [(None, 4, 28_746), ('replace', 1, 19_536), ('replace', 4, 19_554), ('drop', 4, 18_890)],
)
def test_the_small_network_has_28_thousand_parameters_and_a_third_less_without_two_layers(
    change, splits, number
):
    network, image = NETWORKS['small'], (32, 32, 1)
    network = changed(network, (7, 8), change) if change else network
    assert network_cost(network, image, 10, splits).parameters == number
    assert parameters(network, image, 10, splits) == number


def test_attention_is_put_behind_in_the_place_of_or_nowhere():
    network = NETWORKS['small']
    kinds = {
        change: [layer.kind for layer in changed(network, (7, 8), change).layers]
        for change in ('replace', 'insert', 'drop')
    }
    separable = ['separable'] * 5
    assert kinds['replace'] == [*separable, 'ulsam', 'ulsam']
    assert kinds['insert'] == [*separable, 'separable', 'ulsam', 'separable', 'ulsam']
    assert kinds['drop'] == separable
    assert changed(network, ()) == network


def test_a_network_gives_logits_features_and_the_attention_of_its_last_module():
    x = draw(2, 32, 32, 1)
    network = NETWORKS['small']._replace(layers=NETWORKS['small'].layers[:4])
    for places in ((4,), ()):
        model = MobileNet(changed(network, places), 3, 2)
        variables = random_variables(model, x)
        found = jax.jit(model.apply)(variables, x)
        assert found.logits.shape == (2, 3) and found.features.shape == (2, 64)
        if not places:
            assert found.attention is None
            continue
        assert found.attention.shape == (2, 8, 8)
        np.testing.assert_allclose(found.attention.sum((1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize(
    'places, change, message',
    [
        ((7,), 'remove', r"change: expected one of .*, got 'remove'"),
        ((1,), 'replace', 'places: expected layers from 2 to 8, got 1'),
        ((9,), 'insert', 'places: expected layers from 2 to 8, got 9'),
        (
            (3,),
            'drop',
            'places: layer 3 changes the shape of its input, so there is no drop for it',
        ),
    ],
)
def test_wrong_places_are_named(places, change, message):
    with pytest.raises(ValueError, match=message):
        changed(NETWORKS['small'], places, change)


def test_splits_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match='num_splits: expected a divisor of 6 channels, got 4'):
        ULSAM(4).init(jax.random.key(0), jnp.zeros((1, 2, 2, 6)))
    with pytest.raises(ValueError, match='num_splits: expected a divisor of 6 channels, got 0'):
        ulsam_cost(6, 1, 0)


def test_the_maximum_of_neighbours_is_that_of_a_max_pool_in_value_and_gradient():
    x = jnp.maximum(draw(2, 4, 5, 3), 0)
    pool = lambda x: nn.max_pool(x, (3, 3), (1, 1), ((1, 1), (1, 1)))  # noqa: E731

    @jax.jit
    def both(x, upstream):
        pulled = [
            jax.vjp(lambda x, f=f: f(nn.relu(x - 0.1)), x) for f in (neighbourhood_maximum, pool)
        ]
        return [(y, pull(upstream)[0]) for y, pull in pulled]

    (y, grad), (expected, expected_grad) = both(x, draw(2, 4, 5, 3))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-5, atol=1e-6)
