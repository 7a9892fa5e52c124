import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxsep.models.efficientnet_lite import EfficientNetLite, Stage
from jaxsep.models.pretrained import efficientnet_lite0 as lite0

SMALL = EfficientNetLite(
    num_classes=3,
    specification=(Stage(1, 4, 3, 1, 1), Stage(2, 6, 5, 2, 2)),
    stem_width=4,
    head_width=8,
)
ESPRESSO, TABBY, TIGER_CAT, EGYPTIAN_CAT = 967, 281, 282, 285


def made_weights(rng):
    """Arrays of the small model under the names, and in the layout, of the original."""

    def layer(prefix, kernel, norm, shape):
        found = {f'{prefix}{kernel}.weight': rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))}
        for entry in ('weight', 'bias', 'running_mean', 'running_var'):
            found[f'{prefix}{norm}.{entry}'] = 0.5 + rng.random(shape[0])
        return found

    found = layer('', '_conv_stem', '_bn0', (4, 3, 3, 3))
    for i, (into, out, kernel, expansion) in enumerate([(4, 4, 3, 1), (4, 6, 5, 2), (6, 6, 5, 2)]):
        block, inside = f'_blocks.{i}.', into * expansion
        if expansion > 1:
            found |= layer(block, '_expand_conv', '_bn0', (inside, into, 1, 1))
        found |= layer(block, '_depthwise_conv', '_bn1', (inside, 1, kernel, kernel))
        found |= layer(block, '_project_conv', '_bn2', (out, inside, 1, 1))
    found |= layer('', '_conv_head', '_bn1', (8, 6, 1, 1))
    found |= {'_fc.weight': rng.normal(size=(3, 8)), '_fc.bias': rng.normal(size=3)}
    return {name: values.astype(np.float32) for name, values in found.items()}


@pytest.fixture(scope='module')
def weights():
    return made_weights(np.random.default_rng(0))


@pytest.fixture(scope='module')
def variables(weights):
    return lite0.parameters(weights, SMALL)


def run(variables, image, *outputs, size=16, stage='head', views=None):
    apply = jax.jit(lite0.make_outputs(SMALL, 'image', outputs, stage, size, views))
    return {k: np.asarray(v) for k, v in apply(variables, {'image': image}).items()}


