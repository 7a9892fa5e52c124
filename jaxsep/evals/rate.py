"""What a codec sends: bits by its own density, and bytes by a range coder."""

import numpy as np

from jaxsep.algorithms import range_coder
from jaxsep.evals.columns import Splits, column, vectors

NEEDS = ('test',)


def evaluate(splits: Splits, *, coded: bool = False) -> dict[str, float]:
    """The mean over the test rows of what it takes to send one.

    Reads the output `bits` [b]; where `coded`, `symbols` int [b, ..., c] and the tables of their
    channels too, `tables` int [b, c, m], of which the first row counts. Every row is encoded to a
    stream of its own, decoded, and compared.

    Args:
      splits: 'test', a dict of columns.
      coded: count bytes; they take seconds.

    Returns:
      'bits'; and where coded 'bytes', their number, and 'coded_bits', eight times as many.
    """
    estimated = vectors(splits, 'test', 'bits')
    if estimated.shape[1] != 1:
        raise ValueError(f"output 'bits': expected one number per row, got {estimated.shape[1]}")
    found = {'bits': float(np.mean(estimated, dtype=np.float64))}
    if not coded:
        return found
    symbols, tables = column(splits, 'test', 'symbols'), column(splits, 'test', 'tables')[0]
    if tables.ndim != 2 or symbols.ndim < 2 or symbols.shape[-1] != len(tables):
        raise ValueError(
            f"output 'tables': expected one for each of the {symbols.shape[-1]} channels of "
            f"'symbols', got shape {tables.shape}"
        )
    symbols = symbols.reshape(len(symbols), -1)
    index = np.arange(symbols.shape[1]) % len(tables)
    streams = range_coder.encode(symbols, tables, index)
    decoded = range_coder.decode(streams, tables, index, symbols.shape[1])
    if not np.array_equal(decoded, symbols):
        raise ValueError("output 'symbols': the coder does not give them back")
    found['bytes'] = float(np.mean([len(stream) for stream in streams]))
    return found | {'coded_bits': 8.0 * found['bytes']}
