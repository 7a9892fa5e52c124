"""Directions and distances, exact where the textbook forms are not."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def in_float32(x: Float[Array, '...']) -> Float[Array, '...']:
    """Half precision as float32; float32 and float64 as they are."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def l2_normalize(x: Float[Array, '... d']) -> Float[Array, '... d']:
    """Scales the last axis to unit Euclidean norm; a zero vector stays zero.

    x / ||x||. The largest entry is divided out first, so that squares neither
    overflow nor vanish between 1e-38 and 1e38; the result does not depend on that
    factor, hence no gradient flows through it. The gradient at a zero vector is 0.
    float32 for half precision inputs.
    """
    x = in_float32(x)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0))
    nonzero = largest != 0  # True for NaN, which must stay visible
    x = x / jnp.where(nonzero, largest, 1.0)
    squared_norm = jnp.sum(x * x, axis=-1, keepdims=True)
    return jnp.where(nonzero, x * jax.lax.rsqrt(jnp.where(nonzero, squared_norm, 1.0)), 0.0)


def power_of_two(
    x: Float[Array, '...'], axis: int | tuple[int, ...] | None = None
) -> Float[Array, '...']:
    """What to divide by where squares and fourth powers would leave the range of floats.

    The largest power of two that is not above the largest |x| (from 2^-100 to 2^100), or 1 where
    that |x| is between 1e-6 and 1e6: ordinary numbers stay as they are, and the others keep all
    their digits. One number along the axis (or axes), which stays with length 1; for everything if
    that is None. It is a constant: no gradient flows through it. For what does not depend on the
    scale, or can be scaled back.

    >>> print(power_of_two(jnp.array([3.0, -1e9])), power_of_two(jnp.array([3.0, 0.0])))
    [5.368709e+08] [1.]
    """
    x = jax.lax.stop_gradient(in_float32(x))
    axis = tuple(range(x.ndim)) if axis is None else axis
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0.0)
    integers, exponent = {4: (jnp.int32, 0x7F800000), 8: (jnp.int64, 0x7FF << 52)}[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(largest, integers) & integers(exponent)
    power = jax.lax.bitcast_convert_type(bits, x.dtype)  # the exponent alone
    power = jnp.clip(power, 2.0**-100, 2.0**100)  # whose inverses are not denormal
    extreme = (largest < 1e-6) | (largest > 1e6)
    return jnp.where(extreme & jnp.isfinite(largest) & (largest > 0), power, 1.0)


def norm(x: Float[Array, '... d']) -> Float[Array, '...']:
    """Euclidean norm of the last axis, with gradient 0 (not NaN) at a zero vector.

    Squares neither overflow nor vanish, see `power_of_two`.
    """
    x = in_float32(x)
    power = power_of_two(x, -1)
    return power[..., 0] * sqrt(jnp.sum(jnp.square(x / power), axis=-1))


def sqrt(x: Float[Array, '...']) -> Float[Array, '...']:
    """Square root of max(x, 0), with gradient 0 (not infinity) where x <= 0."""
    positive = ~(x <= 0)  # True for NaN, which must stay visible
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def matmul(x: Float[Array, '...'], y: Float[Array, '...']) -> Float[Array, '...']:
    """The product of matrices in full float32, with the shapes of `jnp.matmul`.

    The faster products of GPUs and TPUs are wrong by 1e-3, which a temperature of 0.01 turns
    into a tenth of a nat.
    """
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def inner_products(x: Float[Array, 'n d'], y: Float[Array, 'm d']) -> Float[Array, 'n m']:
    """x_i . y_j in full float32, see `matmul`."""
    return matmul(x, y.T)


def squared_distances(x: Float[Array, 'n d'], y: Float[Array, 'm d']) -> Float[Array, 'n m']:
    """||x_i - y_j||^2 by one matrix product, never negative.

    The Gram form loses digits where points almost coincide (an absolute error near
    1e-7 ||x||^2 in float32): centre the points first, or use `direct_squared_distances`
    where near-duplicates decide. NaN where squares overflow, beyond 1e18: see `power_of_two`.
    """
    x, y = in_float32(x), in_float32(y)
    inner = inner_products(x, y)
    squares = jnp.sum(x * x, axis=-1)[:, None] + jnp.sum(y * y, axis=-1)[None, :]
    return jnp.maximum(squares - 2.0 * inner, 0.0)


def direct_squared_distances(x: Float[Array, 'n d'], y: Float[Array, 'm d']) -> Float[Array, 'n m']:
    """||x_i - y_j||^2 from the differences themselves: exact also for near-duplicates.

    Needs n x m x d multiply-adds on the vector units; for small sets and for refinement.
    """
    x, y = in_float32(x), in_float32(y)
    return jnp.sum(jnp.square(x[:, None, :] - y[None, :, :]), axis=-1)
