"""CLUB: an upper bound of mutual information from a model of one variable given the other.

q(c | v) = N(mean(v), exp(log_variance(v))) is learnt by its likelihood; the bound compares how
well it explains the c that came with v and the c of other rows. All functions take what q says
of each row, so any network can be q. A bound of the true information it is only where q is good:
give q several steps of `gaussian_nll` for each step that lowers the bound. Squared
differences over variances overflow float32 beyond 1e38.

Source: Cheng 2020, https://arxiv.org/abs/2006.12013
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops import devices
from jaxsep.ops.geometry import in_float32


def gaussian_nll(
    mean: Float[Array, 'b d'],
    log_variance: Float[Array, 'b d'],
    values: Float[Array, 'b d'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """What q pays for the values: twice its negative log-likelihood, without constants.

    mean_i sum_d (mean_id - values_id)^2 / exp(log_variance_id) + log_variance_id.

    Empty case: 0 without rows.

    >>> import jax.numpy as jnp
    >>> gaussian_nll(jnp.zeros((1, 2)), jnp.zeros((1, 2)), jnp.array([[1.0, 2.0]])).item()
    5.0

    Source: Cheng 2020, the variational likelihood; the scale is that of the authors' code.
    """
    mean, log_variance, values = (in_float32(x) for x in (mean, log_variance, values))
    each = jnp.square(mean - values) * jnp.exp(-log_variance) + log_variance
    return devices.mean(jnp.sum(each, axis=-1), axis_name)


def club(
    mean: Float[Array, 'b d'],
    log_variance: Float[Array, 'b d'],
    values: Float[Array, 'b d'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The contrastive log-ratio upper bound with every row as everybody's negative.

    mean_i sum_d ( mean_j (mean_id - values_jd)^2 - (mean_id - values_id)^2 ) /
    (2 exp(log_variance_id)), j over all rows, i among them. With a_id = values_id - their mean
    over the rows and s_d = mean_j a_jd^2, the bracket is
    s_d - a_id^2 + 2 (mean_id - mean of values_d) a_id: the cost is b d, not b^2 d, and digits
    are kept where all values lie far from 0. Gradients flow to all three arguments.

    Empty case: 0 without rows, and for a single one.

    >>> import jax.numpy as jnp
    >>> values = jnp.array([[-1.0], [1.0]])
    >>> club(values, jnp.zeros((2, 1)), values).item()
    1.0

    Source: Cheng 2020 (vCLUB)
    """
    mean, log_variance, values = (in_float32(x) for x in (mean, log_variance, values))
    middle = devices.mean(values, axis_name)[None]
    apart = values - middle
    spread = devices.mean(jnp.square(apart), axis_name)[None]
    ratio = spread - jnp.square(apart) + 2.0 * (mean - middle) * apart
    return devices.mean(jnp.sum(0.5 * ratio * jnp.exp(-log_variance), axis=-1), axis_name)


def sampled_club(
    mean: Float[Array, 'b d'],
    log_variance: Float[Array, 'b d'],
    values: Float[Array, 'b d'],
    others: Float[Array, 'b d'],
    *,
    axis_name: str | None = None,
) -> Float[Array, '']:
    """The bound with one negative for each row; over random `others` its mean is `club`.

    mean_i sum_d ( (mean_id - others_id)^2 - (mean_id - values_id)^2 ) /
    (2 exp(log_variance_id)).

    Empty case: 0 without rows.

    Args:
      others: the values in an order that does not depend on them, such as a permutation of
        the rows of all devices.

    >>> import jax.numpy as jnp
    >>> values = jnp.array([[-1.0], [1.0]])
    >>> sampled_club(values, jnp.zeros((2, 1)), values, values[::-1]).item()
    2.0

    Source: Cheng 2020 (vCLUB-S)
    """
    mean, log_variance, values = (in_float32(x) for x in (mean, log_variance, values))
    others = in_float32(others)
    # a^2 - b^2 as (a + b)(a - b)
    ratio = (2.0 * mean - others - values) * (values - others)
    return devices.mean(jnp.sum(0.5 * ratio * jnp.exp(-log_variance), axis=-1), axis_name)
