"""The networks of AutoInt: fields as tokens, interacting layers, a logit (Song et al., 2019).

https://arxiv.org/abs/1810.11921; featureRec/autoint/model.py of
https://github.com/DeepGraphLearning/RecommenderSystems. Everything is computed in float32 or wider.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Real

from jaxsep.models.blocks.attention import attend
from jaxsep.models.interactions import factorization_machine
from jaxsep.ops.geometry import in_float32

FORMS = ('official', 'paper')
glorot_normal = nn.initializers.variance_scaling(1.0, 'fan_avg', 'normal')


class Keep(NamedTuple):
    """The probabilities with which dropout keeps an entry.

    Attributes:
      attention: of the attention weights.
      embedding: of the tokens, before both branches.
      deep: of the hidden layers of the deep branch.
    """

    attention: float = 1.0
    embedding: float = 1.0
    deep: float = 1.0


class Outcome(NamedTuple):
    """What the network makes of a batch.

    Attributes:
      logit: of the label 1.
      features: of the last interacting layer, all fields side by side.
      attention: of each layer [b, heads, f, f]: how much field i (third axis) takes from j.
    """

    logit: Float[Array, 'b']
    features: Float[Array, 'b w']
    attention: list[Float[Array, 'b h f f']]


def set_token(
    vectors: Float[Array | np.ndarray, 'b s d'],
    weights: Real[Array | np.ndarray, 'b s'] | Bool[Array | np.ndarray, 'b s'],
) -> Float[Array, 'b d']:
    """The token of a field that has several values: the weighted mean of their vectors.

    sum_s w_s e_s / sum_s w_s. A set without weight gives 0 with zero gradient.

    Source: Song 2019, equation 3; the movielens variant of the code
    """
    vectors = in_float32(jnp.asarray(vectors))
    weights = jnp.asarray(weights, vectors.dtype)
    total = jnp.sum(weights, axis=1)
    summed = jnp.sum(vectors * weights[..., None], axis=1)
    return summed / jnp.where(total > 0, total, 1.0)[:, None]


def drop(
    keys: Key[Array, 'b'], x: Float[Array, 'b *s'], keep: float, place: int
) -> Float[Array, 'b *s']:
    """Dropout with a key per example: entries are kept with probability `keep` and divided by it.

    Args:
      place: where in the network; other places draw other numbers from the same keys.
    """
    draw = lambda key: jax.random.bernoulli(jax.random.fold_in(key, place), keep, x.shape[1:])  # noqa: E731
    return jnp.where(jax.vmap(draw)(keys), x / keep, 0.0)


def normalize_channels(
    x: Float[Array, '... d'], gain: Float[Array, 'd'], offset: Float[Array, 'd']
) -> Float[Array, '... d']:
    """Computes gain (x - mean) / sqrt(variance + 1e-8) + offset over the last axis, variance biased.

    A constant row becomes the offset. Its gradient is up to 1e4 times the one that arrives, and 0
    in a row that a ReLU has made 0.

    Source: `normalize` of the code
    """
    x = in_float32(x)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    shape = (1,) * (x.ndim - 1) + (-1,)
    return centred * jax.lax.rsqrt(variance + 1e-8) * gain.reshape(shape) + offset.reshape(shape)


class Projection(nn.Module):
    """The weights of x W + c, for products that several of them share.

    Attributes:
      width: of the result.
      use_bias: with c, else None in its place.
    """

    width: int
    use_bias: bool

    @nn.compact
    def __call__(self, inputs: int) -> tuple[Float[Array, 'd w'], Float[Array, 'w'] | None]:
        kernel = self.param('kernel', nn.initializers.glorot_uniform(), (inputs, self.width))
        bias = self.param('bias', nn.initializers.zeros, (self.width,)) if self.use_bias else None
        return kernel, bias


class InteractingLayer(nn.Module):
    """Self-attention among the fields of an example: each becomes a combination of fields.

    official: normalize(relu(attend(q, k, v) + r)) with q, k, v, r = relu(x W + c) each. paper:
    relu(attend(q, k, v) + r) with q, k, v, r = x W, and the scores not divided.

    Attributes:
      width: channels of the result, of all heads together.
      num_heads: divides the width.
      form: official or paper.
      residual: with r, else without.
      scaling: of the scores by the root of a head's width; None for what the form says.
    """

    width: int
    num_heads: int = 2
    form: str = 'official'
    residual: bool = True
    scaling: bool | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, 'b f d'], change: Sequence = ()
    ) -> tuple[Float[Array, 'b f w'], Float[Array, 'b h f f']]:
        x, official = in_float32(jnp.asarray(x)), self.form == 'official'
        names = ('query', 'key', 'value', *(['residual'] if self.residual else []))
        each = [Projection(self.width, official, name=name)(x.shape[-1]) for name in names]
        # One product of matrices for all: on CPU a third less than a product each of [b, f, d].
        y = x.reshape(-1, x.shape[-1]) @ jnp.concatenate([kernel for kernel, _ in each], axis=1)
        if official:
            y = nn.relu(y + jnp.concatenate([bias for _, bias in each])[None])
        y = y.reshape(*x.shape[:2], -1)
        query, key, value, *residual = jnp.split(y, len(names), axis=-1)
        scaling = official if self.scaling is None else self.scaling
        y, attention = attend(query, key, value, self.num_heads, scaling=scaling, change=change)
        for r in residual:
            y = y + r
        y = nn.relu(y)
        if official:
            gain = self.param('gain', nn.initializers.ones, (self.width,))
            offset = self.param('offset', nn.initializers.zeros, (self.width,))
            y = normalize_channels(y, gain, offset)
        return y, attention


class FieldTokens(nn.Module):
    """A table with a row for each value of each field, and the token of each field.

    A category's token is its row, a number's its field's row times the number, a set's the mean
    of its values' rows. Tokens come in this order. Values out of range take the nearest row.

    Attributes:
      field_sizes: how many values each category has.
      set_sizes: how many values each set field has, 0 among them, which is no value.
      width: of a token.
    """

    field_sizes: Sequence[int]
    set_sizes: Sequence[int] = ()
    width: int = 16

    @nn.compact
    def __call__(
        self,
        categories: Int[Array | np.ndarray, 'b f'] | None,
        numbers: Float[Array | np.ndarray, 'b m'] | None = None,
        sets: Sequence[Int[Array | np.ndarray, 'b _']] = (),
    ) -> Float[Array, 'b t d']:
        m = 0 if numbers is None else numbers.shape[1]
        sizes = (*self.field_sizes, *self.set_sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        table = self.param('table', nn.initializers.normal(0.01), (starts[-1] + m, self.width))
        f, tokens = len(self.field_sizes), []
        if f:
            largest = jnp.asarray(self.field_sizes, jnp.int32)[None, :] - 1
            rows = jnp.clip(jnp.asarray(categories), 0, largest) + starts[None, :f]
            tokens.append(table[rows])
        if m:
            vectors = table[starts[-1] :]
            tokens.append(vectors[None] * in_float32(jnp.asarray(numbers))[..., None])
        for values, start, size in zip(sets, starts[f:], self.set_sizes, strict=False):
            values = jnp.clip(jnp.asarray(values), 0, size - 1)
            tokens.append(set_token(table[values + start], values > 0)[:, None])
        return jnp.concatenate(tokens, axis=1)


class Deep(nn.Module):
    """Hidden layers with ReLU, batch normalisation and dropout if asked, and one logit.

    Attributes:
      widths: of the hidden layers.
      batch_norm: before each ReLU.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    widths: Sequence[int]
    batch_norm: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b d'], train: bool = False, change: Sequence = ()
    ) -> Float[Array, 'b']:
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, kernel_init=glorot_normal, name=f'hidden_{i}')(x)
            if self.batch_norm:
                x = nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.995)(x)
            x = nn.relu(x)
            for function in change[i : i + 1]:
                x = function(x)
        return nn.Dense(1, kernel_init=glorot_normal, name='prediction')(x)[:, 0]


