"""CUR: a matrix from some of its own rows and columns, S ~ C U R.

C = S[:, cols] and R = S[rows] are what must be known of S, and I = S[rows][:, cols] is where they
meet. With U = pinv(I) the product is exact where rank(I) = rank(S). With anchors in place of
rows and columns it turns an expensive similarity into an inner product: Yadav 2022 (ANNCUR),
https://arxiv.org/abs/2210.12579. The matrix need not be known in full: `cur_from_parts`.

Pseudo-inverses are ill-conditioned where as many rows as columns are taken: choose fewer of one,
or a larger `rtol`. They gain from float64, which is used where jax is set to it.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32, matmul

PREFERENCES = ('rows', 'cols')


class Cur(NamedTuple):
    """The three factors of S ~ C U R.

    Attributes:
      columns: C, one row per row of S.
      core: U.
      rows: R, one column per column of S.
    """

    columns: Float[Array, 'n c']
    core: Float[Array, 'c r']
    rows: Float[Array, 'r m']


def pseudo_inverse(
    matrix: Float[Array, 'n m'], rtol: float | Float[Array, ''] | None = None
) -> Float[Array, 'm n']:
    """The Moore-Penrose inverse; singular values up to rtol times the largest count as 0.

    Zeros for a matrix of zeros.

    Args:
      rtol: by default 1e-10 in float64 and 1e-5 in float32. The default of `jnp.linalg.pinv`
        grows with the shape, numpy's is 1e-15: here what is asked for is what is cut.
    """
    matrix = in_float32(matrix)
    if rtol is None:
        rtol = 1e-10 if matrix.dtype == jnp.float64 else 1e-5
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    kept = (values > rtol * jnp.max(values, initial=0.0)) & (values > 0)
    inverse = jnp.where(kept, 1.0 / jnp.where(kept, values, 1.0), 0.0)
    return matmul(right.T * inverse[None, :], left.T)


def cur(
    matrix: Float[Array, 'n m'],
    rows: Int[Array, 'r'],
    cols: Int[Array, 'c'],
    rtol: float | Float[Array, ''] | None = None,
    *,
    oracle: bool = False,
) -> Cur:
    """The factors C, U, R of a matrix for chosen rows and columns.

    U = pinv(S[rows][:, cols]), or with `oracle` the best possible one, pinv(C) S pinv(R), which
    minimises ||S - C U R||_F but needs all of S.

    Args:
      rows: indices in any order.
      cols: indices in any order.
      rtol: see `pseudo_inverse`.

    >>> import jax.numpy as jnp
    >>> s = jnp.outer(jnp.arange(1.0, 4.0), jnp.arange(1.0, 5.0))
    >>> bool(jnp.allclose(approximation(cur(s, jnp.array([2]), jnp.array([1]))), s))
    True
    """
    matrix = in_float32(matrix)
    columns, kept_rows = matrix[:, cols], matrix[rows]
    if not oracle:
        return cur_from_parts(columns, kept_rows, kept_rows[:, cols], rtol)
    inner = matmul(matmul(pseudo_inverse(columns, rtol), matrix), pseudo_inverse(kept_rows, rtol))
    return Cur(columns, inner, kept_rows)


def cur_from_parts(
    columns: Float[Array, 'n c'],
    rows: Float[Array, 'r m'],
    intersection: Float[Array, 'r c'],
    rtol: float | Float[Array, ''] | None = None,
) -> Cur:
    """The factors from the parts of a matrix that is not known in full; U = pinv(intersection).

    Args:
      columns: S[:, cols] for the rows of S that are wanted, also ones that `rows` lack.
      rows: S[rows].
      intersection: S[rows][:, cols], columns in the same order as those of `columns`.
    """
    return Cur(in_float32(columns), pseudo_inverse(intersection, rtol), in_float32(rows))


def approximation(factors: Cur) -> Float[Array, 'n m']:
    """C U R, all of it."""
    return matmul(*latent_factors(factors))


def latent_factors(
    factors: Cur, approx_preference: Literal['rows', 'cols'] = 'rows'
) -> tuple[Float[Array, 'n p'], Float[Array, 'p m']]:
    """Vectors of the rows and of the columns of S whose inner products approximate it.

    Args:
      approx_preference: 'rows' leaves the vectors of the rows as they were measured: C and U R
        (of as many dimensions as chosen columns); 'cols' those of the columns: C U and R.
    """
    if approx_preference not in PREFERENCES:
        raise ValueError(
            f'approx_preference: expected one of {PREFERENCES}, got {approx_preference!r}'
        )
    columns, core, rows = factors
    if approx_preference == 'rows':
        return columns, matmul(core, rows)
    return matmul(columns, core), rows


def relative_error(
    matrix: Float[Array, 'n m'], approximated: Float[Array, 'n m']
) -> Float[Array, '']:
    """||S - S'||_F / ||S||_F; 0 for a matrix of zeros that is met exactly."""
    size = jnp.linalg.norm(in_float32(matrix))
    return jnp.linalg.norm(matrix - approximated) / jnp.where(size > 0, size, 1.0)
