"""What a quantised number costs in bits: a learnt density for each channel, and Gaussians.

Both are continuous densities; an integer k costs -log2 of the mass within k - 1/2 .. k + 1/2.
While training, uniform noise of that width stands for rounding, and the same formula is smooth.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxsep.ops.geometry import in_float32, matmul
from jaxsep.ops.lower_bound import lower_bound

SMALLEST_LIKELIHOOD = 1e-9
SMALLEST_SCALE = 0.11
TAIL_MASS = 1e-9


def bits(likelihoods: Float[Array, 'b ...']) -> Float[Array, 'b']:
    """Bits of each example: minus the sum of log2 of its likelihoods, 0 if it has none."""
    likelihoods = in_float32(likelihoods)
    return -jnp.sum(jnp.log2(likelihoods), axis=tuple(range(1, likelihoods.ndim)))


def rounding_noise(keys: Key[Array, 'b'], shape: Sequence[int]) -> Float[Array, 'b ...']:
    """Uniform in -1/2 .. 1/2, what stands for rounding in training; one key per example.

    Args:
      shape: of one example.
    """
    draw = jax.vmap(lambda key: jax.random.uniform(key, tuple(shape), minval=-0.5, maxval=0.5))
    return draw(keys)


def cumulative_logits(
    params: Mapping[str, Array], values: Float[Array, 'c n']
) -> Float[Array, 'c n']:
    """The logit of the distribution function of each channel; rises with the value.

    h = value; for each layer h = softplus(matrix) h + bias, and but for the last one
    h = h + tanh(factor) tanh(h).

    Args:
      params: matrix_i [c, out, in], bias_i [c, out], factor_i [c, out] of layers i = 0, 1, ...

    Source: Ballé 2018, appendix 6.1, https://arxiv.org/abs/1802.01436
    """
    layers = sum(name.startswith('matrix_') for name in params)
    hidden = in_float32(values)[:, None, :]
    for i in range(layers):
        hidden = matmul(jax.nn.softplus(params[f'matrix_{i}']), hidden)
        hidden = hidden + params[f'bias_{i}'][..., None]
        if i < layers - 1:
            hidden = hidden + jnp.tanh(params[f'factor_{i}'])[..., None] * jnp.tanh(hidden)
    return hidden[:, 0]


def channel_likelihoods(
    params: Mapping[str, Array], values: Float[Array, 'c n']
) -> Float[Array, 'c n']:
    """sigmoid(logit(v + 1/2)) - sigmoid(logit(v - 1/2)), at least 1e-9 (`lower_bound`).

    Both logits are negated above the median, where sigmoids near 1 would have no digits left.
    """
    low, high = (cumulative_logits(params, values + half) for half in (-0.5, 0.5))
    side = jax.lax.stop_gradient(jnp.where(low + high > 0, -1.0, 1.0))
    mass = jnp.abs(jax.nn.sigmoid(side * high) - jax.nn.sigmoid(side * low))
    return lower_bound(mass, SMALLEST_LIKELIHOOD)


def quantile_targets(tail_mass: float) -> np.ndarray:
    """The logits of the lower tail, the median and the upper tail: -t, 0, t, t = log(2/mass - 1)."""
    if not 0 < tail_mass < 1:
        raise ValueError(f'tail_mass: expected a share between 0 and 1, got {tail_mass}')
    largest = np.log(2.0 / tail_mass - 1.0)
    return np.array([-largest, 0.0, largest], np.float32)


def bisect_quantiles(
    params: Mapping[str, Array], tail_mass: float = TAIL_MASS, *, steps: int = 64
) -> Float[Array, 'c 3']:
    """Where each channel's distribution function is half the tail mass, 1/2, and 1 less half of it.

    Found by bisection, in place of descent on `EntropyBottleneck.auxiliary_loss`. The search
    starts from -1 .. 1 and doubles its sides until they enclose the target, at most 2^40.
    """
    target = jnp.tile(jnp.asarray(quantile_targets(tail_mass))[None], (len(params['bias_0']), 1))

    def widen(carry, _):
        low, high = carry
        low = jnp.where(cumulative_logits(params, low) > target, 2 * low, low)
        high = jnp.where(cumulative_logits(params, high) < target, 2 * high, high)
        return (low, high), None

    def halve(carry, _):
        low, high = carry
        middle = 0.5 * (low + high)
        below = cumulative_logits(params, middle) < target
        return (jnp.where(below, middle, low), jnp.where(below, high, middle)), None

    ends, _ = jax.lax.scan(widen, (-jnp.ones_like(target), jnp.ones_like(target)), length=40)
    (low, high), _ = jax.lax.scan(halve, ends, length=steps)
    return 0.5 * (low + high)


class EntropyBottleneck(nn.Module):
    """A learnt density for each channel, the same in every place: the factorised prior.

    `__call__` gives the likelihoods of values [..., c] that are noisy or rounded already.

    Attributes:
      channels: c.
      filters: widths of the hidden layers of each density.
      init_scale: the densities' width at the start.
      tail_mass: outside of the outer quantiles.

    Source: Ballé 2018, appendix 6.1, https://arxiv.org/abs/1802.01436; CompressAI 1.2.8
    """

    channels: int
    filters: Sequence[int] = (3, 3, 3, 3)
    init_scale: float = 10.0
    tail_mass: float = TAIL_MASS

    def setup(self):
        """Parameters of the densities, and the quantiles [c, 3] with the median in the middle."""
        quantile_targets(self.tail_mass)
        widths, c = (1, *self.filters, 1), self.channels
        scale = self.init_scale ** (1.0 / (len(widths) - 1))
        density = {}
        for i, (inner, outer) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            start = float(np.log(np.expm1(1.0 / scale / outer)))
            constant = nn.initializers.constant(start)
            density[f'matrix_{i}'] = self.param(f'matrix_{i}', constant, (c, outer, inner))
            density[f'bias_{i}'] = self.param(
                f'bias_{i}', lambda key, s: jax.random.uniform(key, s, minval=-0.5, maxval=0.5),
                (c, outer),
            )  # fmt: skip
            if i < len(self.filters):
                density[f'factor_{i}'] = self.param(
                    f'factor_{i}', nn.initializers.zeros, (c, outer)
                )
        self.density = density
        ends = self.init_scale * np.array([-1.0, 0.0, 1.0], np.float32)
        self.quantiles = self.param(
            'quantiles', lambda _: jnp.tile(jnp.asarray(ends)[None], (c, 1))
        )

    def __call__(self, values: Float[Array, '*s c']) -> Float[Array, '*s c']:
        rows = values.reshape(-1, self.channels).T
        return channel_likelihoods(self.density, rows).T.reshape(values.shape)

    def medians(self) -> Float[Array, 'c']:
        """The middle quantile of each channel, without gradient."""
        return jax.lax.stop_gradient(self.quantiles[:, 1])

    def symbols(self, values: Float[Array, '*s c']) -> Int[Array, '*s c']:
        """What is sent: round(value - median), halves to the even number."""
        return jnp.round(values - self._medians_like(values)).astype(jnp.int32)

    def values(self, symbols: Int[Array, '*s c']) -> Float[Array, '*s c']:
        """What is received: symbol + median."""
        return symbols.astype(jnp.float32) + self._medians_like(symbols)

    def symbol_likelihoods(self, radius: int) -> Float[Array, 'c n']:
        """Of the symbols -radius .. radius, n = 2 radius + 1; they sum to less than 1."""
        steps = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
        return channel_likelihoods(self.density, self.medians()[:, None] + steps[None, :])

    def auxiliary_loss(self) -> Float[Array, '']:
        """How far the quantiles are from their place; moves them and nothing else.

        sum over channels and the three of |logit(quantile) - target|. No gradient flows into the
        densities.
        """
        logits = cumulative_logits(jax.lax.stop_gradient(self.density), self.quantiles)
        return jnp.sum(jnp.abs(logits - jnp.asarray(quantile_targets(self.tail_mass))[None, :]))

    def _medians_like(self, values):
        return self.medians().reshape((1,) * (values.ndim - 1) + (-1,))


def gaussian_likelihoods(
    values: Float[Array, '*s'], scales: Float[Array, '*s'], means: Float[Array, '*s'] | None = None
) -> Float[Array, '*s']:
    """The mass of a Gaussian within 1/2 of each value, at least 1e-9; scales at least 0.11.

    With v = |value - mean|: Phi((1/2 - v) / s) - Phi((-1/2 - v) / s), on the side where Phi has its
    digits. Both bounds are `lower_bound`. Without means they are 0.

    Source: Ballé 2018 (hyperprior), equation 6; Minnen 2018, https://arxiv.org/abs/1809.02736
    """
    scales = lower_bound(in_float32(scales), SMALLEST_SCALE)
    away = jnp.abs(in_float32(values) - (0.0 if means is None else means))
    mass = normal_cdf((0.5 - away) / scales) - normal_cdf((-0.5 - away) / scales)
    return lower_bound(mass, SMALLEST_LIKELIHOOD)


def normal_cdf(x: Float[Array, '*s']) -> Float[Array, '*s']:
    """Phi(x) = erfc(-x / sqrt 2) / 2, with its digits in the lower tail."""
    return 0.5 * jax.lax.erfc(-x * float(np.sqrt(0.5)))


def scale_table(smallest: float = SMALLEST_SCALE, largest: float = 256.0, levels: int = 64):
    """Scales whose tables are made beforehand, evenly in their logarithm; float64 [levels]."""
    if not (0 < smallest < largest and levels >= 2):
        raise ValueError(
            'smallest, largest, levels: expected 0 < smallest < largest and at least 2 levels, '
            f'got {smallest}, {largest}, {levels}'
        )
    return np.exp(np.linspace(np.log(smallest), np.log(largest), levels))


def scale_indices(
    scales: Float[Array, '*s'], table: Sequence[float] | np.ndarray
) -> Int[Array, '*s']:
    """Which entry of a rising table codes each scale: the first not below it, or the last."""
    scales = lower_bound(in_float32(scales), SMALLEST_SCALE)
    inner = jnp.asarray(np.asarray(table)[:-1], scales.dtype)
    return jnp.searchsorted(inner, scales, side='left').astype(jnp.int32)
