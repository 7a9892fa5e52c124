"""Sparse codes by matching pursuit: atoms of a dictionary chosen one after the other.

Each step adds the atom that is most correlated with what the earlier ones have left over, so
that later atoms are read conditionally on earlier ones. Atoms have unit norm: else a step does
not take away what it should (see `unit_dictionary`).

Costa et al. 2025, https://arxiv.org/abs/2506.03093; names and details from the library of one of
its authors, https://github.com/KempnerInstitute/overcomplete
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxsep.ops.geometry import in_float32, inner_products

LARGEST_GRAM = 2**30
"""Bytes that the inner products of all atoms may take where the form is chosen automatically."""
FORMS = ('auto', 'gram', 'direct')


class Pursuit(NamedTuple):
    """What a pursuit of k steps found.

    Attributes:
      residual: [n, d], what is left of the rows; rows - residual is the reconstruction.
      codes: [n, m], the sum of the values of each atom; 0 for atoms never chosen.
      indices: [n, k] int32, the atom of each step.
      values: [n, k], what it was given; 0 for steps that were not taken.
    """

    residual: Float[Array, 'n d']
    codes: Float[Array, 'n m']
    indices: Int[Array, 'n k']
    values: Float[Array, 'n k']


def unit_dictionary(dictionary: Float[Array, 'm d']) -> Float[Array, 'm d']:
    """The atoms scaled to unit norm: w_j / (||w_j|| + 1e-8).

    Meant for parameters after the optimizer's step (`Method.constrain`), where no gradient passes
    through it; at a zero atom its gradient is 0.

    Source: overcomplete, DictionaryLayer with 'l2'
    """
    w = in_float32(dictionary)
    squares = jnp.sum(w * w, axis=1, keepdims=True)
    nonzero = squares > 0
    lengths = jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, squares, 1.0)), 0.0)
    return w / (lengths + 1e-8)


def dictionary_dropout(
    key: Key[Array, ''], dictionary: Float[Array, 'm d'], rate: float
) -> Float[Array, 'm d']:
    """The dictionary with each atom set to 0 with probability `rate`, for training only.

    Kept atoms stay as they are: they must have unit norm. One draw serves the whole batch.
    """
    if not 0 <= rate < 1:
        raise ValueError(f'rate: expected 0 <= rate < 1, got {rate}')
    keep = jax.random.bernoulli(key, 1.0 - rate, dictionary.shape[:1])
    return jnp.where(keep[:, None], dictionary, 0.0)


def decode(codes: Float[Array, 'n m'], dictionary: Float[Array, 'm d']) -> Float[Array, 'n d']:
    """The rows that codes stand for: z W, without a bias."""
    return inner_products(in_float32(codes), in_float32(dictionary).T)


def mp_encode(
    rows: Float[Array, 'n d'],
    dictionary: Float[Array, 'm d'],
    num_steps: int,
    *,
    form: str = 'auto',
) -> Pursuit:
    """Matching pursuit of a fixed number of steps.

    r = x, z = 0; num_steps times: c = r W^T, j = argmax_j c_j, z_j += c_j, r -= c_j w_j. The
    argmax is of the signed correlation (the first index on ties), an atom may be chosen again,
    and where all correlations are negative a negative code comes out.

    Gradients flow through values and atoms, not through the choice: given the indices, codes and
    residual are a differentiable chain of num_steps inner products per row, which is all that is
    kept and differentiated. Values come from that chain, whichever form chose the indices.

    Args:
      rows: x.
      dictionary: W, atoms of unit norm.
      num_steps: k. Fewer steps of the same rows are a prefix of `indices` and `values`.
      form: how the correlations are followed. 'direct' computes r W^T at each step, n m d
        multiply-adds. 'gram' computes x W^T and W W^T once and subtracts c_j (W W^T)_j, n m a
        step: the same numbers up to a rounding of k epsilon ||x||, which can only decide between
        atoms that are tied to that precision. 'auto' takes the one with less work, and never
        `gram` beyond 1 GiB of inner products.

    >>> import jax.numpy as jnp
    >>> found = mp_encode(jnp.array([[3.0, 2.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]]), 2)
    >>> [values.tolist() for values in found.indices]
    [[1, 0]]
    >>> [[round(v, 3) for v in values] for values in found.codes.tolist()]
    [[0.96, 3.4]]

    Source: Costa 2025; overcomplete, MpSAE
    """
    x, w = in_float32(rows), in_float32(dictionary)
    check(num_steps, form)
    n, m = x.shape[0], w.shape[0]
    small = w.dtype.itemsize * m * m <= LARGEST_GRAM
    if form == 'gram' or (form == 'auto' and small and m <= n * (num_steps - 2)):
        chosen = choose_by_gram(*jax.lax.stop_gradient((x, w)), num_steps)
    else:
        chosen = choose_directly(*jax.lax.stop_gradient((x, w)), num_steps)
    taken = jnp.ones(chosen.shape, bool)
    return follow(x, w, chosen, taken)


def mp_encode_threshold(
    rows: Float[Array, 'n d'],
    dictionary: Float[Array, 'm d'],
    tolerance: float | Float[Array, ''],
    *,
    max_steps: int,
) -> tuple[Pursuit, Int[Array, 'n']]:
    """Matching pursuit until the residual is small, with codes that are never negative.

    Steps as in `mp_encode` with c = max(r W^T, 0). A row stops after the step in which the set of
    its nonzero codes did not change or that left ||r|| < tolerance; what is finished stays as it
    is. All rows stop after `max_steps`. Gradients as in `mp_encode`.

    Args:
      tolerance: tau, of the norm of the residual.

    Returns:
      the pursuit, and how many steps each row took (the last one included).

    Source: the encoder released with Costa 2025
    """
    x, w = in_float32(rows), in_float32(dictionary)
    check(max_steps, 'auto')
    fixed_x, fixed_w = jax.lax.stop_gradient((x, w))
    n, m = x.shape[0], w.shape[0]

    def body(state):
        step, residual, used, running, chosen, taken = state
        correlations = jnp.maximum(inner_products(residual, fixed_w), 0.0)
        index = jnp.argmax(correlations, axis=1).astype(jnp.int32)
        atoms = fixed_w[index]
        value = jnp.where(running, jnp.take_along_axis(correlations, index[:, None], 1)[:, 0], 0.0)
        residual = residual - value[:, None] * atoms
        known = jnp.take_along_axis(used, index[:, None], 1)[:, 0] | (value == 0)
        used = used | ((jnp.arange(m)[None, :] == index[:, None]) & (value > 0)[:, None])
        chosen, taken = chosen.at[step].set(index), taken.at[step].set(running)
        length = jnp.sqrt(jnp.sum(residual * residual, axis=1))
        return step + 1, residual, used, running & ~known & (length >= tolerance), chosen, taken

    start = (
        jnp.int32(0),
        fixed_x,
        jnp.zeros((n, m), bool),
        jnp.ones(n, bool),
        jnp.zeros((max_steps, n), jnp.int32),
        jnp.zeros((max_steps, n), bool),
    )
    done = jax.lax.while_loop(lambda s: (s[0] < max_steps) & jnp.any(s[3]), body, start)
    chosen, taken = done[-2:]
    found = follow(x, w, chosen, taken, positive=True)
    return found, jnp.sum(taken, axis=0, dtype=jnp.int32)


def omp_encode(
    rows: Float[Array, 'n d'],
    dictionary: Float[Array, 'm d'],
    num_steps: int,
    *,
    num_inner_steps: int = 10,
) -> Pursuit:
    """Orthogonal matching pursuit with codes that are never negative.

    num_steps times: the best atom that is not used yet joins, argmax_j r . w_j, and the codes of
    all chosen atoms are solved for again, min_{z >= 0} ||x - z W||^2, by projected gradient:
    z <- max(z - (z Q - p) / (||Q||_F + 1e-8), 0) from the present codes, Q the inner products of
    the chosen atoms, p those with x. Then r = x - z W. No gradient flows through any of it.

    The original ends the inner steps early where the gradient of the whole batch is below 1e-5;
    here a row does not depend on the others, and all steps are taken.

    Args:
      num_steps: at most m, the number of atoms.
      num_inner_steps: of the projected gradient; the original has 10.

    Returns:
      `values` are the final ones of each chosen atom.

    Source: overcomplete, OMPSAE and batched_matrix_nnls
    """
    x, w = jax.lax.stop_gradient((in_float32(rows), in_float32(dictionary)))
    n, m = x.shape[0], w.shape[0]
    check(num_steps, 'auto')
    if num_steps > m:
        raise ValueError(f'num_steps: expected at most the {m} atoms, got {num_steps}')
    everywhere = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

    def step(state, number):
        residual, used, chosen, values = state
        correlations = jnp.where(used, -jnp.inf, inner_products(residual, w))
        index = jnp.argmax(correlations, axis=1).astype(jnp.int32)
        used = used | (jnp.arange(m)[None, :] == index[:, None])
        chosen = chosen.at[:, number].set(index)
        here = jnp.arange(num_steps) <= number
        atoms = jnp.where(here[None, :, None], w[chosen], 0.0)
        gram = everywhere('nkd,nld->nkl', atoms, atoms)
        wanted = everywhere('nkd,nd->nk', atoms, x)
        rate = 1.0 / (jnp.sqrt(jnp.sum(gram * gram, axis=(1, 2))) + 1e-8)

        def descend(_, z):
            slope = everywhere('nkl,nl->nk', gram, z) - wanted
            return jnp.maximum(z - rate[:, None] * slope, 0.0)

        values = jax.lax.fori_loop(0, num_inner_steps, descend, values)
        return (x - everywhere('nk,nkd->nd', values, atoms), used, chosen, values), None

    start = (
        x,
        jnp.zeros((n, m), bool),
        jnp.zeros((n, num_steps), jnp.int32),
        jnp.zeros((n, num_steps), x.dtype),
    )
    (residual, _, chosen, values), _ = jax.lax.scan(step, start, jnp.arange(num_steps))
    return Pursuit(residual, spread(chosen, values, m), chosen, values)


def check(num_steps: int, form: str) -> None:
    """ValueError for a number of steps below 1 or an unknown form."""
    if num_steps < 1:
        raise ValueError(f'num_steps: expected at least 1, got {num_steps}')
    if form not in FORMS:
        raise ValueError(f'form: expected one of {FORMS}, got {form!r}')


def choose_directly(
    x: Float[Array, 'n d'], w: Float[Array, 'm d'], num_steps: int
) -> Int[Array, 'k n']:
    """The atoms of each step, correlations computed from the residual."""

    def step(residual, _):
        index = jnp.argmax(inner_products(residual, w), axis=1).astype(jnp.int32)
        atoms = w[index]
        value = jnp.sum(residual * atoms, axis=1, keepdims=True)
        return residual - value * atoms, index

    _, chosen = jax.lax.scan(step, x, None, length=num_steps)
    return chosen


def choose_by_gram(
    x: Float[Array, 'n d'], w: Float[Array, 'm d'], num_steps: int
) -> Int[Array, 'k n']:
    """The atoms of each step, correlations updated through the inner products of atoms."""
    gram = inner_products(w, w)

    def step(correlations, _):
        index = jnp.argmax(correlations, axis=1).astype(jnp.int32)
        value = jnp.take_along_axis(correlations, index[:, None], axis=1)
        return correlations - value * gram[index], index

    _, chosen = jax.lax.scan(step, inner_products(x, w), None, length=num_steps)
    return chosen


def follow(
    x: Float[Array, 'n d'],
    w: Float[Array, 'm d'],
    chosen: Int[Array, 'k n'],
    taken: Bool[Array, 'k n'],
    positive: bool = False,
) -> Pursuit:
    """The pursuit along given atoms; this is what is differentiated.

    Args:
      taken: which steps count.
      positive: values below 0 become 0.
    """

    @partial(jax.checkpoint, prevent_cse=False)  # gathered atoms are not kept for each step
    def step(residual, what):
        index, counts = what
        atoms = w[index]
        value = jnp.sum(residual * atoms, axis=1)
        value = jnp.where(counts, jnp.maximum(value, 0.0) if positive else value, 0.0)
        return residual - value[:, None] * atoms, value

    residual, values = jax.lax.scan(step, x, (chosen, taken))
    indices, values = chosen.T, values.T
    return Pursuit(residual, spread(indices, values, w.shape[0]), indices, values)


def spread(
    indices: Int[Array, 'n k'], values: Float[Array, 'n k'], num_atoms: int
) -> Float[Array, 'n m']:
    """Codes from the values of chosen atoms; those of an atom chosen twice are added."""

    def row(indices, values):
        return jnp.zeros(num_atoms, values.dtype).at[indices].add(values)

    return jax.vmap(row)(indices, values)
