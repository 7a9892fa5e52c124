"""Log-sum-exp over all pairs of rows without the matrix of all pairs.

The matrix is worked through in square blocks that fit into a cache: one pass adds each
block to running sums (with running maxima, so that any logits are safe), a second pass,
in the gradient, computes each block again. Memory is that of the rows; the values are
those of the full matrix up to rounding. Of a symmetric matrix only the blocks on and
above the diagonal are computed, once, and used for their rows and their columns.

The gradient is written by hand (`jax.custom_vjp`), hence no forward-mode differentiation.

Source of the running sums: Milakov 2018, https://arxiv.org/abs/1805.02867; of recomputing
blocks in the gradient: Rabe 2021, https://arxiv.org/abs/2112.05682
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxsep.ops.devices import varying_like
from jaxsep.ops.geometry import matmul

ChunkSize = int | Literal['auto'] | None
Keep = Literal['all', 'different', 'same']


class Pairs(NamedTuple):
    """Which pairs (i, j) are summed over, and in which blocks; static.

    Attributes:
      chunk: rows and columns of a block.
      keep: 'all' pairs; those of 'different' groups; those of the 'same' group, but not an
        item with itself (same group, same item).
      symmetric: the logits and the kept pairs are symmetric: blocks below the diagonal are skipped.
      columns: sums over the columns are wanted too.
    """

    chunk: int
    keep: Keep
    symmetric: bool
    columns: bool


def block_size(num_rows: int, chunk_size: ChunkSize) -> int:
    """Rows per block: as asked, or chosen so that blocks of equal size fill the rows.

    'auto' aims at 512: on two CPU cores 256 to 1,024 were about equally fast, larger ones slower.
    """
    if chunk_size == 'auto':
        blocks = max(-(-num_rows // 512), 1)
        return max(-(-num_rows // blocks), 1)
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size: expected a positive integer or 'auto', got {chunk_size!r}")
    return max(min(chunk_size, num_rows), 1)


def self_logsumexp(
    x: Float[Array, 'n d'],
    chunk_size: ChunkSize = 'auto',
    *,
    groups: Int[Array, 'n'] | None = None,
    keep: Literal['others', 'different', 'same'] = 'others',
    right: Float[Array, 'n d'] | None = None,
) -> Float[Array, 'n']:
    """The log of sum_j exp(x_i . x_j) over the other rows, for each row of one set.

    Empty case: -inf with zero gradient where nothing is kept.

    Args:
      groups: needed for keep='different' (rows of another group) and 'same' (the other rows
        of the own group).
      right: the second factor where it is written differently from the first; x_i . right_j
        must be symmetric in i and j.
    """
    items = jnp.arange(x.shape[0], dtype=jnp.int32)
    groups, keep = (items, 'different') if keep == 'others' else (groups, keep)
    pairs = Pairs(block_size(x.shape[0], chunk_size), keep, symmetric=True, columns=True)
    right = x if right is None else right
    above, below = _sums(pairs, x, right, groups, groups, items, items)
    return _add_logarithms(above, below)


def cross_logsumexp(
    x: Float[Array, 'n d'],
    y: Float[Array, 'm d'],
    chunk_size: ChunkSize = 'auto',
    *,
    groups: tuple[Int[Array, 'n'], Int[Array, 'm']] | None = None,
    items: tuple[Int[Array, 'n'], Int[Array, 'm']] | None = None,
    keep: Keep = 'all',
) -> Float[Array, 'n']:
    """The log of sum_j exp(x_i . y_j) over the kept rows of y, for each row of x.

    Empty case: -inf with zero gradient where nothing is kept.

    Args:
      groups: of the rows of x and y, for keep='different' and 'same'.
      items: of the rows of x and y: with keep='same', a row is not compared with its own item.
    """
    pairs = Pairs(block_size(max(x.shape[0], y.shape[0]), chunk_size), keep, False, False)
    return _sums(pairs, x, y, *_numbers(x, y, groups, items))[0]


def two_sided_logsumexp(
    x: Float[Array, 'n d'], y: Float[Array, 'm d'], chunk_size: ChunkSize = 'auto'
) -> tuple[Float[Array, 'n'], Float[Array, 'm']]:
    """The logs of sum_j exp(x_i . y_j) for each i and of sum_i exp(x_i . y_j) for each j.

    Both from one computation of the blocks.
    """
    pairs = Pairs(block_size(max(x.shape[0], y.shape[0]), chunk_size), 'all', False, True)
    return _sums(pairs, x, y, *_numbers(x, y, None, None))


def map_rows(
    function: Callable[..., Float[Array, 'c']], chunk_size: ChunkSize, *rows: Shaped[Array, 'n ...']
) -> Float[Array, 'n']:
    """function(*rows), a value per row, computed a block of rows at a time.

    Each block is computed again for the gradient, so that nothing of a block is kept. With
    None all rows are one block.
    """
    size = len(rows[0])
    if chunk_size is None or size == 0:
        return function(*rows)
    chunk = block_size(size, chunk_size)
    whole = size - size % chunk
    blocks = [x[:whole].reshape(whole // chunk, chunk, *x.shape[1:]) for x in rows]
    values = jax.lax.map(lambda block: jax.checkpoint(function)(*block), blocks)
    rest = function(*[x[whole:] for x in rows]) if size % chunk else values[:0, 0]
    return jnp.concatenate([values.reshape(whole), rest])


def _numbers(x, y, groups, items):
    """Groups and items as four integer arrays; zeros where they do not matter."""
    none = (jnp.zeros(len(x), jnp.int32), jnp.zeros(len(y), jnp.int32))
    one_each = (jnp.arange(len(x), dtype=jnp.int32), -1 - jnp.arange(len(y), dtype=jnp.int32))
    return (*(groups or none), *(items or one_each))


def _add_logarithms(a, b):
    """log(exp(a) + exp(b)); both may be -inf, where the gradient is 0."""
    largest = jnp.maximum(a, b)
    empty = largest == -jnp.inf
    shift = jax.lax.stop_gradient(jnp.where(empty, 0.0, largest))
    total = jnp.exp(jnp.where(empty, -jnp.inf, a) - shift)
    total += jnp.exp(jnp.where(empty, -jnp.inf, b) - shift)
    return jnp.where(empty, -jnp.inf, jnp.log(jnp.where(empty, 1.0, total)) + shift)


def _sums(pairs: Pairs, x, y, *numbers):
    """Over the rows and over the columns; -inf without any pair."""
    if len(x) == 0 or len(y) == 0:
        return tuple(jnp.full(len(v), -jnp.inf, v.dtype) for v in (x, y))
    return _block_logsumexp(pairs, varying_like(x, y), varying_like(y, x), *numbers)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _block_logsumexp(pairs: Pairs, x, y, groups_x, groups_y, items_x, items_y):
    return _forward(pairs, x, y, groups_x, groups_y, items_x, items_y)[0]


def _forward(pairs, *arguments):
    x, y, *_ = arguments
    blocks = _Blocks(pairs, *arguments)

    def add(sums, block, maxima, total):
        """Running maximum and sum of some rows, with those of one more block."""
        largest, scaled = (_read(s, block, pairs.chunk) for s in sums)
        new = jnp.maximum(largest, maxima)
        shift = _or_zero(new)
        scaled = scaled * jnp.exp(largest - shift) + total * jnp.exp(maxima - shift)
        return tuple(
            _write(s, v, block, pairs.chunk) for s, v in zip(sums, (new, scaled), strict=True)
        )

    def visit(sums, ij):
        i, j = ij
        rows, columns = sums
        logits = blocks.logits(i, j)
        maxima = jnp.max(logits, axis=1)
        total = jnp.sum(jnp.exp(logits - _or_zero(maxima)[:, None]), axis=1)
        rows = add(rows, i, maxima, total)
        if pairs.columns:
            maxima = jnp.max(logits, axis=0)
            total = jnp.sum(jnp.exp(logits - _or_zero(maxima)[None, :]), axis=0)
            maxima = jnp.where(pairs.symmetric & (i == j), -jnp.inf, maxima)
            columns = add(columns, j, maxima, jnp.where(maxima == -jnp.inf, 0.0, total))
        return (rows, columns), None

    start = [
        (jnp.full(size, -jnp.inf, blocks.x.dtype), jnp.zeros(size, blocks.x.dtype))
        for size in (len(blocks.x), len(blocks.y))
    ]
    (rows, columns), _ = jax.lax.scan(visit, varying_like(tuple(start), blocks.x), blocks.order)
    row, column = (
        jnp.where(m == -jnp.inf, -jnp.inf, jnp.log(jnp.where(s > 0, s, 1.0)) + m + 0.0 * s)
        for m, s in (rows, columns)
    )
    results = row[: len(x)], column[: len(y)]
    return results, (arguments, results)


def _backward(pairs, saved, cotangents):
    arguments, results = saved
    x, y, *_ = arguments
    blocks = _Blocks(pairs, *arguments)
    # exp(l - inf) = 0: no gradient through the sum of nothing.
    of_rows, of_columns = (
        (_pad(jnp.where(r == -jnp.inf, jnp.inf, r), pairs.chunk), _pad(w, pairs.chunk))
        for r, w in zip(results, cotangents, strict=True)
    )

    def visit(grads, ij):
        i, j = ij
        logits = blocks.logits(i, j)
        result, weight = (_read(v, i, pairs.chunk)[:, None] for v in of_rows)
        grad = jnp.exp(logits - result) * weight
        if pairs.columns:
            result, weight = (_read(v, j, pairs.chunk)[None, :] for v in of_columns)
            # The blocks of the diagonal were summed over their rows only.
            result = jnp.where(pairs.symmetric & (i == j), jnp.inf, result)
            grad += jnp.exp(logits - result) * weight
        grad_x, grad_y = grads
        a, b = _read(blocks.x, i, pairs.chunk), _read(blocks.y, j, pairs.chunk)
        grad_x = _write(grad_x, _read(grad_x, i, pairs.chunk) + matmul(grad, b), i, pairs.chunk)
        grad_y = _write(grad_y, _read(grad_y, j, pairs.chunk) + matmul(grad.T, a), j, pairs.chunk)
        return (grad_x, grad_y), None

    start = (jnp.zeros_like(blocks.x), jnp.zeros_like(blocks.y))
    (grad_x, grad_y), _ = jax.lax.scan(visit, varying_like(start, blocks.x), blocks.order)
    return grad_x[: len(x)], grad_y[: len(y)], None, None, None, None


_block_logsumexp.defvjp(_forward, _backward)


class _Blocks:
    """The padded rows, the order of the blocks, and the logits of one block."""

    def __init__(self, pairs, x, y, groups_x, groups_y, items_x, items_y):
        self.pairs = pairs
        self.num_rows, self.num_columns = len(x), len(y)
        self.x, self.y = _pad(x, pairs.chunk), _pad(y, pairs.chunk)
        self.groups = _pad(groups_x, pairs.chunk), _pad(groups_y, pairs.chunk)
        self.items = _pad(items_x, pairs.chunk), _pad(items_y, pairs.chunk)
        shape = len(self.x) // pairs.chunk, len(self.y) // pairs.chunk
        i, j = np.indices(shape).reshape(2, -1).astype(np.int32)
        wanted = i <= j if pairs.symmetric else slice(None)
        self.order = jnp.asarray(i[wanted]), jnp.asarray(j[wanted])

    def logits(self, i, j):
        """Inner products of block i of x with block j of y; -inf where a pair is not kept."""
        chunk, keep = self.pairs.chunk, self.pairs.keep
        logits = matmul(_read(self.x, i, chunk), _read(self.y, j, chunk).T)
        kept = None
        if keep != 'all':
            a, b = _read(self.groups[0], i, chunk), _read(self.groups[1], j, chunk)
            kept = a[:, None] != b[None, :]
        if keep == 'same':
            a, b = _read(self.items[0], i, chunk), _read(self.items[1], j, chunk)
            kept = ~kept & (a[:, None] != b[None, :])
        place = jnp.arange(chunk, dtype=jnp.int32)
        if self.num_rows % chunk:
            inside = (i * chunk + place < self.num_rows)[:, None]
            kept = inside if kept is None else kept & inside
        if self.num_columns % chunk:
            inside = (j * chunk + place < self.num_columns)[None, :]
            kept = inside if kept is None else kept & inside
        return logits if kept is None else jnp.where(kept, logits, -jnp.inf)


def _pad(values, chunk):
    missing = -len(values) % chunk
    return jnp.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1)) if missing else values


def _read(values, block, chunk):
    return jax.lax.dynamic_slice_in_dim(values, block * chunk, chunk)


def _write(values, part, block, chunk):
    return jax.lax.dynamic_update_slice_in_dim(values, part, block * chunk, 0)


def _or_zero(maxima):
    return jnp.where(maxima == -jnp.inf, 0.0, maxima)
