import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.models.sparse_autoencoders import LINEAR, PURSUITS, SparseAutoencoder
from jaxsep.ops.matching_pursuit import unit_dictionary


def test_topk_agrees_with_the_original(golden):
    data = {k.removeprefix('topk/'): v for k, v in golden('mp_sae').items()}
    params = {
        'dictionary': unit_dictionary(jnp.asarray(data['w/dictionary._weights'])),
        'kernel': data['w/encoder.final_block.0.weight'].T,
        'bias': data['w/encoder.final_block.0.bias'],
    }
    model = SparseAutoencoder(15, 'topk', 4)
    found = jax.jit(lambda p, x: model.apply({'params': p}, x))(params, golden('mp_sae')['X'])
    np.testing.assert_allclose(found.before, data['pre_codes'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.codes, data['codes'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.reconstruction, data['recon'], rtol=1e-5, atol=1e-6)


def test_relu_with_a_decoder_bias_agrees_with_the_plain_autoencoder_of_makelov(golden):
    data = {k.removeprefix('vanilla/'): v for k, v in golden('sae_eval').items()}
    names = {'dictionary': 'W_dec', 'kernel': 'W_enc', 'bias': 'b_enc', 'decoder_bias': 'b_dec'}
    params = {ours: data[f'w/{theirs}'] for ours, theirs in names.items()}
    model = SparseAutoencoder(14, 'relu', decoder_bias=True)
    found = jax.jit(lambda p, x: model.apply({'params': p}, x))(params, data['A'])
    np.testing.assert_allclose(found.codes, data['acts'], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.reconstruction, data['recon'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('encoder', PURSUITS + LINEAR)
def test_the_reconstruction_is_that_of_the_codes_and_k_can_be_changed(encoder):
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    model = SparseAutoencoder(12, encoder, 3, tolerance=1e-3, decoder_bias=True)

    @jax.jit
    def run(key, x):
        params = dict(model.init(key, x)['params'])
        params['decoder_bias'] = params['decoder_bias'] + 0.5
        both = [model.apply({'params': params}, x, num_active=k) for k in (None, 1)]
        return params, both

    params, (found, single) = run(jax.random.key(0), x)
    want = found.codes @ params['dictionary'] + 0.5
    np.testing.assert_allclose(found.reconstruction, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(params['dictionary'], axis=1), 1, rtol=1e-5)
    assert np.all(np.sum(np.asarray(single.codes) != 0, axis=1) <= 1)
    assert np.sum(np.asarray(single.codes) != 0) < np.sum(np.asarray(found.codes) != 0)
    if encoder == 'batch_topk':
        assert np.sum(np.asarray(found.codes) != 0) == 3 * 8
