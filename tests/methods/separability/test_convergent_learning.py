"""Both stages of convergent learning, on the reference activations and on made-up ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms import lasso
from jaxsep.methods.separability.convergent_learning import make

KEY = jax.random.key(0)
PENALTIES = (0.1, 0.0, 0.01)


@pytest.fixture(scope='module')
def match():
    return make(stage='match', penalties=PENALTIES, num_clusters=3)


@pytest.fixture(scope='module')
def rows(golden):
    arrays = golden('convergent_learning')
    names = {'a/layer1': 'actsA', 'b/layer1': 'actsB'}
    return {column: arrays[name].astype(np.float32) for column, name in names.items()}


@pytest.fixture(scope='module')
def fitted(match, rows):
    return jax.jit(match.fit)(KEY, rows)


@pytest.fixture(scope='module')
def outputs(match, rows, fitted):
    return jax.jit(match.outputs)(fitted, rows)


def test_golden_matching(golden, fitted):
    arrays = golden('convergent_learning')
    np.testing.assert_allclose(fitted.correlation, arrays['corr_between'], atol=1e-5)
    np.testing.assert_array_equal(fitted.order, arrays['match/bipartite'])
    np.testing.assert_array_equal(fitted.semi, arrays['match/semi'])
    nearest = np.abs(arrays['corr_between']).argmax(0)
    np.testing.assert_array_equal(fitted.nearest, nearest)


def test_maps_are_the_lasso_with_a_bias_in_the_order_given(rows, fitted):
    a, b = (jnp.asarray(x) * lasso.unit_scale(jnp.asarray(x))[None, :] for x in rows.values())
    assert fitted.converged.all()
    for i, penalty in enumerate(PENALTIES):
        alone = lasso.sparse_prediction(a, b, jnp.float32(penalty), intercept=True)
        np.testing.assert_allclose(fitted.weights[i], alone.weights, atol=1e-4)
        np.testing.assert_allclose(fitted.bias[i], alone.bias, atol=3e-4)


def test_outputs_are_what_they_say(rows, fitted, outputs):
    a, b = rows.values()
    np.testing.assert_array_equal(outputs['matched'], b[:, np.asarray(fitted.order)])
    np.testing.assert_array_equal(outputs['semi_matched'], b[:, np.asarray(fitted.semi)])
    np.testing.assert_array_equal(outputs['nearest'], a[:, np.asarray(fitted.nearest)])
    np.testing.assert_allclose(outputs['second'].std(0), 1.0, rtol=1e-4)
    told = (a / a.std(0)) @ np.asarray(fitted.weights[0]) + np.asarray(fitted.bias[0])
    np.testing.assert_allclose(outputs['predicted/0.1'], told, atol=1e-4)
    counts = (np.asarray(fitted.weights[0]) != 0).sum(0)
    np.testing.assert_array_equal(outputs['nonzeros/0.1'], np.tile(counts, (400, 1)))
    # With a bias, what is left has no mean.
    np.testing.assert_allclose((outputs['second'] - outputs['predicted/0']).mean(0), 0, atol=1e-4)


def test_golden_matching_by_information_and_places_of_maps_are_samples(
    golden, rows, fitted, outputs
):
    match = make(
        stage='match', similarity='mutual_information', penalties=PENALTIES, num_clusters=3
    )
    maps = {name: x.reshape(25, 4, 4, 7) for name, x in rows.items()}
    ours = jax.jit(match.fit)(KEY, maps)
    np.testing.assert_array_equal(ours.order, golden('convergent_learning')['mi/bipartite_by_mi'])
    for name in ('correlation', 'nearest', 'weights', 'bias', 'clusters'):
        np.testing.assert_allclose(getattr(ours, name), getattr(fitted, name), atol=1e-5)
    told = jax.jit(match.outputs)(fitted, maps)
    for name in ('matched', 'second', 'predicted/0.01'):
        assert told[name].shape == (25, 4, 4, 7)
        np.testing.assert_allclose(told[name].reshape(400, 7), outputs[name], atol=1e-5)
    assert told['nonzeros/0.01'].shape == (25, 7)


def test_a_renamed_and_rescaled_copy_is_found_out(match, rows):
    a = rows['a/layer1']
    order = np.random.default_rng(0).permutation(7)
    copy = {'a/layer1': a, 'b/layer1': 3.0 * a[:, order]}
    fitted = jax.jit(match.fit)(KEY, copy)
    np.testing.assert_array_equal(np.asarray(fitted.order), np.argsort(order))
    np.testing.assert_array_equal(fitted.semi, fitted.order)
    np.testing.assert_array_equal(fitted.nearest, order)
    # With a small penalty each unit is told from its copy alone.
    assert ((fitted.weights[0] != 0).sum(0) == 1).all()


def test_silent_units_stay_finite_and_match_nothing(match, rows):
    silent = {name: x.copy() for name, x in rows.items()}
    silent['a/layer1'][:, 1] = 0.0
    silent['b/layer1'][:, 2:4] = 0.0
    fitted = jax.jit(match.fit)(KEY, silent)
    for leaf in jax.tree.leaves((fitted, jax.jit(match.outputs)(fitted, silent))):
        assert np.isfinite(leaf).all()
    assert (fitted.correlation[1] == 0).all() and (fitted.weights[:, 1] == 0).all()
    assert (fitted.weights[:, :, 2:4] == 0).all()
    assert sorted(np.asarray(fitted.order)) == list(range(7))
    assert fitted.clusters[1] == -1 and (fitted.clusters[9:11] == -1).all()


@pytest.mark.parametrize(
    'network, shapes',
    [
        (dict(name='mlp', widths=(5, 3)), {'layer1': (2, 5), 'layer2': (2, 3)}),
        (dict(name='conv', widths=(5, 3)), {'layer1': (2, 4, 4, 5), 'layer2': (2, 2, 2, 3)}),
    ],
)
def test_networks_name_the_activations_of_every_layer(network, shapes):
    method = make(network=network, num_classes=4)
    batch = {'image': np.zeros((2, 8, 8, 1), np.uint8), 'label': np.zeros(2, np.int32)}
    batch = jax.tree.map(jnp.asarray, batch)
    outputs = jax.jit(lambda key: method.outputs(*method.init(key, batch), batch))(KEY)
    assert {name: x.shape for name, x in outputs.items()} == {**shapes, 'logits': (2, 4)}
    assert all((outputs[name] >= 0).all() for name in shapes)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(stage='train'), 'stage: expected one of'),
        (dict(), "num_classes: needed for stage='network'"),
        (dict(num_classes=2, network=dict(name='vgg')), 'network.name: expected one of'),
        (dict(num_classes=2, network=dict(name='mlp', width=3)), 'network: '),
        (dict(stage='match', similarity='cosine'), 'similarity: expected one of'),
        (dict(stage='match', penalties=(0.1, -1.0)), 'penalties: expected different numbers'),
        (dict(stage='match', penalties=(0.1, 0.1)), 'penalties: expected different numbers'),
        (dict(stage='match', num_bins=1), 'num_bins: expected at least 2, got 1'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_columns_that_are_missing_or_do_not_fit_are_named(match):
    with pytest.raises(ValueError, match=r"no column 'b/layer1'.*'a/layer1'"):
        match.fit(KEY, {'a/layer1': jnp.zeros((4, 2))})
    with pytest.raises(ValueError, match=r'second: expected .*\(4, 2\).* got \(4, 3\)'):
        match.fit(KEY, {'a/layer1': jnp.zeros((4, 2)), 'b/layer1': jnp.zeros((4, 3))})
