"""A range coder: symbols as bytes, as many as their probabilities say, and back exactly.

Encoder and decoder must have the same integer tables: `frequencies` makes them once from
likelihoods. Streams are independent of one another and are coded side by side in NumPy.

A stream is a number in an interval that every symbol narrows in proportion to its probability;
the interval is kept to 48 bits, its leading bytes go out as soon as only a carry can change them
(Martin 1979, "Range encoding"). The end is the shortest number in the interval without its
trailing zeros: a stream of n bits takes n / 8 bytes and at most one more or so, none if all was
certain.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

PRECISION = 16
TOTAL = 1 << PRECISION
WIDTH = 48  # bits of the interval, between 2^40 and 2^48 wide before each symbol
NARROW = 1 << (WIDTH - 8)
ESCAPE_BYTES = 2


def frequencies(likelihoods: Float[Array, '*t n']) -> Int[Array, '*t n+1']:
    """Tables for the coder: whole numbers, each at least 1, that sum to 65,536.

    The additional last entry is the escape, for symbols that are not in the table; its likelihood
    is what is missing to 1. Rounding's remainder goes to the most likely entry. At most
    65,535 entries; fewer than a thousand lose little.

    >>> import jax.numpy as jnp
    >>> frequencies(jnp.array([0.25, 0.5, 0.25])).tolist()
    [16384, 32767, 16384, 1]
    """
    missing = jnp.maximum(1.0 - jnp.sum(likelihoods, axis=-1, keepdims=True), 0.0)
    mass = jnp.concatenate([likelihoods, missing], axis=-1)
    size = mass.shape[-1]
    if size >= TOTAL:
        raise ValueError(f'likelihoods: expected fewer than {TOTAL - 1} entries, got {size - 1}')
    share = mass / jnp.sum(mass, axis=-1, keepdims=True)
    counts = 1 + jnp.floor(share * (TOTAL - size)).astype(jnp.int32)
    rest = TOTAL - jnp.sum(counts, axis=-1, keepdims=True)
    largest = jnp.argmax(mass, axis=-1, keepdims=True) == jnp.arange(size).reshape(
        (1,) * (mass.ndim - 1) + (size,)
    )
    return counts + jnp.where(largest, rest, 0)


def encode(
    symbols: Int[np.ndarray, 'b n'], tables: Int[np.ndarray, 't m'], index: Int[np.ndarray, '...']
) -> list[bytes]:
    """One stream of bytes for each row of symbols.

    A table of m = 2 r + 2 entries is for the symbols -r .. r and the escape. Other symbols are
    sent as the escape and 16 bits.

    Args:
      symbols: integers, of 16 bits with their sign.
      tables: from `frequencies`.
      index: int [n] or [b, n], the table of each place.

    Raises:
      ValueError: for tables that do not sum to 65,536, have an entry below 1 or an odd number of
        entries, an index out of range, or a symbol of more than 16 bits.
    """
    starts, tables, index = _checked(tables, index, symbols.shape)
    symbols = np.asarray(symbols, np.int64)
    if symbols.size and not -(2**15) <= symbols.min() <= symbols.max() < 2**15:
        raise ValueError('symbols: expected numbers of 16 bits')
    radius = tables.shape[1] // 2 - 1
    escaped = np.abs(symbols) > radius
    entry = np.where(escaped, tables.shape[1] - 1, symbols + radius)
    start, count = starts[index, entry], tables[index, entry]
    low = np.zeros(len(symbols), np.int64)
    wide = np.full(len(symbols), 1 << WIDTH, np.int64)
    # A symbol narrows the interval by two bytes at most, and so do its escaped bytes together.
    room = 2 * symbols.shape[1] + 2 * int(escaped.sum(1).max(initial=0)) + WIDTH // 8
    sent, lengths = np.zeros((len(symbols), room), np.int16), np.zeros(len(symbols), np.int64)

    def carry(rows):
        """Adds what went over the interval's top to the byte that was sent last."""
        over = rows[low[rows] >> WIDTH > 0]
        sent[over, lengths[over] - 1] += 1
        low[over] -= 1 << WIDTH

    def send(rows):
        """Sends the leading byte."""
        sent[rows, lengths[rows]] = low[rows] >> (WIDTH - 8)
        lengths[rows] += 1
        low[rows] = low[rows] % NARROW << 8

    def narrow(rows, start, count):
        """Narrows the intervals of `rows` to one entry of a table."""
        unit = wide[rows] >> PRECISION
        low[rows] += unit * start
        wide[rows] = unit * count
        carry(rows)
        while len(small := rows[wide[rows] < NARROW]):
            send(small)
            wide[small] <<= 8

    everyone = np.arange(len(symbols))
    for place in range(symbols.shape[1]):
        narrow(everyone, start[:, place], count[:, place])
        out = np.flatnonzero(escaped[:, place])
        for byte in reversed(range(ESCAPE_BYTES if len(out) else 0)):
            narrow(out, (symbols[out, place] >> 8 * byte & 255) << 8, 1 << 8)
    low[:] = -(-low // NARROW) * NARROW  # in the interval too, and zeros from its second byte on
    carry(everyone)
    send(everyone)
    for k in reversed(range(1, room)):  # bytes that a carry made 256
        sent[:, k - 1] += sent[:, k] >> 8
        sent[:, k] &= 255
    return [
        row[:k].astype(np.uint8).tobytes().rstrip(b'\0')
        for row, k in zip(sent, lengths, strict=True)
    ]


def decode(
    streams: Sequence[bytes], tables: Int[np.ndarray, 't m'], index: Int[np.ndarray, '...'],
    num_symbols: int,
) -> Int[np.ndarray, 'b n']:  # fmt: skip
    """The symbols [b, num_symbols] that `encode` made the streams of, int32; errors as there."""
    starts, tables, index = _checked(tables, index, (len(streams), num_symbols))
    radius = tables.shape[1] // 2 - 1
    ends = starts + tables
    longest = max(map(len, streams), default=0) + WIDTH // 8
    given = np.zeros((len(streams), longest), np.int64)  # zeros follow where a stream has ended
    for row, stream in zip(given, streams, strict=True):
        row[: len(stream)] = np.frombuffer(stream, np.uint8)
    number = np.zeros(len(streams), np.int64)  # how far it is above the interval's lower end
    for k in range(WIDTH // 8):
        number = number << 8 | given[:, k]
    wide = np.full(len(streams), 1 << WIDTH, np.int64)
    read = np.full(len(streams), WIDTH // 8)

    def narrow(rows, start, count):
        """Narrows the intervals of `rows` as the encoder did."""
        unit = wide[rows] >> PRECISION
        number[rows] -= unit * start
        wide[rows] = unit * count
        while len(small := rows[wide[rows] < NARROW]):
            more = given[small, np.minimum(read[small], longest - 1)]
            number[small] = number[small] << 8 | more
            wide[small] <<= 8
            read[small] += 1

    everyone, symbols = np.arange(len(streams)), np.zeros((len(streams), num_symbols), np.int32)
    for place in range(num_symbols):
        table = index[:, place]
        slot = number // (wide >> PRECISION)
        entry = np.minimum(np.sum(ends[table] <= slot[:, None], axis=1), tables.shape[1] - 1)
        narrow(everyone, starts[table, entry], tables[table, entry])
        symbols[:, place] = entry - radius
        out = np.flatnonzero(entry == tables.shape[1] - 1)
        if len(out):
            value = np.zeros(len(out), np.int64)
            for _ in range(ESCAPE_BYTES):
                byte = number[out] // (wide[out] >> PRECISION) >> 8 & 255
                narrow(out, byte << 8, 1 << 8)
                value = value << 8 | byte
            symbols[out, place] = (value ^ 2**15) - 2**15
    return symbols


def _checked(tables, index, shape):
    """Where each entry begins [t, m], the tables, and the index [b, n]."""
    tables, index = np.asarray(tables, np.int64), np.asarray(index)
    if tables.ndim != 2 or tables.shape[1] % 2 or not tables.shape[1]:
        raise ValueError(f'tables: expected an even number of entries, got shape {tables.shape}')
    if len(tables) and (tables.min() < 1 or np.any(tables.sum(axis=1) != TOTAL)):
        raise ValueError(f'tables: expected entries of at least 1 that sum to {TOTAL}')
    if index.shape not in (shape, shape[1:]):
        raise ValueError(f'index: expected shape {shape[1:]} or {shape}, got {index.shape}')
    if index.size and not 0 <= index.min() <= index.max() < len(tables):
        raise ValueError(f'index: expected numbers of the {len(tables)} tables')
    return np.cumsum(tables, axis=1) - tables, tables, np.broadcast_to(index, shape)
