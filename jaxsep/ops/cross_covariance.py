"""Second moments between two groups of channels of the same tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32, l2_normalize

CENTERINGS = ('scalar', 'token', 'none')


def centred(x: Float[Array, 'b n s'], centering: str = 'token') -> Float[Array, 'b n s']:
    """Tokens less their mean over the tokens, or less one number.

    Args:
      centering: 'token' subtracts the mean over the tokens, channel by channel; 'scalar' the mean
        over tokens and channels, one number for each example; 'none' nothing.
    """
    if centering not in CENTERINGS:
        raise ValueError(f'centering: expected one of {CENTERINGS}, got {centering!r}')
    if centering == 'none':
        return x
    axes = (1,) if centering == 'token' else (1, 2)
    return x - jnp.mean(x, axis=axes, keepdims=True)


def cross_covariance(
    x: Float[Array, 'b n s'], y: Float[Array, 'b n t'], centering: str = 'token'
) -> Float[Array, 'b s t']:
    """The mean over the tokens of x_i y_i', both centred: rows belong to x, columns to y.

    Products in full float32.

    >>> x = jnp.array([[[1.0], [3.0]]])
    >>> cross_covariance(x, 2 * x).tolist(), cross_covariance(x, 2 * x, 'none').tolist()
    ([[[2.0]]], [[[10.0]]])
    """
    x, y = (centred(in_float32(z), centering) for z in (x, y))
    products = jnp.einsum('bns,bnt->bst', x, y, precision=jax.lax.Precision.HIGHEST)
    return products / max(x.shape[1], 1)


def unit_columns(matrices: Float[Array, '*b s t']) -> Float[Array, '*b s t']:
    """Each column divided by its norm; a zero column stays zero, with zero gradient."""
    return jnp.swapaxes(l2_normalize(jnp.swapaxes(matrices, -1, -2)), -1, -2)
