"""Activations that leave few entries: the k largest of a row or of a batch, or those above a threshold."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def keep_largest(codes: Float[Array, 'n m'], k: int) -> Float[Array, 'n m']:
    """The k largest (signed) entries of each row, 0 elsewhere; of equal ones the first.

    Gradients flow through what is kept. With k >= m, or fewer than k positive entries after a
    ReLU, nothing changes.

    >>> import jax.numpy as jnp
    >>> keep_largest(jnp.array([[1.0, -3.0, 2.0, 2.0]]), 2).tolist()
    [[0.0, 0.0, 2.0, 2.0]]

    Source: Gao et al., Scaling and evaluating sparse autoencoders (2024)
    """
    codes = in_float32(codes)
    if k < 1:
        raise ValueError(f'k: expected at least 1, got {k}')
    if k >= codes.shape[1]:
        return codes
    values, indices = jax.lax.top_k(codes, k)
    return jax.vmap(lambda i, v: jnp.zeros(codes.shape[1], codes.dtype).at[i].set(v))(
        indices, values
    )


def largest_of_batch(
    codes: Float[Array, 'n m'], k: int, *, axis_name: str | None = None
) -> Float[Array, '']:
    """The (n k)-th largest entry of the whole batch: the threshold of BatchTopK. No gradient.

    Codes that reach it are kept (see `above`), k a row on average; ties at the threshold are all
    kept.

    Empty case: 0 without rows.

    Source: Bussmann et al., BatchTopK sparse autoencoders (2024); overcomplete, BatchTopKSAE
    """
    codes = devices.gather(jax.lax.stop_gradient(in_float32(codes)), axis_name)
    n, m = codes.shape
    if not 1 <= k <= m:
        raise ValueError(f'k: expected 1 to the {m} columns, got {k}')
    if n == 0:
        return jnp.zeros((), codes.dtype)
    return jnp.sort(codes.reshape(-1))[n * (m - k)]


def above(codes: Float[Array, 'n m'], threshold: Float[Array, '']) -> Float[Array, 'n m']:
    """Entries that reach the threshold, 0 elsewhere; gradients flow through what is kept."""
    codes = in_float32(codes)
    return jnp.where(codes >= threshold, codes, 0.0)


def jump_relu(
    codes: Float[Array, 'n m'], thresholds: Float[Array, 'm'], bandwidth: float
) -> Float[Array, 'n m']:
    """Entries above their threshold, 0 elsewhere: z H(z - t), with a pseudo-gradient for t.

    In z the gradient is that of what is kept. In t it is -(t / e) K((z - t) / e) with the
    rectangle K(u) = 1 for |u| < 1/2, e the `bandwidth`: an estimate of the derivative of the
    expectation over inputs, where the step itself has none.

    Source: Rajamanoharan et al., Jumping ahead (2024), https://arxiv.org/abs/2407.14435, eq. 11
    """
    kept = jnp.where(codes > thresholds[None, :], codes, 0.0)
    slope = -jax.lax.stop_gradient(thresholds) / bandwidth
    return kept + slope[None, :] * _near(codes, thresholds, bandwidth)


def is_above(
    codes: Float[Array, 'n m'], thresholds: Float[Array, 'm'], bandwidth: float
) -> Float[Array, 'n m']:
    """1 where an entry is above its threshold, else 0, with a pseudo-gradient for the threshold.

    In z the gradient is 0, in t it is -(1 / e) K((z - t) / e); see `jump_relu`.

    Source: Rajamanoharan et al. (2024), eq. 12
    """
    step = (codes > thresholds[None, :]).astype(codes.dtype)
    return step - _near(codes, thresholds, bandwidth) / bandwidth


def _near(codes, thresholds, bandwidth):
    """0, with gradient 1 in the thresholds where an entry lies within half a bandwidth."""
    fixed = jax.lax.stop_gradient(thresholds)
    near = jnp.abs(jax.lax.stop_gradient(codes) - fixed[None, :]) < bandwidth / 2
    return jnp.where(near, (thresholds - fixed)[None, :], 0.0)
