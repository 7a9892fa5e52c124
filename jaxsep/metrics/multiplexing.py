"""What happens in a table that several fields share, in the model of one layer.

Field t reads the row e_{h_t(x_t)} and weighs it with theta_t: z = sum_t <theta_t, e_{h_t(x_t)}>. Where
the weights of two fields are orthogonal, the gradient that one sends to a shared row does not
change what the other reads there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize, norm


class SharedTable(NamedTuple):
    """The model of one layer at a batch, and the gradient of its loss.

    Attributes:
      logits: z.
      loss: sum over the examples of the cross-entropy between sigmoid(z) and the label.
      residual: sigmoid(z) - label.
      grad_theta: gradient of the loss in the weights.
      grad_by_field: gradient in the table, the part that comes from each field; the gradient is
        their sum over the fields.
    """

    logits: Float[Array, 'b']
    loss: Float[Array, '']
    residual: Float[Array, 'b']
    grad_theta: Float[Array, 'f d']
    grad_by_field: Float[Array, 'f m d']


@jax.jit
def shared_table(
    table: Float[Array, 'm d'],
    theta: Float[Array, 'f d'],
    rows: Int[Array | np.ndarray, 'b f'],
    labels: Float[Array, 'b'] | Int[Array | np.ndarray, 'b'],
) -> SharedTable:
    """The gradient of a shared row, taken apart by the field that causes it.

    Row m of field t's part is theta_t sum_{i: rows_it = m} (sigmoid(z_i) - y_i): along theta_t, and of
    the examples that field t sends to m only. Zeros without examples.

    Args:
      table, theta: products of entries beyond 1e18 overflow float32.
      rows: the row that each field of each example reads.
      labels: 0 or 1, or a probability.

    Source: Coleman et al., Unified Embedding (2023), section 4
    """
    table, theta = in_float32(table), in_float32(theta)
    rows, labels = jnp.asarray(rows), jnp.asarray(labels).astype(table.dtype)
    read = table[rows]  # [b, f, d]
    logits = jnp.sum(read * theta[None, :, :], axis=(1, 2))
    residual = jax.nn.sigmoid(logits) - labels
    loss = jnp.sum(jax.nn.softplus(logits) - labels * logits)
    arriving = jax.vmap(lambda row: jnp.zeros(table.shape[0], table.dtype).at[row].add(residual))
    return SharedTable(
        logits,
        loss,
        residual,
        jnp.sum(residual[:, None, None] * read, axis=0),
        arriving(rows.T)[:, :, None] * theta[:, None, :],
    )


def interference(
    grad_by_field: Float[Array, 'f m d'], theta: Float[Array, 'f d']
) -> Float[Array, 'f']:
    """How strongly the other fields move what each field reads, relative to what it does itself.

    ||P_t sum_{s != t} G_s|| / ||G_t||, where G_s is the part of field s in the gradient of the table
    and P_t the projection on theta_t: 0 where all others are orthogonal to theta_t. 0 where field t
    sends nothing.
    """
    direction = l2_normalize(theta)
    others = jnp.sum(in_float32(grad_by_field), axis=0)[None] - in_float32(grad_by_field)
    along = jnp.einsum('fmd,fd->fm', others, direction, precision=jax.lax.Precision.HIGHEST)
    own = norm(grad_by_field.reshape(grad_by_field.shape[0], -1))
    return jnp.where(own > 0, norm(along) / jnp.where(own > 0, own, 1.0), 0.0)


def pairwise_angles(vectors: Float[Array, 'f d']) -> Float[Array, 'p']:
    """The angle in degrees of every pair of rows, (0, 1), (0, 2), ...; 90 where one is zero.

    >>> import jax.numpy as jnp
    >>> pairwise_angles(jnp.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])).tolist()
    [90.0, 180.0, 90.0]
    """
    directions = l2_normalize(vectors)
    i, j = np.triu_indices(vectors.shape[0], 1)
    cosines = inner_products(directions, directions)[i, j]
    return jnp.degrees(jnp.arccos(jnp.clip(cosines, -1.0, 1.0)))


def mean_squared_row_norm(table: Float[Array, 'm d']) -> Float[Array, '']:
    """The mean over the rows of ||e_m||^2; 0 without rows."""
    return jnp.sum(jnp.square(in_float32(table))) / max(table.shape[0], 1)
