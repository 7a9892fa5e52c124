"""Probes of a frozen network's tokens, by first and second moments, and what recalibrates the network.

Gao et al., 2023, https://github.com/mingzeG/Moment-Probing, models/representation/. Linear layers and
convolutions start as flax has them.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.cross_covariance import CENTERINGS, cross_covariance, unit_columns

PAIRINGS = ('near', 'one', 'half', 'all')
LAYOUTS = ('contiguous', 'interleaved')
PROBES = ('linear', 'mlp', 'moment')
SMALLEST_HEAD = 7
"""Channels of a head that two convolutions of stride 2 without padding leave something of."""


def pairs(pairing: str, num_heads: int) -> tuple[tuple[int, int], ...]:
    """Which heads' covariances are taken; the first of each pair has the rows.

    >>> pairs('near', 4), pairs('one', 4), pairs('half', 4), pairs('all', 3)
    (((0, 1), (1, 2), (2, 3)), ((0, 1), (0, 2), (0, 3)), ((0, 2), (1, 3)), ((0, 1), (0, 2), (1, 2)))
    """
    if pairing not in PAIRINGS:
        raise ValueError(f'pairing: expected one of {PAIRINGS}, got {pairing!r}')
    if num_heads < 2:
        raise ValueError(f'num_heads: expected at least 2, got {num_heads}')
    every = [(i, j) for i in range(num_heads) for j in range(i + 1, num_heads)]
    kept = {
        'near': lambda i, j: j == i + 1,
        'one': lambda i, j: i == 0,
        'half': lambda i, j: j == i + num_heads // 2,
        'all': lambda i, j: True,
    }[pairing]
    return tuple((i, j) for i, j in every if kept(i, j))


class CrossCovariances(nn.Module):
    """Multi-head cross-covariances, before the convolutions: one s x s matrix for each pair of heads.

    Tokens are mapped to `hidden` channels and split into heads of s = hidden / num_heads channels;
    each token of each head is layer-normalised (one norm for all heads), the covariance of
    two heads is taken over the tokens, and its columns are divided by their norms, but for the
    pairing 'all'.

    Attributes:
      hidden: channels, num_heads times s.
      num_heads: of the channels.
      layout: 'contiguous': head j holds the j-th chunk of s channels; 'interleaved': those whose
        number is j modulo num_heads, as the original has it for maps of convolutions.
      pairing: 'near' (each head and the next), 'one' (the first and each other), 'half' (each and
        the one half of the heads further), 'all'.
      centering: see `jaxsep.ops.cross_covariance`. 'token' is the text of the paper; the code
        subtracts one number, 'scalar', which is 0 as the norm starts: its moments are not centred.
    """

    hidden: int = 512
    num_heads: int = 4
    layout: str = 'contiguous'
    pairing: str = 'near'
    centering: str = 'scalar'

    @nn.compact
    def __call__(self, tokens: Float[Array, 'b n d']) -> Float[Array, 'b p s s']:
        b, n, _ = tokens.shape
        size = self.hidden // self.num_heads
        h = nn.Dense(self.hidden, name='projection')(tokens)
        if self.layout == 'contiguous':
            h = h.reshape(b, n, self.num_heads, size)
        else:
            h = h.reshape(b, n, size, self.num_heads).swapaxes(2, 3)
        # The variance as mean((x - mean)^2), which does not cancel.
        h = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name='norm')(h)
        found = [
            cross_covariance(h[:, :, i], h[:, :, j], self.centering)
            for i, j in pairs(self.pairing, self.num_heads)
        ]
        found = jnp.stack(found, axis=1)
        return found if self.pairing == 'all' else unit_columns(found)


class SecondMoments(nn.Module):
    """MHC^3: multi-head convolutional cross-covariances as a vector.

    Two 3x3 convolutions of stride 2 without padding and bias see the matrices of `CrossCovariances`
    as the channels of an image, with exact GELU between them; the result is flattened, channel
    by channel. Four heads of 128 channels give 3 x 31 x 31 = 2883 numbers.

    Attributes: those of `CrossCovariances`.
    """

    hidden: int = 512
    num_heads: int = 4
    layout: str = 'contiguous'
    pairing: str = 'near'
    centering: str = 'scalar'

    @nn.compact
    def __call__(self, tokens: Float[Array, 'b n d']) -> Float[Array, 'b f']:
        covariances = CrossCovariances(
            self.hidden, self.num_heads, self.layout, self.pairing, self.centering,
            name='covariances',
        )  # fmt: skip
        x = jnp.moveaxis(covariances(tokens), 1, -1)
        for i in range(2):
            conv = Conv(x.shape[-1], (3, 3), 2, 'VALID', use_bias=False, name=f'conv{i + 1}')
            x = conv(nn.gelu(x, approximate=False) if i else x)
        return jnp.moveaxis(x, -1, 1).reshape(len(x), -1)


class MomentProbe(nn.Module):
    """Moment probing: (linear of the first moment + linear of the second moments) / 2.

    Attributes:
      num_classes: k.
      normalize: layer norm of the first moment, as the original has it for convolutional networks.
      second: the module of the second moments.
    """

    num_classes: int
    second: SecondMoments
    normalize: bool = False

    @nn.compact
    def __call__(
        self, first: Float[Array, 'b d'], tokens: Float[Array, 'b n c']
    ) -> Float[Array, 'b k']:
        first = nn.LayerNorm(epsilon=1e-6, name='first_norm')(first) if self.normalize else first
        by_first = nn.Dense(self.num_classes, name='first')(first)
        by_second = nn.Dense(self.num_classes, name='last')(self.second(tokens))
        return (by_first + by_second) / 2


class FirstMomentProbe(nn.Module):
    """What moment probing is compared with: a linear layer, or two, on the first moment alone.

    Attributes:
      num_classes: k.
      hidden: width of a ReLU layer before the last; 0 for none, which is linear probing.
      normalize: layer norm of the first moment.
    """

    num_classes: int
    hidden: int = 0
    normalize: bool = False

    @nn.compact
    def __call__(
        self, first: Float[Array, 'b d'], tokens: Float[Array, 'b n c']
    ) -> Float[Array, 'b k']:
        del tokens
        x = nn.LayerNorm(epsilon=1e-6, name='first_norm')(first) if self.normalize else first
        if self.hidden:
            x = nn.relu(nn.Dense(self.hidden, name='hidden')(x))
        return nn.Dense(self.num_classes, name='last')(x)


class Psrp(nn.Module):
    """Partly shared recalibration: a scale and a shift of every channel of every token.

    u = relu(x A), scale = u S, shift = u T, without biases; A is what both share.

    Attributes:
      reduction: columns of A.
    """

    reduction: int = 16

    @nn.compact
    def __call__(
        self, x: Float[Array, '*b d']
    ) -> tuple[Float[Array, '*b d'], Float[Array, '*b d']]:
        def linear(width, name):
            start = nn.initializers.truncated_normal(0.02)
            return nn.Dense(width, use_bias=False, kernel_init=start, name=name)

        u = nn.relu(linear(self.reduction, 'down')(x))
        return linear(x.shape[-1], 'scale')(u), linear(x.shape[-1], 'shift')(u)


def recalibrated(
    y: Float[Array, '*b d'], scale: Float[Array, '*b d'], shift: Float[Array, '*b d']
) -> Float[Array, '*b d']:
    """Shift + (1 + scale) y: what passes unchanged where both are 0."""
    return shift + (1.0 + scale) * y


class TokenNetwork(nn.Module):
    """A small convolutional network whose last map, standardised, is a set of tokens.

    3x3 convolutions with batch normalisation and ReLU; a batch normalisation without parameters
    makes the tokens, the places of the last map row by row.

    Attributes:
      widths: of the convolutions.
      strides: of each of them.
      reduction: of a `Psrp` after the normalisation of each convolution, which acts on what it is
        computed from, as the original has it in ConvNeXt; 0 for none.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    widths: Sequence[int] = (32, 64, 64)
    strides: Sequence[int] = (1, 2, 1)
    reduction: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], train: bool = False) -> Float[Array, 'b n d']:
        def norm(x, name, **options):
            return nn.BatchNorm(
                not train, axis_name=self.axis_name, momentum=0.9, name=name, **options
            )(x)

        for i, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True), 1):
            x = Conv(width, (3, 3), stride, use_bias=False, name=f'conv{i}')(x)
            x = norm(x, f'norm{i}')
            if self.reduction:
                x = recalibrated(x, *Psrp(self.reduction, name=f'psrp{i}')(x))
            x = nn.relu(x)
        x = norm(x, 'token_norm', use_scale=False, use_bias=False)
        return x.reshape(len(x), -1, x.shape[-1])


