import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.range_coder import TOTAL, decode, encode, frequencies
from jaxsep.models.blocks.entropy import EntropyBottleneck


def tables_of(rng, count, radius, sharpness=1.0):
    """Random tables with a little mass for the escape."""
    mass = rng.dirichlet(np.full(2 * radius + 1, 1 / sharpness), size=count).astype(np.float32)
    return np.asarray(frequencies(jnp.asarray(0.999 * mass)))


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 5), places=st.integers(0, 40),
    radius=st.integers(0, 6), sharpness=st.sampled_from([0.1, 1.0, 30.0]), wide=st.booleans(),
    per_row=st.booleans(),
)  # fmt: skip
def test_what_is_encoded_is_decoded(seed, rows, places, radius, sharpness, wide, per_row):
    rng = np.random.default_rng(seed)
    tables = tables_of(rng, 3, radius, sharpness)
    spread = 2**15 - 1 if wide else radius + 1
    symbols = rng.integers(-spread - 1, spread + 1, size=(rows, places))
    index = rng.integers(0, 3, size=(rows, places) if per_row else places)
    streams = encode(symbols, tables, index)
    np.testing.assert_array_equal(decode(streams, tables, index, places), symbols)


@pytest.mark.parametrize('sharpness', [0.5, 10.0])
def test_streams_are_as_long_as_their_information_and_one_byte(sharpness):
    rng = np.random.default_rng(0)
    tables, index = tables_of(rng, 4, 10, sharpness), np.arange(2000) % 4
    symbols = np.stack(
        [rng.choice(22, size=20, p=tables[t] / TOTAL) for t in index], axis=1
    ) - 10  # fmt: skip
    symbols = np.minimum(symbols, 10)
    streams = encode(symbols, tables, index)
    bits = -np.log2(tables[index[None], symbols + 10] / TOTAL).sum(1)
    lengths = 8 * np.array([len(stream) for stream in streams])
    assert np.all(lengths >= bits - 1e-6)
    assert np.all(lengths < bits + 9)  # the rest of a byte, and a bit


def test_short_streams_take_no_constant_overhead():
    tables = np.array([[1, TOTAL - 3, 1, 1]])
    certain = np.zeros((1, 50), int)
    assert len(encode(certain, tables, np.zeros(50, int))[0]) == 1
    assert encode(certain[:, :0], tables, np.zeros(0, int)) == [b'']
    fair = np.array([[TOTAL // 4] * 4])
    symbols = np.array([[-1, 0, 1, 1, 0, -1, 1, 0]])  # 16 bits
    assert len(encode(symbols, fair, np.zeros(8, int))[0]) == 2


def test_escaped_symbols_cost_sixteen_bits_more():
    tables, index = np.array([[TOTAL // 4] * 4]), np.zeros(64, int)
    inside, outside = np.zeros((1, 64), int), np.full((1, 64), 1234)
    more = len(encode(outside, tables, index)[0]) - len(encode(inside, tables, index)[0])
    assert more == 64 * 2


def test_tables_sum_to_the_total_and_are_nearly_the_likelihoods():
    rng = np.random.default_rng(1)
    mass = np.concatenate([
        rng.dirichlet(np.ones(9), 50), np.eye(9)[:3], np.zeros((1, 9)), np.full((1, 9), 1 / 9),
        rng.dirichlet(np.full(9, 0.01), 50),
    ]).astype(np.float32)  # fmt: skip
    tables = jax.jit(frequencies)(mass)
    assert tables.shape == (len(mass), 10) and tables.dtype == jnp.int32
    assert np.min(tables) >= 1
    np.testing.assert_array_equal(np.sum(tables, axis=1), TOTAL)
    np.testing.assert_allclose(tables[:50, :9] / TOTAL, mass[:50], atol=12 / TOTAL)
    assert tables[53, 9] == TOTAL - 9


def test_the_streams_of_the_original_are_not_shorter(golden):
    a = golden('entropy_models')
    layer = EntropyBottleneck(3)
    params = {'quantiles': jnp.asarray(a['eb/w/quantiles'][:, 0])}
    for theirs, ours in (('matrices', 'matrix'), ('biases', 'bias'), ('factors', 'factor')):
        for i in range(5 if ours != 'factor' else 4):
            value = a[f'eb/w/{theirs}.{i}']
            params[f'{ours}_{i}'] = jnp.asarray(value if ours == 'matrix' else value[..., 0])
    x = jnp.asarray(a['eb/x'].transpose(0, 2, 3, 1))
    symbols = np.asarray(layer.apply({'params': params}, x, method='symbols')).reshape(2, -1)
    tables = frequencies(layer.apply({'params': params}, 15, method='symbol_likelihoods'))
    tables = np.asarray(tables)
    index = np.arange(symbols.shape[1]) % 3
    lengths = np.array([len(stream) for stream in encode(symbols, tables, index)])
    bits = -np.log2(a['eb/eval/likelihood'].reshape(2, -1)).sum(1)
    assert np.all(lengths <= a['eb/string_bytes'])
    assert np.all(8 * lengths >= bits - 1) and np.all(8 * lengths <= bits + 12)


GOOD = np.array([[TOTAL // 4] * 4])


@pytest.mark.parametrize(
    'symbols, tables, index, message',
    [
        ([[0]], GOOD[:, :3], [0], r'tables: expected an even number of entries, got shape \(1, 3\)'),
        ([[0]], GOOD - 1, [0], 'tables: expected entries of at least 1 that sum to 65536'),
        ([[0]], [[0, TOTAL - 2, 1, 1]], [0], 'tables: expected entries of at least 1'),
        ([[0]], GOOD, [1], 'index: expected numbers of the 1 tables'),
        ([[0]], GOOD, [0, 0], r'index: expected shape \(1,\) or \(1, 1\), got \(2,\)'),
        ([[2**15]], GOOD, [0], 'symbols: expected numbers of 16 bits'),
    ],
)  # fmt: skip
def test_what_cannot_be_coded_is_named(symbols, tables, index, message):
    with pytest.raises(ValueError, match=message):
        encode(np.array(symbols), np.array(tables), np.array(index))


def test_too_large_tables_are_refused():
    with pytest.raises(
        ValueError, match='likelihoods: expected fewer than 65535 entries, got 65535'
    ):
        frequencies(jnp.zeros(65535))