def test_the_weights_have_the_form_of_the_model(variables):
    fresh = jax.eval_shape(SMALL.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert jax.tree.map(jnp.shape, dict(fresh)) == jax.tree.map(jnp.shape, variables)


def test_the_stem_is_the_original_convolution_of_scaled_pixels(variables, weights):
    image = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    found = run(variables, image, 'stem', size=4)['stem']
    x = (image[0].astype(np.float64) - 127) / 128
    kernel = weights['_conv_stem.weight'].astype(np.float64)
    for u in range(2):
        for v in range(2):
            z = np.zeros(4)
            for i in range(3):  # of the 5 pixels that are needed, the last is beyond the image
                for j in range(3):
                    if 2 * u + i < 4 and 2 * v + j < 4:
                        z += kernel[:, :, i, j] @ x[2 * u + i, 2 * v + j]
            z = (z - weights['_bn0.running_mean']) / np.sqrt(weights['_bn0.running_var'] + 1e-3)
            z = np.clip(z * weights['_bn0.weight'] + weights['_bn0.bias'], 0, 6)
            np.testing.assert_allclose(found[0, u, v], z, rtol=1e-4, atol=1e-5)


def test_tokens_are_the_places_of_a_stage_and_the_embedding_is_their_mean(variables):
    image = np.random.default_rng(2).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    found = run(variables, image, 'tokens', 'stage2', 'embedding', 'head', stage='stage2')
    assert set(found) == {'tokens', 'stage2', 'embedding', 'head'}
    assert found['tokens'].shape == (2, 16, 6)
    np.testing.assert_array_equal(found['tokens'][1, 6], found['stage2'][1, 1, 2])
    tokens = run(variables, image, 'tokens')['tokens']
    np.testing.assert_allclose(tokens.mean(1), found['embedding'], rtol=1e-5)
    logits = run(variables, image, 'logits')['logits']
    dense = variables['params']['logits']
    expected = found['embedding'] @ dense['kernel'] + dense['bias']
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_grey_images_floats_and_other_sizes_are_seen_alike(variables):
    grey = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 1)).astype(np.uint8)
    expected = run(variables, grey, 'embedding')['embedding']
    for image in (np.repeat(grey, 3, -1), (grey / 255.0).astype(np.float32)):
        found = run(variables, image, 'embedding')['embedding']
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    flat = np.full((1, 5, 9, 3), 200, np.uint8)
    one = run(variables, flat, 'embedding')['embedding']
    two = run(variables, np.full((1, 16, 16, 1), 200, np.uint8), 'embedding')['embedding']
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_views_stand_behind_the_rows(variables):
    image = np.random.default_rng(4).random((2, 16, 16, 3)).astype(np.float32)
    mirrored = lambda x: jnp.stack([x, x[:, :, ::-1]], 1)  # noqa: E731
    found = run(variables, image, 'embedding', 'tokens', views=mirrored)
    assert found['embedding'].shape == (2, 2, 8) and found['tokens'].shape == (2, 2, 16, 8)
    for view, x in ((0, image), (1, image[:, :, ::-1])):
        alone = run(variables, x, 'embedding')['embedding']
        np.testing.assert_allclose(found['embedding'][:, view], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('batch', 'message'),
    [
        ({'photo': np.zeros((1, 8, 8, 3))}, r"column: no column 'image'; there are \['photo'\]"),
        ({'image': np.zeros((1, 8, 8, 2), np.uint8)}, 'image: expected 1 or 3 channels, got shape'),
        ({'image': np.zeros((1, 8, 8, 3), np.int32)}, 'image: expected uint8 or floats, got int32'),
    ],
)
def test_rows_without_images_are_named(variables, batch, message):
    apply = lite0.make_outputs(SMALL, 'image', ('embedding',), 'head', 8)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(apply, variables, batch)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'outputs': ()}, r'outputs: expected any of .*, got \(\)'),
        ({'outputs': ('features',)}, r"outputs: expected any of .*'features'"),
        ({'stage': 'stage8'}, "stage: expected one of .*, got 'stage8'"),
        ({'image_size': 0}, 'image_size: expected at least 1 pixel, got 0'),
        ({'views': {'name': 'five'}}, "views.name: expected one of .*, got 'five'"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_fetched(
    wrong, message, tmp_path, monkeypatch
):
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path))
    monkeypatch.setattr(lite0, 'members', pytest.fail)
    with pytest.raises(ValueError, match=message):
        lite0.load(**wrong)


def test_photographs_are_recognised_as_in_the_original(real):
    data = pytest.importorskip('skimage.data')
    real(lite0.ARCHIVE, small=False)
    encoder = lite0.load(outputs=('logits',))
    apply = jax.jit(encoder.outputs)

    def probabilities(image):
        """Of the middle of the image, cut as for ImageNet: 224 of 256 pixels."""
        side = min(image.shape[:2])
        top, left = ((n - side) // 2 for n in image.shape[:2])
        square = Image.fromarray(image[top : top + side, left : left + side])
        middle = np.asarray(square.resize((256, 256), Image.Resampling.BICUBIC))[16:240, 16:240]
        logits = apply(encoder.variables, {'image': middle[None]})['logits'][0]
        return np.asarray(jax.nn.softmax(logits))

    # Two digits that the original gave; how it resized the photograph moves the second.
    cup, cat = probabilities(data.coffee()), probabilities(data.chelsea())
    np.testing.assert_allclose(cup[ESPRESSO], 0.95, atol=0.015)
    np.testing.assert_allclose(
        cat[[TIGER_CAT, EGYPTIAN_CAT, TABBY]], [0.39, 0.36, 0.17], atol=0.015
    )
