"""Crosses of fields against the golden numbers, loops over pairs, and their laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from jaxsep.models import interactions


def test_golden(golden):
    a = golden('shared_retrieval')
    fields = jnp.asarray(a['ctr_blocks/emb'])
    scalar = interactions.factorization_machine(fields)
    np.testing.assert_allclose(scalar[:, None], a['ctr_blocks/fm'], rtol=1e-5)
    vector = interactions.factorization_vector(fields)
    np.testing.assert_allclose(vector, a['ctr_blocks/fm_vector'], rtol=1e-5, atol=1e-6)
    inner = interactions.pairwise_inner_products(fields)
    np.testing.assert_allclose(inner, a['ctr_blocks/inner'], rtol=1e-5, atol=1e-6)
    params = {}
    for layer in range(3):
        params[f'weight_{layer}'] = jnp.asarray(a[f'ctr_blocks/cross_w/w.{layer}.weight'][0])
        params[f'bias_{layer}'] = jnp.asarray(a[f'ctr_blocks/cross_w/b.{layer}'])
    crossed = interactions.CrossNetwork(3).apply({'params': params}, fields.reshape(4, -1))
    np.testing.assert_allclose(crossed, a['ctr_blocks/cross'], rtol=1e-5, atol=1e-6)


def test_sums_over_pairs_agree_with_loops_in_their_order():
    fields = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    pairs = list(itertools.combinations(range(5), 2))
    products = np.stack([fields[:, i] * fields[:, j] for i, j in pairs], axis=1)
    x = jnp.asarray(fields)
    inner = interactions.pairwise_inner_products(x)
    np.testing.assert_allclose(inner, products.sum(axis=2), rtol=1e-4, atol=1e-5)
    vector = interactions.factorization_vector(x)
    np.testing.assert_allclose(vector, products.sum(axis=1), rtol=1e-4, atol=1e-5)
    scalar = interactions.factorization_machine(x)
    np.testing.assert_allclose(scalar, inner.sum(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scalar, interactions.factorization_machine(x[:, ::-1]), rtol=1e-5)


def test_one_field_or_none_has_no_pairs():
    for f in (0, 1):
        x = jnp.ones((2, f, 3))
        assert (interactions.factorization_machine(x) == 0).all()
        assert interactions.pairwise_inner_products(x).shape == (2, 0)


def test_a_cross_network_is_a_polynomial_of_degree_layers_plus_1(float64):
    x0 = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))
    net = interactions.CrossNetwork(2)
    params = net.init(jax.random.key(0), x0)
    along = np.stack([net.apply(params, t * x0) for t in np.arange(5.0)])
    np.testing.assert_allclose(np.diff(along, n=4, axis=0), 0, atol=1e-10)
    assert np.abs(np.diff(along, n=3, axis=0)).max() > 1e-3
    np.testing.assert_array_equal(interactions.CrossNetwork(0).apply({}, x0), x0)
    check_grads(jax.jit(lambda p: net.apply(p, x0)), (params,), order=1, modes=['rev'])


RNG = np.random.default_rng(0)
X, CROSSED, BIAS, WEIGHT = (RNG.normal(size=s) for s in ((5, 4), (5, 4), (4,), (4, 4)))


def test_a_full_rank_cross_layer_is_the_equation_and_has_exact_gradients(float64):
    want = np.zeros((5, 4))
    for i in range(5):
        for j in range(4):
            want[i, j] = CROSSED[i, j] * (X[i] @ WEIGHT[:, j] + BIAS[j]) + X[i, j]
    arguments = [jnp.asarray(a) for a in (CROSSED, X, WEIGHT, BIAS)]
    np.testing.assert_allclose(interactions.full_rank_cross_layer(*arguments), want, rtol=1e-12)

    def layer(*arguments):  # numeric differences come as numpy arrays
        return interactions.full_rank_cross_layer(*map(jnp.asarray, arguments))

    check_grads(layer, arguments, order=1, modes=['rev'], rtol=1e-6)


def test_full_rank_layers_without_bias_make_a_polynomial_of_one_degree_more_each():
    network = interactions.CrossNetwork(2, full_rank=True)
    x = jnp.asarray(CROSSED, jnp.float32)
    params = network.init(jax.random.key(0), x)
    scales = jnp.array([1.0, 2.0, 3.0, 4.0])
    values = jnp.stack([network.apply(params, s * x) for s in scales])
    # s v1 + s^2 v2 + s^3 v3: three terms tell the fourth value.
    powers = scales[:, None] ** jnp.arange(1, 4)[None, :]
    terms = jnp.linalg.solve(powers[:3], values[:3].reshape(3, -1))
    np.testing.assert_allclose(powers[3] @ terms, values[3].ravel(), rtol=1e-3, atol=1e-3)
    assert set(params['params']) == {'kernel_0', 'kernel_1', 'bias_0', 'bias_1'}


def test_without_weights_the_input_of_a_full_rank_layer_passes():
    x = jnp.asarray(CROSSED, jnp.float32)
    np.testing.assert_array_equal(
        interactions.full_rank_cross_layer(x, x, jnp.zeros((4, 4)), jnp.zeros(4)), x
    )