def make_probe(
    *,
    name: str,
    num_classes: int,
    normalize: bool = False,
    hidden: int = 512,
    num_heads: int = 4,
    layout: str = 'contiguous',
    pairing: str = 'near',
    centering: str = 'scalar',
) -> nn.Module:
    """The probe a config names: a module (first moment, tokens) -> logits.

    Args:
      name: moment (`MomentProbe`), or linear or mlp (`FirstMomentProbe`, with `hidden` for mlp).
    """
    if name not in PROBES:
        raise ValueError(f'probe.name: expected one of {PROBES}, got {name!r}')
    if layout not in LAYOUTS:
        raise ValueError(f'probe.layout: expected one of {LAYOUTS}, got {layout!r}')
    if centering not in CENTERINGS:
        raise ValueError(f'probe.centering: expected one of {CENTERINGS}, got {centering!r}')
    if hidden < 1:
        raise ValueError(f'probe.hidden: expected at least 1, got {hidden}')
    if name != 'moment':
        return FirstMomentProbe(num_classes, hidden if name == 'mlp' else 0, normalize)
    pairs(pairing, num_heads)
    if hidden % num_heads or hidden // num_heads < SMALLEST_HEAD:
        raise ValueError(
            f'probe.hidden: expected a multiple of num_heads={num_heads} with at least '
            f'{SMALLEST_HEAD} channels each, got {hidden}'
        )
    second = SecondMoments(hidden, num_heads, layout, pairing, centering)
    return MomentProbe(num_classes, second, normalize)