class AutoInt(nn.Module):
    """The logit of the flattened tokens after the interacting layers, plus that of a deep branch.

    Without interacting layers the logit is linear in the tokens: logistic regression on values
    and numbers; with pairs besides, a factorisation machine.

    Attributes:
      tokens: makes the tokens.
      widths: of the interacting layers.
      num_heads, form, residual, scaling: see `InteractingLayer`.
      deep_widths: of the hidden layers of the deep branch (AutoInt+), which sees the tokens too;
        () for none.
      pairs: add the inner products of all pairs of tokens.
      batch_norm: in the deep branch.
      keep: of dropout, in training.
      axis_name: see `Deep`.
    """

    tokens: FieldTokens
    widths: Sequence[int] = (64, 64, 64)
    num_heads: int = 2
    form: str = 'official'
    residual: bool = True
    scaling: bool | None = None
    deep_widths: Sequence[int] = ()
    pairs: bool = False
    batch_norm: bool = False
    keep: Keep = Keep()
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        categories: Int[Array | np.ndarray, 'b f'] | None,
        numbers: Float[Array | np.ndarray, 'b m'] | None = None,
        sets: Sequence[Int[Array | np.ndarray, 'b _']] = (),
        keys: Key[Array, 'b'] | None = None,
        train: bool = False,
    ) -> Outcome:
        place = iter(range(1 + len(self.widths) + len(self.deep_widths)))

        def dropouts(keep, number):
            """One after the other; none where nothing is dropped."""
            places = [next(place) for _ in range(number)]
            if keys is None or keep == 1.0:
                return [()] * number
            return [(lambda x, at=at: drop(keys, x, keep, at),) for at in places]

        x = self.tokens(categories, numbers, sets)
        for function in dropouts(self.keep.embedding, 1)[0]:
            x = function(x)
        tokens, attention = x, []
        for i, change in enumerate(dropouts(self.keep.attention, len(self.widths))):
            x, weights = InteractingLayer(
                self.widths[i],
                self.num_heads,
                self.form,
                self.residual,
                self.scaling,
                name=f'interacting_{i}',
            )(x, change)
            attention.append(weights)
        features = x.reshape(x.shape[0], -1)
        logit = nn.Dense(1, kernel_init=glorot_normal, name='prediction')(features)[:, 0]
        if self.pairs:
            logit = logit + factorization_machine(tokens)
        if self.deep_widths:
            flat = tokens.reshape(tokens.shape[0], -1)
            change = [c for cs in dropouts(self.keep.deep, len(self.deep_widths)) for c in cs]
            deep = Deep(self.deep_widths, self.batch_norm, self.axis_name, name='deep')
            logit = logit + deep(flat, train, change)
        return Outcome(logit, features, attention)
