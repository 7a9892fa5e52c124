import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from jaxsep.models.cross import CrossNetwork, cross

RNG = np.random.default_rng(0)
X, X0, BIAS, WEIGHT = (RNG.normal(size=s) for s in ((5, 4), (5, 4), (4,), (4, 4)))


def test_a_cross_layer_is_the_equation_and_has_exact_gradients(float64):
    want = np.zeros((5, 4))
    for i in range(5):
        for j in range(4):
            want[i, j] = X0[i, j] * (X[i] @ WEIGHT[:, j] + BIAS[j]) + X[i, j]
    arguments = [jnp.asarray(a) for a in (X0, X, WEIGHT, BIAS)]
    np.testing.assert_allclose(cross(*arguments), want, rtol=1e-12)

    def layer(*arguments):  # numeric differences come as numpy arrays
        return cross(*map(jnp.asarray, arguments))

    check_grads(layer, arguments, order=1, modes=['rev'], rtol=1e-6)


def test_layers_without_bias_make_a_polynomial_of_one_degree_more_each():
    network = CrossNetwork(2)
    x = jnp.asarray(X0, jnp.float32)
    params = network.init(jax.random.key(0), x)
    scales = jnp.array([1.0, 2.0, 3.0, 4.0])
    values = jnp.stack([network.apply(params, s * x) for s in scales])
    # s v1 + s^2 v2 + s^3 v3: three terms tell the fourth value.
    powers = scales[:, None] ** jnp.arange(1, 4)[None, :]
    terms = jnp.linalg.solve(powers[:3], values[:3].reshape(3, -1))
    np.testing.assert_allclose(powers[3] @ terms, values[3].ravel(), rtol=1e-3, atol=1e-3)
    assert set(params['params']) == {'kernel_0', 'kernel_1', 'bias_0', 'bias_1'}


def test_without_weights_the_input_passes():
    x = jnp.asarray(X0, jnp.float32)
    np.testing.assert_array_equal(cross(x, x, jnp.zeros((4, 4)), jnp.zeros(4)), x)
