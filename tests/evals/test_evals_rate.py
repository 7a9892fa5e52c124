import numpy as np
import pytest

from jaxsep.evals import rate

TABLES = np.tile(np.array([[1 << 14] * 4, [1, (1 << 16) - 3, 1, 1]]), (3, 1, 1))


def splits(**columns):
    symbols = np.random.default_rng(0).integers(-1, 2, (3, 5, 4, 2))
    symbols[..., 1] = 0
    given = {'bits': np.array([40.0, 41.0, 39.0]), 'symbols': symbols, 'tables': TABLES}
    return {'test': given | columns}


def test_bits_are_the_mean_and_bytes_are_those_of_streams():
    assert rate.evaluate(splits()) == {'bits': 40.0}
    found = rate.evaluate(splits(), coded=True)
    # 20 symbols of two bits in the first channel, of nearly none in the second.
    assert found['bits'] == 40.0 and 5 <= found['bytes'] <= 6
    assert found['coded_bits'] == 8 * found['bytes']


def test_symbols_beyond_the_table_are_sent_as_well():
    wide = splits()['test']['symbols'] * 1000
    assert rate.evaluate(splits(symbols=wide), coded=True)['bytes'] > 20


@pytest.mark.parametrize(
    'columns, message',
    [
        ({'bits': np.ones((3, 2))}, "output 'bits': expected one number per row, got 2"),
        ({'bits': np.array([1.0, np.nan, 1.0])}, "'bits' .* holds NaN"),
        ({'tables': TABLES[:, :1]}, "output 'tables': expected one for each of the 2 channels"),
    ],
)
def test_what_cannot_be_measured_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        rate.evaluate(splits(**columns), coded=True)
