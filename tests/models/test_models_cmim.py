import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.models.cmim import Decoder, GaussianEncoder
from jaxsep.models.encoders import Mlp

ENCODER = GaussianEncoder(Mlp((5,), normalize=False), 3, (-2.0, 0.5))
DECODER = Decoder((6, 4), (2, 2, 1))
X = np.random.default_rng(0).normal(size=(7, 2, 2, 1)).astype(np.float32)


@jax.jit
def passed(key, x):
    """Everything the two halves give, and their parameters."""
    encoder, decoder = ENCODER.init(key, x), DECODER.init(key, jnp.zeros((1, 3)))
    mean, logvar = ENCODER.apply(encoder, x)
    return encoder, decoder, mean, logvar, *DECODER.apply(decoder, mean)


def dense(layer, x):
    return x @ np.asarray(layer['kernel'], np.float64) + np.asarray(layer['bias'], np.float64)


def test_the_code_and_the_hidden_layer_are_those_of_plain_linear_layers():
    encoder, decoder, mean, logvar, output, hidden = passed(jax.random.key(0), X)
    encoder, decoder = encoder['params'], decoder['params']
    features = np.maximum(dense(encoder['network']['Dense_0'], X.reshape(7, 4)), 0)
    both = dense(encoder['Dense_0'], features)
    np.testing.assert_allclose(mean, both[:, :3], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logvar, np.clip(both[:, 3:], -2, 0.5), rtol=1e-4, atol=1e-6)
    z = np.asarray(mean, np.float64)
    for name in ('Dense_0', 'Dense_1'):
        z = np.maximum(dense(decoder[name], z), 0)
    np.testing.assert_allclose(hidden, z, rtol=1e-4, atol=1e-6)
    want = dense(decoder['Dense_2'], z).reshape(X.shape)
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-6)


def test_log_variances_stay_in_their_range_however_far_the_example():
    *_, logvar, _, _ = passed(jax.random.key(0), X * 1e4)
    assert np.min(logvar) == -2 and np.max(logvar) == 0.5


def test_a_decoder_without_hidden_layers_is_linear_and_shows_the_code():
    decoder, z = Decoder((), (2,)), np.ones((4, 3), np.float32)
    (output, hidden), _ = jax.jit(decoder.init_with_output)(jax.random.key(1), z)
    np.testing.assert_array_equal(hidden, z)
    assert output.shape == (4, 2)
