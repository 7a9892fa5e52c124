import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models import mrdd

SMALL = dict(channels=3, multipliers=(1, 2), blocks=1, latent_channels=2)


def variables(weights, names):
    """The original's weights [o, i, h, w] and running statistics under our names."""
    params, statistics = {}, {}
    for ours, theirs in names.items():
        *above, last = ours.split('/')
        found = {k.removeprefix(f'{theirs}.'): v for k, v in weights.items()
                 if k.startswith(f'{theirs}.')}  # fmt: skip
        place = params
        for name in above:
            place = place.setdefault(name, {})
        if 'running_mean' in found:
            place[last] = {'scale': found['weight'], 'bias': found['bias']}
            place = statistics
            for name in above:
                place = place.setdefault(name, {})
            place[last] = {'mean': found['running_mean'], 'var': found['running_var']}
        else:
            kernel = np.transpose(found['weight'], (2, 3, 1, 0))
            place[last] = {'kernel': kernel, 'bias': found['bias']}
    return {'params': params, 'batch_stats': statistics}


def block(ours, theirs, weights):
    parts = {'norm1': 'norm1', 'conv1': 'conv1', 'norm2': 'norm2', 'conv2': 'conv2'}
    if f'{theirs}.nin_shortcut.weight' in weights:
        parts['shortcut'] = 'nin_shortcut'
    return {f'{ours}/{a}': f'{theirs}.{b}' for a, b in parts.items()}


ENDS = {name: name for name in ('conv_in', 'norm_out', 'conv_out')}
BLOCKS = {
    'encoder': {'down0_0': 'down.0.block.0', 'down1_0': 'down.1.block.0'},
    'decoder': {f'up{i}_{j}': f'up.{i}.block.{j}' for i in range(2) for j in range(2)},
}
RESIZE = {
    'encoder': {'downsample0': 'down.0.downsample.conv'},
    'decoder': {'upsample1': 'up.1.upsample.conv'},
}


@pytest.mark.parametrize('kind', ['encoder', 'decoder'])
def test_residual_networks_agree_with_the_original(golden, kind):
    a = {k.split('/', 1)[1]: v for k, v in golden('mrdd').items() if k.startswith(f'{kind}/')}
    weights = {k.removeprefix('w/'): v for k, v in a.items() if k.startswith('w/')}
    names = ENDS | RESIZE[kind]
    middle = {f'middle_{i}': f'mid.block_{i + 1}' for i in range(2)}
    for ours, theirs in (BLOCKS[kind] | middle).items():
        names = names | block(ours, theirs, weights)
    model = mrdd.make_networks(name='residual', **SMALL)[kind == 'decoder']
    x, want = (np.moveaxis(a[k], 1, -1) for k in ('xz' if kind == 'encoder' else 'zx'))
    image = () if kind == 'encoder' else (want.shape[1:],)
    got = jax.jit(lambda v, x: model.apply(v, x, *image))(variables(weights, names), jnp.asarray(x))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    'network', [{'name': 'residual', **SMALL}, {'name': 'dense', 'widths': (6, 5)}]
)
def test_each_view_is_decoded_from_the_one_code_by_its_own_decoder(network):
    model = mrdd.ConsistencyAutoencoder(*mrdd.make_networks(**network), code_size=3)
    rng = np.random.default_rng(0)
    views = jnp.asarray(rng.uniform(size=(2, 2, 4, 4, 1)), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), views)
    variables = jax.tree.map(lambda x: rng.uniform(0.1, 0.3, x.shape).astype(np.float32), shapes)
    swapped = {
        kind: {**parts, 'decoder': jax.tree.map(lambda x: x[::-1], parts['decoder'])}
        for kind, parts in variables.items()
    }
    apply = jax.jit(model.apply)
    (first, mean, _), (second, same, _) = (apply(v, views) for v in (variables, swapped))
    assert first.shape == views.shape and mean.shape == (2, 3)
    np.testing.assert_array_equal(mean, same)
    np.testing.assert_allclose(first[:, ::-1], second, rtol=1e-4)
    assert np.abs(first[:, 0] - first[:, 1]).max() > 1e-3


def test_a_code_without_noise_is_its_mean():
    mean, log_variance = jnp.ones((2, 3)), jnp.full((2, 3), jnp.log(4.0))
    np.testing.assert_array_equal(mrdd.draw(mean, log_variance, None), mean)
    np.testing.assert_allclose(mrdd.draw(mean, log_variance, mean), 3 * mean, rtol=1e-6)


def test_wrong_networks_are_named():
    with pytest.raises(ValueError, match=r"network.name: expected one of .*, got 'vit'"):
        mrdd.make_networks(name='vit')
    with pytest.raises(ValueError, match='network: .*depth'):
        mrdd.make_networks(name='dense', depth=3)
    with pytest.raises(ValueError, match='2 levels need sides that 2 divides, got images of 5 x 4'):
        mrdd.make_networks(name='residual', **SMALL)[1].feature_shape((5, 4, 1))
