"""How alike the atoms of a dictionary are, and whether they are the features that generated data."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxsep.ops.extremes import reduce_max
from jaxsep.ops.geometry import in_float32, inner_products, l2_normalize, norm

EPSILON = 1e-6


def _cosines(a: Float[Array, 'm d'], b: Float[Array, 'k d']) -> Float[Array, 'm k']:
    """|cos| of all pairs, norms enlarged by 1e-6 as in the library."""
    a, b = (in_float32(x) / (norm(x) + EPSILON)[:, None] for x in (a, b))
    return jnp.abs(inner_products(a, b))


@jax.jit
def coherence(dictionary: Float[Array, 'm d']) -> Float[Array, '']:
    """The largest |cos| between two different atoms; 0 for fewer than two.

    >>> import jax.numpy as jnp
    >>> round(coherence(jnp.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 4.0]])).item(), 4)
    0.8

    Source: overcomplete, dictionary_collinearity
    """
    m = dictionary.shape[0]
    apart = jnp.where(jnp.eye(m, dtype=bool), 0.0, _cosines(dictionary, dictionary))
    return reduce_max(apart, empty=0.0)


@functools.partial(jax.jit, static_argnames='largest')
def babel(dictionary: Float[Array, 'm d'], largest: int) -> Float[Array, 'p']:
    """Babel function: how much of an atom the p others most like it can add up to.

    mu_1(p) = max_i of the sum of the p largest |<w_i, w_j>|, j != i, for p = 1 .. largest. Inner
    products of the atoms as they are: give unit norms. mu_1(1) is then the coherence.

    Args:
      largest: number of values, below the number of atoms.

    Source: Tropp, Greed is good (2004)
    """
    m = dictionary.shape[0]
    if not 1 <= largest < m:
        raise ValueError(f'largest: expected 1 to {m - 1} (atoms less one), got {largest}')
    w = in_float32(dictionary)
    apart = jnp.where(jnp.eye(m, dtype=bool), 0.0, jnp.abs(inner_products(w, w)))
    top, _ = jax.lax.top_k(apart, largest)
    return reduce_max(jnp.cumsum(top, axis=1), axis=0)


@jax.jit
def coherence_of_used(
    codes: Float[Array, 'n k'], atoms: Float[Array, 'n k d']
) -> Float[Array, 'n']:
    """The largest |cos| between two atoms that one row uses; 0 for fewer than two.

    A dictionary of hierarchical features is coherent as a whole, while the atoms that a pursuit
    uses together are not.

    Args:
      codes: of the k atoms that may be used; those with 0 are not.
      atoms: the k atoms of each row, all different.
    """
    used = codes != 0
    w = in_float32(atoms) / (norm(atoms) + EPSILON)[..., None]
    cosines = jnp.abs(jnp.einsum('nkd,nld->nkl', w, w, precision=jax.lax.Precision.HIGHEST))
    pairs = used[:, :, None] & used[:, None, :] & ~jnp.eye(codes.shape[1], dtype=bool)[None]
    return reduce_max(jnp.where(pairs, cosines, 0.0), axis=(1, 2), empty=0.0)


@jax.jit
def conditional_orthogonality(
    parents: Float[Array, 'p d'], children: Float[Array, 'c d'], parent_of: Int[Array, 'c']
) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Mean |cos| of children with their own parent, and of different children with each other.

    Features are conditionally orthogonal where the first is near 0 and the second need not be:
    a child is orthogonal to its parent, and children of different parents may be correlated.

    Args:
      parent_of: the row in `parents` of each child.

    Returns:
      within: mean over children of |cos(child, its parent)|.
      across: mean over pairs of children with different parents of |cos|; 0 without such pairs.

    Source: Costa 2025, the definition of conditional orthogonality
    """
    own = jnp.take_along_axis(_cosines(children, parents), parent_of[:, None], axis=1)
    apart = parent_of[:, None] != parent_of[None, :]
    between = jnp.sum(jnp.where(apart, _cosines(children, children), 0.0))
    return jnp.mean(own), between / jnp.maximum(jnp.sum(apart), 1)


@jax.jit
def best_cosines(
    features: Float[Array, 'p d'], dictionary: Float[Array, 'm d']
) -> Float[Array, 'p']:
    """For each true feature the largest |cos| with an atom; an atom may serve several.

    Their mean is the MCC that papers on sparse autoencoders report.
    """
    cosines = inner_products(l2_normalize(features), l2_normalize(dictionary))
    return reduce_max(jnp.abs(cosines), axis=1)


@jax.jit
def matched_cosines(
    features: Float[Array, 'p d'], dictionary: Float[Array, 'm d']
) -> Float[Array, 'p']:
    """As `best_cosines` with no atom serving two features: the matching of largest total |cos|.

    Needs at least as many atoms as features. Hungarian method.
    """
    if features.shape[0] > dictionary.shape[0]:
        raise ValueError(
            f'dictionary: expected at least the {features.shape[0]} features, '
            f'got {dictionary.shape[0]} atoms'
        )
    cosines = jnp.abs(inner_products(l2_normalize(features), l2_normalize(dictionary)))
    rows, columns = optax.assignment.hungarian_algorithm(-cosines)
    return jnp.zeros(features.shape[0], cosines.dtype).at[rows].set(cosines[rows, columns])
