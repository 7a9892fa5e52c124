"""A memory bank: one unit vector per training example, the moving average of its features.

It stands in for features of examples that are not in the batch, so that a small batch is
contrasted with thousands of negatives. The bank is state, never differentiated. A step
reads it (`sample_negatives`, `bank_similarities`), then writes the rows of its own batch
(`update_bank`); on several devices the features and indices are gathered before the
update, so that all banks stay equal.

The negatives are drawn once per step and shared by all anchors of the batch, where
lemniscate.pytorch draws for every anchor. Each anchor's negatives are uniform either
way; only the draws of different anchors are dependent. A shared draw gathers k d numbers
in place of b k d (2 MB in place of 268 MB for 128 anchors, 4095 negatives and 128 features)
and turns the similarities into one matrix product. It is drawn without replacement, so
that no negative counts twice, and an anchor's own row in it is masked (lemniscate keeps
both).

Source: Wu 2018, Unsupervised feature learning via non-parametric instance discrimination,
section 3, https://arxiv.org/abs/1805.01978; https://github.com/zhirongw/lemniscate.pytorch
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxsep.ops.geometry import in_float32, l2_normalize


def init_bank(key: Key[Array, ''], num_samples: int, dim: int) -> Float[Array, 'n d']:
    """Independent random directions, uniform on the unit sphere.

    As in the paper; the code draws from a cube, with norms near 1 until the first update.

    Empty case: no rows for num_samples = 0.
    """
    return l2_normalize(jax.random.normal(key, (num_samples, dim)))


def sample_negatives(
    key: Key[Array, ''], num_samples: int, num_negatives: int = 0
) -> Int[Array, 'k']:
    """Rows of the bank to contrast with: uniform, without replacement, one draw for all anchors.

    With the same key every device draws the same rows.

    Args:
      num_negatives: how many; 0 takes all rows, in order.

    Raises:
      ValueError: if there are not that many rows.

    >>> sample_negatives(jax.random.key(0), 4).tolist()
    [0, 1, 2, 3]
    """
    if not 0 <= num_negatives <= num_samples:
        raise ValueError(
            f'num_negatives: expected 0 (all) to the {num_samples} rows of the bank, '
            f'got {num_negatives}'
        )
    if num_negatives == 0:
        return jnp.arange(num_samples, dtype=jnp.int32)
    drawn = jax.random.choice(key, num_samples, (num_negatives,), replace=False)
    return drawn.astype(jnp.int32)


def bank_similarities(
    features: Float[Array, 'b d'],
    bank: Float[Array, 'n d'],
    index: Int[Array, 'b'],
    drawn: Int[Array, 'k'],
) -> tuple[Float[Array, 'b m'], Bool[Array, 'b m']]:
    """Cosines of a batch with its own rows of the bank and with the drawn ones; who is a negative.

    s_ij = normalize(f_i) . v_j over m = b + k columns: first the rows at `index`, so that the
    positive of anchor i is column i, then the rows at `drawn`. The mask is True in the drawn
    columns but for an anchor's own row; the own rows of the other anchors take no part. No
    gradient flows into the bank. In full float32.

    Empty case: without drawn rows the mask is all False.

    An index outside 0 ... n - 1 gives similarities NaN, which no training loop misses.

    >>> bank = jnp.eye(3)
    >>> _, negative = bank_similarities(bank[:2], bank, jnp.array([0, 1]), jnp.array([1, 2]))
    >>> print(negative.astype(int))
    [[0 0 1 1]
     [0 0 0 1]]
    """
    rows = bank.at[_no_wrap(jnp.concatenate([index, drawn]), bank)]
    rows = jax.lax.stop_gradient(rows.get(mode='fill', fill_value=jnp.nan))
    # The rows have unit norm already: normalised again, a missing one would be zero, not NaN.
    similarities = jnp.matmul(l2_normalize(features), rows.T, precision=jax.lax.Precision.HIGHEST)
    own = jnp.zeros((index.shape[0], index.shape[0]), bool)
    return similarities, jnp.concatenate([own, index[:, None] != drawn[None, :]], axis=1)


def update_bank(
    bank: Float[Array, 'n d'],
    index: Int[Array, 'b'],
    features: Float[Array, 'b d'],
    momentum: float | Float[Array, ''] = 0.5,
) -> Float[Array, 'n d']:
    """The bank after the rows of a batch moved towards their features.

    v_i <- normalize(momentum v_i + (1 - momentum) normalize(f_i)), all other rows as they
    were. An index that occurs several times uses the mean of its normalised features; one
    outside 0 ... n - 1 (padding) is dropped. A row that would become zero stays. No
    gradient flows through.

    Empty case: an empty batch changes nothing.

    >>> bank = jnp.eye(2)
    >>> print(update_bank(bank, jnp.array([1]), jnp.array([[2.0, 0.0]])).round(2))
    [[1.   0.  ]
     [0.71 0.71]]

    Source: `NCEAverage` of lemniscate.pytorch, momentum 0.5; the paper replaces the row.
    """
    bank, features = jax.lax.stop_gradient((bank, features))
    features = _mean_by_index(index, l2_normalize(features))
    old = in_float32(bank.at[_no_wrap(index, bank)].get(mode='fill', fill_value=0.0))
    new = l2_normalize(momentum * old + (1.0 - momentum) * features)
    new = jnp.where(jnp.any(new != 0.0, axis=-1, keepdims=True), new, old)
    return bank.at[_no_wrap(index, bank)].set(new.astype(bank.dtype), mode='drop')


def _mean_by_index(index: Int[Array, 'b'], features: Float[Array, 'b d']):
    """Rows of equal index replaced by their mean: then it does not matter which is stored last."""
    same = (index[:, None] == index[None, :]).astype(features.dtype)
    total = jnp.matmul(same, features, precision=jax.lax.Precision.HIGHEST)
    return total / jnp.sum(same, axis=1, keepdims=True)


def _no_wrap(index, bank):
    """Negative indices would count from the end, in gathers and scatters of any mode."""
    return jnp.where(index < 0, bank.shape[0], index)
