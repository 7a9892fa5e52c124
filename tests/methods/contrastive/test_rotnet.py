"""What RotNet's tasks train, and that a classifier leaves the network below it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.contrastive.rotnet import RotNet, make
from jaxsep.models.encoders import apply_train
from jaxsep.models.rotnet import make_network

NETWORK = {'name': 'small', 'widths': (3,)}
LABELS = np.array([0, 2, 1, 2], np.int32)


def batch(seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (4, 6, 6, 1), np.uint8)
    return {'image': image, 'label': LABELS, 'index': np.arange(4, dtype=np.int32)}


def trained(method):
    """Variables, and value, gradient and new state of a step."""
    params, extra = jax.jit(method.init)(jax.random.key(0), batch())
    step = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    (value, (changed, metrics)), gradient = step(params, extra, batch(), jax.random.key(1))
    return (params, extra), value, changed, metrics, gradient


def test_the_loss_is_that_of_all_rotations_in_one_batch():
    method = make(network=NETWORK, feature='conv1', pixel_mean=(0.5,), pixel_std=(0.2,))
    (params, extra), value, _, metrics, _ = trained(method)
    images = batch()['image'] / np.float32(255)
    turned = np.stack([np.rot90(x, k) for x in images for k in range(4)])
    x = jnp.asarray((turned - 0.5) / 0.2, jnp.float32)
    features, _ = jax.jit(apply_train, static_argnums=0)(
        RotNet(make_network(**NETWORK)), params, extra, x
    )
    logits = np.asarray(features['classifier'], float)
    losses = [np.log(np.exp(row).sum()) - row[i % 4] for i, row in enumerate(logits)]
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
    right = np.mean(np.argmax(logits, axis=1) == np.arange(16) % 4)
    np.testing.assert_allclose(metrics['accuracy'], right)


@pytest.mark.parametrize('task', ['conv', 'multilayer'])
def test_a_classifier_leaves_the_network_as_it_is(task):
    method = make(network=NETWORK, task=task, feature='conv1', num_classes=3)
    (params, extra), value, changed, _, gradient = trained(method)
    assert np.isfinite(value)
    assert all(not np.any(g) for g in jax.tree.leaves(gradient['network']))
    assert any(np.any(g) for g in jax.tree.leaves(gradient['classifier']))
    frozen = lambda tree: jax.tree.leaves(tree['batch_stats']['network'])  # noqa: E731
    for before, after in zip(frozen(extra), frozen(changed), strict=True):
        np.testing.assert_array_equal(before, after)
    found = jax.eval_shape(method.outputs, params, extra, batch())
    assert found['logits'].shape == (4, 3) and 'rotation_accuracy' not in found


def test_parameters_of_the_network_pass_from_the_rotations_to_a_classifier():
    shapes = lambda task: jax.eval_shape(  # noqa: E731
        make(network=NETWORK, task=task, feature='conv1', num_classes=3).init,
        jax.random.key(0), batch(),
    )  # fmt: skip
    for first, second in zip(shapes('rotations'), shapes('conv'), strict=True):
        old, new = (dict(jax.tree.leaves_with_path(tree)) for tree in (first, second))
        assert old and all(new[path].shape == x.shape for path, x in old.items())


def test_the_supervised_network_has_an_output_per_class():
    method = make(network=NETWORK, feature='conv1', task='labels', num_classes=5)
    params, extra = jax.eval_shape(method.init, jax.random.key(0), batch())
    assert params['network']['classifier']['kernel'].shape == (3, 5)
    assert jax.eval_shape(method.outputs, params, extra, batch())['logits'].shape == (4, 5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'task': 'jigsaw'}, "task: expected one of .*'rotations'.* got 'jigsaw'"),
        ({'task': 'labels'}, "num_classes: needed for task='labels', got None"),
        ({'feature': 'conv2'}, "feature: expected one of .*'conv1'.* got 'conv2'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(network=NETWORK, **options)
