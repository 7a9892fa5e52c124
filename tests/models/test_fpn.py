import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.fpn import FeaturePyramid, flatten_places, make_maps

BACK, FORTH = (0, 2, 3, 1), (0, 3, 1, 2)  # channels last and first


def pyramid_params(weights):
    """The golden's weights under our names."""
    names = {'lateral_convs': 'lateral', 'fpn_convs': 'output'}
    params = {}
    for name, value in weights.items():
        kind, level, _, what = name.split('.')
        layer = params.setdefault(f'{names[kind]}_{level}', {})
        if what == 'weight':
            layer['kernel'] = value.transpose(2, 3, 1, 0)
        else:
            layer['bias'] = value
    return params


@pytest.mark.parametrize('extra', ['on_input', 'on_output'])
def test_pyramid_agrees_with_the_golden(golden, extra):
    start = f'fpn_{extra}/'
    g = {
        k.removeprefix(start): v
        for k, v in golden('shared_dense_detection').items()
        if k.startswith(start)
    }
    weights = {k.removeprefix('w/'): v for k, v in g.items() if k.startswith('w/')}
    maps = [jnp.asarray(g[f'c{level}'].transpose(BACK)) for level in range(3)]
    found = FeaturePyramid(4, 5, extra).apply({'params': pyramid_params(weights)}, maps)
    for level in range(5):
        expected = g[f'p{level}']
        np.testing.assert_allclose(
            found[level].transpose(FORTH), expected, rtol=1e-4, atol=1e-5, err_msg=str(level)
        )


@pytest.mark.parametrize(
    'options, strides',
    [
        (dict(name='conv', widths=(2, 3, 4, 5), depth=2), (4, 8, 16)),
        (dict(name='conv', widths=(2, 3), levels=2), (2, 4)),
        (dict(name='resnet18', width=2, levels=2), (16, 32)),
    ],
)
def test_maps_have_the_strides_that_the_backbone_names(options, strides):
    backbone = make_maps(**options)
    assert backbone.strides == strides
    made = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x)[0], jnp.zeros((1, 64, 32, 3))
    )
    assert [x.shape[1:3] for x in made] == [(64 // s, 32 // s) for s in strides]


def test_cell_of_a_map_looks_around_the_pixel_that_its_prior_is_centred_at():
    backbone = make_maps(name='conv', widths=(2, 2, 2), depth=1, levels=1)
    x = jnp.zeros((1, 32, 32, 1))

    @jax.jit
    @jax.grad
    def gradient(image):  # all weights positive: ReLU is not in the way
        variables = backbone.init(jax.random.key(0), x)
        ones = jax.tree.map(jnp.ones_like, variables['params'])
        return backbone.apply({**variables, 'params': ones}, image)[0][0, 2, 1, 0]

    seen = np.argwhere(np.asarray(gradient(x + 1.0))[0, :, :, 0])
    # The cell (2, 1) of stride 8 is centred at the pixel (16, 8).
    np.testing.assert_array_equal((seen.min(0) + seen.max(0)) / 2, [16, 8])


def test_places_are_row_by_row_and_predictions_fastest():
    x = jnp.arange(2 * 3 * 4.0).reshape(1, 2, 3, 4)  # two predictions of two numbers
    np.testing.assert_array_equal(flatten_places(x, 2)[0], np.arange(24.0).reshape(12, 2))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(name='vgg'), "backbone.name: expected one of .*'conv', .* got 'vgg'"),
        (dict(name='conv', heads=2), "backbone: .*'heads'"),
        (dict(name='conv', widths=(4,), levels=2), 'backbone.levels: expected 1 to 1, got 2'),
        (dict(name='resnet50', levels=5), 'backbone.levels: expected 1 to 4, got 5'),
    ],
)
def test_wrong_backbones_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_maps(**options)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(levels=1), 'levels: expected at least 2 inputs, got 1'),
        (dict(extra='on_lateral'), "extra: expected one of .* got 'on_lateral'"),
    ],
)
def test_wrong_pyramids_are_named(options, message):
    maps = [jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 2, 2, 2))]
    with pytest.raises(ValueError, match=message):
        FeaturePyramid(2, **options).init(jax.random.key(0), maps)
