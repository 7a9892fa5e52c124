"""Crosses of the fields of a table: factorisation machine, inner products, cross network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsep.ops.geometry import in_float32


def factorization_vector(fields: Float[Array, 'b f d']) -> Float[Array, 'b d']:
    """The sum over pairs of fields of their elementwise products, without forming pairs.

    sum_{i<j} e_i * e_j = ((sum_i e_i)^2 - sum_i e_i^2) / 2. Zeros with fewer than two fields.

    Source: He 2017 (bi-interaction pooling), equation 4, https://arxiv.org/abs/1708.05027
    """
    fields = in_float32(fields)
    total, squares = jnp.sum(fields, axis=1), jnp.sum(jnp.square(fields), axis=1)
    return 0.5 * (jnp.square(total) - squares)


def factorization_machine(fields: Float[Array, 'b f d']) -> Float[Array, 'b']:
    """The sum over pairs of fields of their inner products: the second order of an FM.

    sum_{i<j} e_i . e_j, in time linear in the number of fields.

    >>> import jax.numpy as jnp
    >>> factorization_machine(jnp.array([[[1.0], [2.0], [3.0]]])).tolist()
    [11.0]

    Source: Rendle 2010, lemma 3.1, https://doi.org/10.1109/ICDM.2010.127
    """
    return jnp.sum(factorization_vector(fields), axis=1)


def pairwise_inner_products(fields: Float[Array, 'b f d']) -> Float[Array, 'b p']:
    """e_i . e_j for every pair of fields i < j, in the order (0, 1), (0, 2), ..., (1, 2), ...

    >>> import jax.numpy as jnp
    >>> pairwise_inner_products(jnp.array([[[1.0], [2.0], [3.0]]])).tolist()
    [[2.0, 3.0, 6.0]]

    Source: Qu 2016 (PNN), https://arxiv.org/abs/1611.00144
    """
    fields = in_float32(fields)
    first, second = np.triu_indices(fields.shape[1], k=1)
    products = jnp.einsum('bid,bjd->bij', fields, fields, precision=jax.lax.Precision.HIGHEST)
    return products[:, first, second]


def cross_layer(
    x0: Float[Array, 'b d'],
    x: Float[Array, 'b d'],
    weight: Float[Array, 'd'],
    bias: Float[Array, 'd'],
) -> Float[Array, 'b d']:
    """x0 (w . x) + b + x: raises the order of the polynomial in x0 by one.

    Source: Wang 2017 (DCN), equation 3, https://arxiv.org/abs/1708.05123
    """
    scale = jnp.matmul(x, weight, precision=jax.lax.Precision.HIGHEST)
    return x0 * scale[:, None] + bias[None, :] + x


def full_rank_cross_layer(
    x0: Float[Array, 'b d'],
    x: Float[Array, 'b d'],
    weight: Float[Array, 'd d'],
    bias: Float[Array, 'd'],
) -> Float[Array, 'b d']:
    """x0 * (W x + b) + x, where * is entry by entry: `cross_layer` with a weight for each pair.

    Args:
      x0: the input of the network; x: of this layer.
      weight: W transposed, as a Dense layer keeps it.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 2.0]])
    >>> full_rank_cross_layer(x, x, jnp.eye(2), jnp.array([0.5, 0.0])).tolist()
    [[2.5, 6.0]]

    Source: Wang 2021 (DCN-V2), equation 1, https://arxiv.org/abs/2008.13535
    """
    x0, x = in_float32(x0), in_float32(x)
    return x0 * (x @ weight + bias[None, :]) + x


class CrossNetwork(nn.Module):
    """Cross layers, all with the same x0: polynomials up to degree layers + 1.

    Attributes:
      num_layers: 0 leaves the input as it is.
      full_rank: layers of DCN-V2, `full_rank_cross_layer`, in place of DCN's `cross_layer`.
    """

    num_layers: int = 3
    full_rank: bool = False

    @nn.compact
    def __call__(self, x0: Float[Array, 'b d']) -> Float[Array, 'b d']:
        x0 = in_float32(x0)
        x, width = x0, x0.shape[1]
        cross = full_rank_cross_layer if self.full_rank else cross_layer
        glorot, lecun = nn.initializers.glorot_uniform(), nn.initializers.lecun_normal()
        for layer in range(self.num_layers):
            if self.full_rank:
                weight = self.param(f'kernel_{layer}', lecun, (width, width))
            else:
                weight = self.param(f'weight_{layer}', lambda key: glorot(key, (width, 1))[:, 0])
            bias = self.param(f'bias_{layer}', nn.initializers.zeros_init(), (width,))
            x = cross(x0, x, weight, bias)
        return x
