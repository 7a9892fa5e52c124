"""How well sparse codes reconstruct, and how sparse they are.

The formulas, small constants included, are those of the library overcomplete
(https://github.com/KempnerInstitute/overcomplete), whose numbers papers report.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsep.ops.geometry import in_float32, norm, power_of_two

EPSILON = 1e-6


@jax.jit
def r2(x: Float[Array, 'n d'], reconstruction: Float[Array, 'n d']) -> Float[Array, '']:
    """The share of the variance that is reconstructed: 1 - mean (x - xhat)^2 / (variance + 1e-6).

    The variance is around ONE mean over all entries, not around the mean of each column: where
    columns have different means, those count as variance, and the constant reconstruction of
    the column means has r2 > 0.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> r2(x, x).item(), round(r2(x, jnp.full((2, 2), 0.5)).item(), 4)
    (1.0, 0.0)
    """
    x, reconstruction = in_float32(x), in_float32(reconstruction)
    power = jnp.maximum(jnp.maximum(power_of_two(x), power_of_two(reconstruction)), 1.0)
    x, reconstruction = x / power, reconstruction / power
    epsilon = jnp.maximum(jnp.squeeze(EPSILON / power / power), jnp.finfo(x.dtype).tiny)
    error = jnp.mean(jnp.square(x - reconstruction))
    return 1.0 - error / (jnp.mean(jnp.square(x - jnp.mean(x))) + epsilon)


@jax.jit
def average_error(x: Float[Array, 'n d'], reconstruction: Float[Array, 'n d']) -> Float[Array, '']:
    """The mean over rows of ||x - xhat||."""
    return jnp.mean(norm(in_float32(x) - in_float32(reconstruction)))


@jax.jit
def relative_error(x: Float[Array, 'n d'], reconstruction: Float[Array, 'n d']) -> Float[Array, '']:
    """The mean over rows of ||x - xhat|| / (||x|| + 1e-6)."""
    return jnp.mean(norm(in_float32(x) - in_float32(reconstruction)) / (norm(x) + EPSILON))


@jax.jit
def l0(codes: Float[Array, 'n m'], threshold: float | Float[Array, ''] = 1e-6) -> Float[Array, '']:
    """The share of entries with |z| >= threshold; times m, the codes that a row uses."""
    return jnp.mean(jnp.abs(in_float32(codes)) >= threshold, dtype=jnp.float32)


@jax.jit
def hoyer(codes: Float[Array, 'n m']) -> Float[Array, 'n']:
    """Sparsity of each row: (sqrt m - ||z||_1 / (||z||_2 + 1e-6)) / (sqrt m - 1).

    1 for a single nonzero entry, 0 for equal ones. A row of zeros has sqrt m / (sqrt m - 1),
    as in the library.
    """
    z = in_float32(codes)
    if z.shape[1] < 2:
        raise ValueError(f'codes: expected at least 2 columns, got {z.shape[1]}')
    root = jnp.sqrt(jnp.asarray(z.shape[1], z.dtype))
    return (root - jnp.sum(jnp.abs(z), axis=1) / (norm(z) + EPSILON)) / (root - 1.0)


@jax.jit
def kappa4(codes: Float[Array, 'n m']) -> Float[Array, 'n']:
    """Peakedness of each row: sum z^4 / ((sum z^2)^2 + 1e-6); 0 for a row of zeros.

    1 for a single nonzero entry, 1/m for equal ones. Hurley and Rickard 2009, Comparing measures
    of sparsity.
    """
    power = jnp.maximum(power_of_two(codes, 1), 1.0)
    squares = jnp.square(in_float32(codes) / power)
    total = jnp.sum(squares, axis=1)
    epsilon = (EPSILON / power / power / power / power)[:, 0]
    return jnp.sum(jnp.square(squares), axis=1) / (jnp.square(total) + epsilon)


@jax.jit
def dead_codes(codes: Float[Array, 'n m']) -> Bool[Array, 'm']:
    """Which columns are never used: those whose sum is exactly 0.

    A signed column whose entries cancel exactly would be called dead too, as in the library.
    """
    return jnp.sum(in_float32(codes), axis=0) == 0


@jax.jit
def energy(codes: Float[Array, 'n m'], dictionary: Float[Array, 'm d']) -> Float[Array, 'm']:
    """What each atom adds to the mean reconstruction: ||mean_i z_ij w_j||."""
    return jnp.abs(jnp.mean(in_float32(codes), axis=0)) * norm(dictionary)
