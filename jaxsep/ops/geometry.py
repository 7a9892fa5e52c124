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


def norm(x: Float[Array, '... d']) -> Float[Array, '...']:
    """Euclidean norm of the last axis, with gradient 0 (not NaN) at a zero vector."""
    return sqrt(jnp.sum(jnp.square(in_float32(x)), axis=-1))


def sqrt(x: Float[Array, '...']) -> Float[Array, '...']:
    """Square root of max(x, 0), with gradient 0 (not infinity) where x <= 0."""
    positive = x > 0
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
    where near-duplicates decide.
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
