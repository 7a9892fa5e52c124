"""Comparing two representations of the same points: by kernels, neighbours and directions.

`a` is [n, p] and `b` is [n, q], row i the same point in both. The kernel and neighbour measures
need n x n memory (a few thousand points); the others, and `linear_cka`, n (p + q).

Canonical correlation and regression are computed from orthonormal bases of the centred data,
never from inverse covariances. With n <= p + 1 points they explain any `b` perfectly: use more
points or reduce the dimension first.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsep.ops import geometry

_KERNELS = ('linear', 'rbf')


@functools.partial(jax.jit, static_argnames='unbiased')
def hsic(
    k: Float[Array, 'n n'],
    l: Float[Array, 'n n'],  # noqa: E741
    unbiased: bool = False,
) -> Float[Array, '']:
    """Hilbert-Schmidt independence criterion of two kernel matrices of the same points.

    Biased: tr(K H L H) with H = I - 1 1^T / n, without a factor. Unbiased, diagonals set to 0:
    [<K, L^T> + (1'K1)(1'L1) / ((n-1)(n-2)) - 2 (1'KL1) / (n-2)] / (n (n-3)); it may be negative.
    Gretton et al. 2005; Song et al. 2012, eq. 5, https://jmlr.org/papers/v13/song12a.html.

    Args:
      unbiased: needs at least 4 points.
    """
    k, l = geometry.in_float32(k), geometry.in_float32(l)  # noqa: E741
    n = k.shape[0]
    if not unbiased:
        return jnp.sum(_double_center(k) * _double_center(l).T)
    if n < 4:
        raise ValueError(f'unbiased: expected at least 4 points, got {n}')
    different = ~jnp.eye(n, dtype=bool)
    k, l = jnp.where(different, k, 0.0), jnp.where(different, l, 0.0)  # noqa: E741
    pairs = jnp.sum(k * l.T)
    totals = jnp.sum(k) * jnp.sum(l) / ((n - 1) * (n - 2))
    chains = jnp.sum(jnp.sum(k, axis=0) * jnp.sum(l, axis=1)) / (n - 2)
    return (pairs + totals - 2.0 * chains) / (n * (n - 3))


@functools.partial(jax.jit, static_argnames=('kernel', 'sigma', 'unbiased'))
def cka(
    a: Float[Array, 'n p'],
    b: Float[Array, 'm q'],
    kernel: str = 'linear',
    sigma: float = 1.0,
    unbiased: bool = False,
) -> Float[Array, '']:
    """Centred kernel alignment: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)).

    1 for representations that are equal up to rotation, shift and (linear kernel) scale. The
    biased form tends to 1 where n < p whatever the data: use the unbiased one. 0 if one side is
    constant. No constant is added to the denominator: the 1e-6 of some implementations shows
    in the fifth digit of small values and makes them depend on the scale.
    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414.

    Args:
      kernel: 'linear' (inner products) or 'rbf', exp(-||x - y||^2 / (2 sigma^2)).
      sigma: width of 'rbf', in units of the data.
    """
    if kernel not in _KERNELS:
        raise ValueError(f'kernel: expected one of {_KERNELS}, got {kernel!r}')
    if kernel == 'rbf' and not sigma > 0:
        raise ValueError(f'sigma: expected a positive width, got {sigma}')
    _require_same_points(a, b)
    k, l = (_kernel_matrix(x, kernel, sigma) for x in (a, b))  # noqa: E741
    return _alignment(hsic(k, l, unbiased), hsic(k, k, unbiased), hsic(l, l, unbiased))


@jax.jit
def linear_cka(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> Float[Array, '']:
    """The biased linear `cka` in feature space: p x q memory, any number of points.

    ||A_c^T B_c||_F^2 / (||A_c^T A_c||_F ||B_c^T B_c||_F), A_c and B_c with centred columns.
    0 if one side is constant.
    """
    _require_same_points(a, b)
    a, b = _centered_unit(a), _centered_unit(b)
    between = jnp.sum(jnp.square(geometry.matmul(a.T, b)))
    within_a = jnp.sum(jnp.square(geometry.matmul(a.T, a)))
    within_b = jnp.sum(jnp.square(geometry.matmul(b.T, b)))
    return _alignment(between, within_a, within_b)


@functools.partial(jax.jit, static_argnames='k')
def mutual_knn(a: Float[Array, 'n p'], b: Float[Array, 'm q'], k: int) -> Float[Array, '']:
    """The mean share of the k nearest neighbours that both representations agree on.

    mean_i |knn_A(i) & knn_B(i)| / k, neighbours by cosine, the point itself excluded, ties
    to the smaller index. Huh et al. 2024, https://arxiv.org/abs/2405.07987.
    """
    in_a, in_b = _neighbor_masks(a, b, k)
    return jnp.sum(in_a & in_b) / jnp.asarray(a.shape[0] * k, _kernel_dtype(a))


@functools.partial(jax.jit, static_argnames='k')
def cycle_knn(a: Float[Array, 'n p'], b: Float[Array, 'm q'], k: int) -> Float[Array, '']:
    """The share of points that are found again: to a neighbour in `b` and back in `a`.

    Point i counts if i is in knn_A(j) for some j in knn_B(i). Neighbours as in `mutual_knn`; tends
    to 1 for large k.
    """
    in_a, in_b = _neighbor_masks(a, b, k)
    returns = jnp.any(in_b & in_a.T, axis=1)
    return jnp.sum(returns) / jnp.asarray(a.shape[0], _kernel_dtype(a))


@functools.partial(jax.jit, static_argnames='k')
def cknna(a: Float[Array, 'n p'], b: Float[Array, 'm q'], k: int) -> Float[Array, '']:
    """Unbiased linear CKA of the normalised rows, over pairs that are neighbours in both.

    HSIC(m K, m L) / sqrt(HSIC(m_A K, m_A K) HSIC(m_B L, m_B L)) with m_A[i, j] = 1 where j is among
    the k nearest of i in `a`, m = m_A m_B, K and L the cosines. k = n - 1 gives the unbiased
    CKA. 0 where a variance is not positive. Not quite symmetric for smaller k, because j can be
    a neighbour of i and not the reverse. Huh et al. 2024, https://arxiv.org/abs/2405.07987, without
    the 1e-6 their code adds to the denominator.

    Args:
      k: at least 2: with one neighbour the measure is degenerate.
    """
    if k < 2:
        raise ValueError(f'k: expected at least 2 neighbours, got {k}')
    in_a, in_b = _neighbor_masks(a, b, k)
    cosines_a, cosines_b = _cosines(a), _cosines(b)
    both = in_a & in_b
    own_a, own_b = jnp.where(in_a, cosines_a, 0.0), jnp.where(in_b, cosines_b, 0.0)
    between = hsic(jnp.where(both, cosines_a, 0.0), jnp.where(both, cosines_b, 0.0), unbiased=True)
    return _alignment(between, hsic(own_a, own_a, True), hsic(own_b, own_b, True))


@jax.jit
def cca(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> Float[Array, 'r']:
    """Canonical correlations, largest first.

    The singular values of Sxx^{-1/2} Sxy Syy^{-1/2}, computed as those of Q_a^T Q_b with Q
    orthonormal bases of the centred columns. r = min(n, p, q); directions beyond the rank of the
    data have correlation 0. Unchanged by invertible affine maps of either side.
    0 if one side is constant. Hotelling 1936; the form of Bjorck and Golub 1973.

    >>> import jax.numpy as jnp
    >>> a = jnp.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 3.0]])
    >>> [round(float(rho), 4) for rho in cca(a, a[:, ::-1] * 7.0)]
    [1.0, 1.0]
    """
    _require_same_points(a, b)
    basis_a, _ = _basis(a)
    basis_b, _ = _basis(b)
    return _correlations(basis_a, basis_b)


@functools.partial(jax.jit, static_argnames='fraction')
def svcca(
    a: Float[Array, 'n p'], b: Float[Array, 'm q'], fraction: float = 0.99
) -> Float[Array, '']:
    """Mean canonical correlation of the leading singular directions of both sides.

    Of each side the fewest leading directions are kept whose singular values (not their
    squares) sum to `fraction` of all; the mean is over the smaller number kept. 0 if one
    side is constant. Raghu et al. 2017, https://arxiv.org/abs/1706.05806.
    """
    _require_same_points(a, b)
    basis_a, scale_a = _basis(a)
    basis_b, scale_b = _basis(b)
    kept_a, kept_b = leading_directions(scale_a, fraction), leading_directions(scale_b, fraction)
    correlations = _correlations(basis_a * kept_a[None, :], basis_b * kept_b[None, :])
    count = jnp.minimum(jnp.sum(kept_a), jnp.sum(kept_b))
    return jnp.sum(correlations) / jnp.maximum(count, 1)


@functools.partial(jax.jit, static_argnames='fraction')
def leading_directions(singular_values: Float[Array, 'r'], fraction: float) -> Bool[Array, 'r']:
    """True for the fewest leading values that sum to at least a fraction of all.

    Zero values are never kept.

    Args:
      singular_values: largest first.
      fraction: in (0, 1].
    """
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f'fraction: expected 0 < fraction <= 1, got {fraction}')
    before = jnp.cumsum(singular_values) - singular_values
    return (before < fraction * jnp.sum(singular_values)) & (singular_values > 0)


@jax.jit
def pwcca(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> Float[Array, '']:
    """Canonical correlations weighted by how much of `a` each canonical variate accounts for.

    sum_i alpha_i rho_i / sum_i alpha_i with alpha_i = sum_j |<h_i, a_j>|, h_i the i-th canonical
    variate of `a` (unit length) and a_j its centred columns. Not symmetric, and through the
    coordinates a_j not invariant to rotations of `a`. 0 if one side is constant.
    Morcos et al. 2018, section 3, https://arxiv.org/abs/1806.05759; the code released with it
    projects on rotated instead of whitened directions and gives another number.
    """
    _require_same_points(a, b)
    basis_a, _ = _basis(a)
    basis_b, _ = _basis(b)
    product = geometry.matmul(basis_a.T, basis_b)
    rotation, correlations, _ = jnp.linalg.svd(product, full_matrices=False)
    variates = geometry.matmul(basis_a, rotation)
    loadings = geometry.matmul(variates.T, _centered_unit(a))
    weights = jnp.sum(jnp.abs(loadings), axis=1)
    weighted = jnp.sum(weights * jnp.clip(correlations, 0.0, 1.0))
    return _divide(weighted, jnp.sum(weights))


@jax.jit
def procrustes_distance(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> Float[Array, '']:
    """What remains between two clouds after the best shift, rotation and scaling.

    1 - ||A_c^T B_c||_*^2 / (||A_c||_F^2 ||B_c||_F^2) with the nuclear norm, in [0, 1]; 1 if one
    side is constant. The narrower side is taken as padded with zeros. As scipy.spatial.procrustes
    where p = q.
    """
    _require_same_points(a, b)
    product = geometry.matmul(_centered_unit(a).T, _centered_unit(b))
    similarity = jnp.sum(jnp.linalg.svd(product, compute_uv=False))
    return jnp.maximum(1.0 - jnp.square(similarity), 0.0)


@jax.jit
def linear_regression_r2(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> Float[Array, '']:
    """The share of the variance of `b` that a linear map of `a` (with intercept) explains.

    R^2 = ||Q_a^T B_c||_F^2 / ||B_c||_F^2, in [0, 1], over all columns of `b` together. Not
    symmetric. 0 if one side is constant.
    """
    _require_same_points(a, b)
    basis_a, _ = _basis(a)
    explained = geometry.matmul(basis_a.T, _centered_unit(b))
    return jnp.minimum(jnp.sum(jnp.square(explained)), 1.0)


def _require_same_points(a: Float[Array, 'n p'], b: Float[Array, 'm q']) -> None:
    if a.shape[0] != b.shape[0]:
        raise ValueError(f'b: expected as many rows as a has ({a.shape[0]}), got {b.shape[0]}')


def _centered_unit(x: Float[Array, 'n p']) -> Float[Array, 'n p']:
    """Shifted to mean 0 and scaled to Frobenius norm 1; coinciding points give zeros.

    Unit scale keeps products of very large or very small data finite.
    """
    x = geometry.in_float32(x)
    x = x - x[:1]  # coinciding points become zeros exactly, which x - mean does not give
    x = x - jnp.mean(x, axis=0, keepdims=True)
    return geometry.l2_normalize(x.reshape(-1)).reshape(x.shape)


def _kernel_matrix(x: Float[Array, 'n p'], kernel: str, sigma: float) -> Float[Array, 'n n']:
    if kernel == 'linear':
        # Neither shift nor scale changes linear CKA, and both cost digits.
        x = _centered_unit(x)
        return geometry.matmul(x, x.T)
    x = geometry.in_float32(x)
    x = (x - jnp.mean(x, axis=0, keepdims=True)) / sigma
    return jnp.exp(-0.5 * geometry.squared_distances(x, x))


def _double_center(k: Float[Array, 'n n']) -> Float[Array, 'n n']:
    """H K H: rows and columns of mean 0."""
    k = k - jnp.mean(k, axis=0, keepdims=True)
    return k - jnp.mean(k, axis=1, keepdims=True)


def _alignment(
    between: Float[Array, ''], within_a: Float[Array, ''], within_b: Float[Array, '']
) -> Float[Array, '']:
    scale = geometry.sqrt(within_a) * geometry.sqrt(within_b)
    positive = scale > 0
    return jnp.where(positive, between / jnp.where(positive, scale, 1.0), 0.0)


def _kernel_dtype(x: Float[Array, 'n p']) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


def _cosines(x: Float[Array, 'n p']) -> Float[Array, 'n n']:
    x = geometry.l2_normalize(x)
    return geometry.matmul(x, x.T)


def _neighbor_masks(
    a: Float[Array, 'n p'], b: Float[Array, 'm q'], k: int
) -> tuple[Bool[Array, 'n n'], Bool[Array, 'n n']]:
    """Entry [i, j] says whether j is among the k nearest of i, for both sides."""
    _require_same_points(a, b)
    n = a.shape[0]
    if not 1 <= k < n:
        raise ValueError(f'k: expected 1 <= k < {n} (the number of points), got {k}')
    return _nearest(a, k), _nearest(b, k)


def _nearest(x: Float[Array, 'n p'], k: int) -> Bool[Array, 'n n']:
    n = x.shape[0]
    others = jnp.where(jnp.eye(n, dtype=bool), -jnp.inf, _cosines(x))
    _, indices = jax.lax.top_k(others, k)
    return jnp.zeros((n, n), bool).at[jnp.arange(n)[:, None], indices].set(True)


def _basis(x: Float[Array, 'n p']) -> tuple[Float[Array, 'n r'], Float[Array, 'r']]:
    """Orthonormal basis of the centred columns, and singular values; zero beyond the rank."""
    x = _centered_unit(x)
    basis, scale, _ = jnp.linalg.svd(x, full_matrices=False)
    # Rounding leaves singular values of this size where the exact ones are 0.
    rounding = jnp.finfo(x.dtype).eps * max(x.shape)
    kept = scale > rounding * jnp.max(scale, initial=0.0)
    return basis * kept[None, :], jnp.where(kept, scale, 0.0)


def _correlations(basis_a: Float[Array, 'n s'], basis_b: Float[Array, 'n t']) -> Float[Array, 'r']:
    product = geometry.matmul(basis_a.T, basis_b)
    return jnp.clip(jnp.linalg.svd(product, compute_uv=False), 0.0, 1.0)


def _divide(numerator: Float[Array, ''], denominator: Float[Array, '']) -> Float[Array, '']:
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)
