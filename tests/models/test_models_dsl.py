import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.dsl import split_normalise
from jaxsep.models import dsl


class Given(dsl.nn.Module):
    """A backbone that hands its input on: the map of the stored case."""

    def __call__(self, x, train=False):
        return x


def test_attention_features_and_embedding_agree_with_the_original(golden):
    a = golden('dsl')
    attention = {
        f'Conv_{i}': {
            'kernel': jnp.asarray(a[f'attention/w/layer{i + 1}.weight'].transpose(2, 3, 1, 0)),
            'bias': jnp.asarray(a[f'attention/w/layer{i + 1}.bias']),
        }
        for i in range(3)
    }
    layer = {'kernel': jnp.asarray(a['embedding/w/weight'].T), 'bias': a['embedding/w/bias']}
    groups = jnp.asarray(a['attention/group_of_dim'].astype(np.int32))

    @jax.jit
    def forward(x):
        network = dsl.AttendedFeatures(Given())
        features, weights = network.apply({'params': {'SpatialAttention_0': attention}}, x)
        nothing = jnp.zeros((32, 9)), jnp.zeros(9)
        raw = dsl.RenewableLayer(9).apply({'params': layer}, features, *nothing)
        return weights, features, raw, split_normalise(raw, groups, 3)

    got = forward(jnp.asarray(a['attention/x'].transpose(0, 2, 3, 1)))
    want = [a['attention/attention'][:, 0]]
    want += [a[f'attention/{name}'] for name in ('pooled', 'embedding_raw')]
    want += [a['attention/embedding_split_normalised']]
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-7)


def test_renewed_dimensions_start_from_xavier_weights_and_no_bias_and_others_stay():
    rng = np.random.default_rng(0)
    kernel, bias = jnp.asarray(rng.normal(size=(50, 60))), jnp.asarray(rng.normal(size=60))
    offsets = jnp.asarray(rng.normal(size=(50, 60))), jnp.asarray(rng.normal(size=60))
    renewed = jnp.arange(60) >= 10
    new = jax.jit(dsl.renew)(jax.random.key(0), kernel, bias, offsets, renewed)
    np.testing.assert_array_equal(new[0][:, :10], offsets[0][:, :10])
    np.testing.assert_array_equal(new[1][:10], offsets[1][:10])
    fresh = np.asarray(kernel + new[0])[:, 10:]
    # 2,500 normal numbers: their standard deviation is within 10 % (7 sigma) of the law.
    np.testing.assert_allclose(fresh.std(), np.sqrt(2 / (50 + 50)), rtol=0.1)
    np.testing.assert_allclose((bias + new[1])[10:], 0, atol=1e-7)


def test_a_layer_goes_on_learning_from_renewed_weights_as_if_they_were_its_own():
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(8, 4))), jnp.asarray(rng.normal(size=(8, 3)))
    layer, nothing = dsl.RenewableLayer(3), (jnp.zeros((4, 3)), jnp.zeros(3))
    old = layer.init(jax.random.key(0), x, *nothing)['params']
    offsets = dsl.renew(jax.random.key(1), **old, offsets=nothing, renewed=jnp.arange(3) > 0)

    @jax.jit
    def train(params, offsets):
        def loss(params):
            return jnp.mean(jnp.square(layer.apply({'params': params}, x, *offsets) - y))

        for _ in range(3):
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))
        return layer.apply({'params': params}, x, *offsets)

    own = {'kernel': old['kernel'] + offsets[0], 'bias': old['bias'] + offsets[1]}
    np.testing.assert_allclose(train(old, offsets), train(own, nothing), rtol=1e-4, atol=1e-5)


def test_backbones_return_maps():
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    for options, shape in (
        (dict(name='conv', widths=(4, 8)), (2, 16, 16, 8)),
        (dict(name='resnet', depth=50, stages=3), (2, 2, 2, 1024)),
    ):
        network = dsl.make_map(**options)
        maps, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
        assert maps.shape == shape


def test_wrong_backbones_are_named():
    with pytest.raises(ValueError, match='backbone.name.*vgg'):
        dsl.make_map(name='vgg')
    with pytest.raises(ValueError, match='backbone.*width'):
        dsl.make_map(name='conv', width=3)


def test_dropout_keeps_the_mean_and_does_nothing_at_rate_zero():
    keys, ones = jax.random.split(jax.random.key(0), 50), jnp.ones((50, 40))
    dropped = np.asarray(dsl.drop(keys, ones, 0.2))
    assert set(np.unique(dropped)) == {0.0, np.float32(1.25)}
    # 2,000 draws: their mean is within 5 % (4 sigma) of 1.
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.05)
    np.testing.assert_array_equal(dsl.drop(keys, ones, 0.0), ones)
    with pytest.raises(ValueError, match='dropout.*1.0'):
        dsl.drop(keys, ones, 1.0)
