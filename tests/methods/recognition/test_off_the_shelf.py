import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.methods.recognition import off_the_shelf
from jaxsep.models.off_the_shelf import PooledConv

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def rows(x, labels):
    return {'embedding': np.asarray(x, np.float32), 'label': np.asarray(labels, np.int32)}


def test_views_are_rows_of_training_and_their_scores_are_summed(golden):
    g = golden('off_the_shelf')
    svm = off_the_shelf.make(num_classes=3)
    fitted = svm.fit(KEY, rows(g['X'], g['y']))
    views = off_the_shelf.make(num_classes=3, several=True)
    # Trained on single rows as the fixture, the scores of 16 views of new images.
    found = views.outputs(fitted, rows(g['aug/views'], np.zeros(5)))
    np.testing.assert_allclose(found['logits'], g['aug/summed_scores'], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found['embedding'], axis=1), 1, rtol=1e-5)
    # Two views of a row are two rows.
    pairs = g['X'].reshape(30, 2, 10)
    both = views.fit(KEY, rows(pairs, g['y'][::2]))
    apart = svm.fit(KEY, rows(g['X'], np.repeat(g['y'][::2], 2)))
    np.testing.assert_allclose(both.weights, apart.weights, rtol=1e-5, atol=1e-6)


def test_rows_are_divided_by_their_norm_before_the_svm():
    x, labels = RNG.normal(size=(20, 4)), np.arange(20) % 2
    method = off_the_shelf.make(num_classes=2)
    fitted = method.fit(KEY, rows(x, labels))
    scaled = x * RNG.uniform(0.1, 9, (20, 1))
    again = method.fit(KEY, rows(scaled, labels))
    np.testing.assert_allclose(again.weights, fitted.weights, rtol=1e-3, atol=1e-5)
    zero = method.outputs(fitted, rows(np.zeros((1, 4)), [0]))
    np.testing.assert_allclose(zero['logits'][0], fitted.bias, rtol=1e-5)


def test_descriptors_are_whitened_and_the_first_patch_is_the_embedding(golden):
    g = golden('off_the_shelf')
    method = off_the_shelf.make(stage='retrieval', several=True, num_components=4, power=2)
    x, new = g['X'].reshape(12, 5, 10), g['X_new'].reshape(3, 5, 10)
    fitted = method.fit(KEY, rows(x, np.zeros(12)))
    found = method.outputs(fitted, rows(new, np.zeros(3)))
    np.testing.assert_allclose(
        np.abs(found['vectors']).reshape(15, 4), g['post/abs_descriptor_pow2'], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(found['embedding'], found['vectors'][:, 0])
    few = off_the_shelf.make(stage='retrieval').fit(KEY, rows(g['X'][:6], np.zeros(6)))
    assert few.components.shape == (6, 10)


def test_the_network_says_the_maximum_of_every_channel_wherever_it_is():
    model = PooledConv(3, (4, 6))
    # Far from the border, so that no padding is seen.
    image = np.zeros((2, 12, 12, 1), np.float32)
    patch = RNG.random((2, 2, 1))
    image[0, 4:6, 4:6], image[1, 7:9, 6:8] = patch, patch
    x = jnp.asarray(image)
    variables = model.init(KEY, x)
    found = model.apply(variables, x)
    assert {k: v.shape for k, v in found.items()} == {
        'layer1': (2, 4), 'layer2': (2, 6), 'embedding': (2, 6), 'logits': (2, 3)
    }  # fmt: skip
    np.testing.assert_allclose(found['layer2'][0], found['layer2'][1], rtol=1e-5, atol=1e-6)
    first = nn_relu_conv(image[0], variables['params']['conv1']['kernel'])
    np.testing.assert_allclose(found['layer1'][0], first.max((0, 1)), rtol=1e-4, atol=1e-6)


def nn_relu_conv(image, kernel):
    """A 3x3 convolution, the norm as it starts, and ReLU, pixel by pixel."""
    padded = np.pad(np.asarray(image, np.float64), ((1, 1), (1, 1), (0, 0)))
    h, w, _ = image.shape
    out = np.zeros((h, w, kernel.shape[-1]))
    for u in range(h):
        for v in range(w):
            out[u, v] = np.tensordot(padded[u : u + 3, v : v + 3], np.asarray(kernel), 3)
    return np.maximum(out / np.sqrt(1 + 1e-5), 0)


def test_the_network_shows_each_view():
    batch = {
        'image': RNG.integers(0, 256, (2, 8, 8, 1)).astype(np.uint8),
        'label': np.array([0, 1], np.int32),
    }
    given = dict(stage='network', num_classes=2, widths=(4,))
    plain = off_the_shelf.make(**given)
    views = off_the_shelf.make(**given, views=dict(name='spatial', levels=2))
    variables = plain.init(KEY, batch)
    whole = plain.outputs(*variables, batch)
    found = views.outputs(*variables, batch)
    assert found['embedding'].shape == (2, 5, 4) and found['logits'].shape == (2, 5, 2)
    np.testing.assert_allclose(found['layer1'][:, 0], whole['layer1'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stage': 'probe'}, "stage: expected one of .*, got 'probe'"),
        ({}, "num_classes: needed for stage='svm', got None"),
        ({'stage': 'network'}, "num_classes: needed for stage='network'"),
        ({'num_classes': 2, 'c': 0}, 'c: expected a positive number, got 0'),
        ({'stage': 'retrieval', 'num_components': 0}, 'num_components: expected at least 1, got 0'),
        ({'stage': 'retrieval', 'power': 0}, 'power: expected a positive number, got 0'),
        ({'stage': 'network', 'num_classes': 2, 'widths': ()}, 'widths: expected at least one'),
        ({'stage': 'network', 'num_classes': 2, 'views': {'name': 'x'}}, 'views.name: expected'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        off_the_shelf.make(**options)


def test_rows_that_do_not_fit_are_named():
    several = off_the_shelf.make(num_classes=2, several=True)
    with pytest.raises(ValueError, match="input: expected 'embedding' of several .*shape"):
        several.fit(KEY, rows(np.ones((4, 3)), np.zeros(4)))
    with pytest.raises(ValueError, match=r"input: expected 'embedding' .*columns \['label'\]"):
        several.fit(KEY, {'label': np.zeros(4, np.int32)})
    with pytest.raises(ValueError, match="label: no column 'label'"):
        several.fit(KEY, {'embedding': np.ones((4, 2, 3), np.float32)})
