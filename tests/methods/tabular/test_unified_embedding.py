import jax
import numpy as np
import pytest

from jaxsep.methods.tabular import unified_embedding

SIZES = (6, 5, 9)
RNG = np.random.default_rng(0)
BATCH = {
    'categories': np.stack([RNG.integers(0, size, 8) for size in SIZES], 1).astype(np.int32),
    'numbers': RNG.normal(size=(8, 2)).astype(np.float32),
    'label': np.arange(8, dtype=np.int32) % 2,
}


def run(batch=BATCH, **options):
    method = unified_embedding.make(field_sizes=SIZES, width=4, **options)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        value, (_, metrics) = method.loss(params, extra, batch, jax.random.key(1))
        return params, value, metrics, method.outputs(params, extra, batch)

    return all_of_it(batch)


@pytest.mark.parametrize(
    ('options', 'rows'),
    [
        (dict(sharing='multiplexed', row_fraction=0.5), 10),
        (dict(sharing='multiplexed', row_fraction=0.5, num_tables=3), 9),
        (dict(sharing='separate', row_fraction=0.5), 10),
        (dict(sharing='collisionless', row_fraction=0.5), 20),
        (dict(sharing='collisionless', num_chunks=(1, 2, 1)), 25),
    ],
)
def test_the_number_of_rows_is_that_of_the_budget(options, rows):
    chunks = options.get('num_chunks', 1)
    layout = unified_embedding.make_layout(
        SIZES, **dict(row_fraction=0.2, num_chunks=chunks, num_tables=1, hash_seed=0) | options
    )
    assert layout.num_rows == rows


def test_the_loss_is_the_cross_entropy_of_the_logits_with_and_without_cross_layers():
    for options in (dict(backbone='dcn'), dict(backbone='mlp', hidden=())):
        params, value, metrics, outputs = run(**options)
        z = np.asarray(outputs['logits'], np.float64)
        expected = np.mean(np.logaddexp(0, z) - BATCH['label'] * z)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(metrics['accuracy'], np.mean((z > 0) == BATCH['label']))
        assert outputs['embedding'].shape == (8, 12)
        inputs = 12 + 2
        first = params['Mlp_0']['Dense_0']['kernel']
        assert first.shape == (inputs, 64 if options['backbone'] == 'dcn' else 1)


def test_without_hidden_layers_the_model_is_that_of_the_theory():
    batch = {name: column for name, column in BATCH.items() if name != 'numbers'}
    params, _, _, outputs = run(batch, backbone='mlp', hidden=())
    dense = params['Mlp_0']['Dense_0']
    theta = np.asarray(dense['kernel']).reshape(3, 4)
    each = np.asarray(outputs['embedding']).reshape(8, 3, 4)
    z = np.einsum('bfd,fd->b', each, theta) + np.asarray(dense['bias'])
    np.testing.assert_allclose(outputs['logits'], z, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(backbone='cnn'), "backbone: expected 'dcn' or 'mlp', got 'cnn'"),
        (dict(width=0), 'width, cross_layers: expected 1 or more, got 0, 2'),
        (dict(num_tables=0), 'num_tables: expected at least 1, got 0'),
        (dict(row_fraction=0.0), 'row_fraction: expected a number above 0, got 0.0'),
        (dict(sharing='some'), "sharing: expected 'multiplexed', 'separate' or 'collisionless'"),
        (dict(num_chunks=0), 'num_chunks: expected 1 to 31 for each field'),
        (dict(hash_seed=-1), 'hash_seed: expected 0 or more, got -1'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        unified_embedding.make(**dict(field_sizes=SIZES) | options)


def test_another_number_of_fields_than_the_facts_say_is_named():
    method = unified_embedding.make(field_sizes=SIZES)
    with pytest.raises(ValueError, match='field_sizes: expected the sizes of 2 fields, got 3'):
        method.init(jax.random.key(0), {'categories': BATCH['categories'][:, :2]})
