"""What a layer costs: its parameters and its multiply-adds for one example, in exact integers.

A multiply-add is what mobile networks call a FLOP: one product and the sum it goes into.
Biases, norms, activations, pooling and softmax are not counted among them, as in those papers.
"""

import math
from typing import Any, NamedTuple

import jax


class Cost(NamedTuple):
    """Parameters, and multiply-adds for one example."""

    parameters: int = 0
    multiply_adds: int = 0


def total(*costs: Cost) -> Cost:
    """Of layers one after the other; no layers cost nothing.

    >>> total(Cost(1, 10), Cost(2, 20))
    Cost(parameters=3, multiply_adds=30)
    """
    return Cost(sum(c.parameters for c in costs), sum(c.multiply_adds for c in costs))


def convolution(
    inputs: int,
    outputs: int,
    places: int,
    *,
    kernel_size: int = 1,
    groups: int = 1,
    bias: bool = False,
    norm: bool = False,
) -> Cost:
    """A convolution, with scale and offset of a batch norm after it if asked.

    s^2 (inputs / groups) outputs weights, each used once at every place of the output. A linear
    layer is one with a single place.

    Args:
      places: height times width of the output.
      groups: as many as there are inputs for a depthwise convolution.

    >>> convolution(512, 512, 14 * 14, kernel_size=3, groups=512)
    Cost(parameters=4608, multiply_adds=903168)
    """
    if inputs % groups or outputs % groups:
        raise ValueError(
            f'groups: expected a divisor of {inputs} inputs and {outputs} outputs, got {groups}'
        )
    weights = kernel_size**2 * (inputs // groups) * outputs
    return Cost(weights + outputs * (bias + 2 * norm), weights * places)


def separable(
    inputs: int, outputs: int, places: int, *, kernel_size: int = 3, norm: bool = True
) -> Cost:
    """A depthwise convolution and a pointwise one: the block of MobileNetV1.

    Source: Howard 2017, section 3.1, https://arxiv.org/abs/1704.04861
    """
    depthwise = convolution(
        inputs, inputs, places, kernel_size=kernel_size, groups=inputs, norm=norm
    )
    return total(depthwise, convolution(inputs, outputs, places, norm=norm))


def squeeze_excite(channels: int, *, reduction: int = 16) -> Cost:
    """Two linear layers on the mean over space, without biases: 2 c^2 / r.

    Source: Hu 2018, https://arxiv.org/abs/1709.01507

    >>> squeeze_excite(512)
    Cost(parameters=32768, multiply_adds=32768)
    """
    hidden = channels // reduction
    return total(convolution(channels, hidden, 1), convolution(hidden, channels, 1))


def cbam(channels: int, places: int, *, reduction: int = 16, kernel_size: int = 7) -> Cost:
    """Channel attention on mean and maximum, then a convolution of two maps to one.

    The two linear layers are shared by mean and maximum, and used twice.

    Source: Woo 2018, https://arxiv.org/abs/1807.06521
    """
    shared = squeeze_excite(channels, reduction=reduction)
    spatial = convolution(2, 1, places, kernel_size=kernel_size)
    return total(shared._replace(multiply_adds=2 * shared.multiply_adds), spatial)


def non_local(channels: int, places: int, *, products: bool = True) -> Cost:
    """Queries, keys, values of half the channels and the way back, 2 c^2; and the attention itself.

    Args:
      products: count the two products of all places with all places too, which papers often leave
        out: 2 places^2 c / 2.

    Source: Wang 2018, https://arxiv.org/abs/1711.07971

    >>> non_local(512, 14 * 14, products=False)
    Cost(parameters=524288, multiply_adds=102760448)
    """
    half = channels // 2
    there, back = convolution(channels, 3 * half, places), convolution(half, channels, places)
    return total(there, back, Cost(0, 2 * places * places * half * products))


def count_parameters(params: Any) -> int:
    """The numbers in a tree of arrays, or of their shapes as `jax.eval_shape` gives them.

    >>> count_parameters({'kernel': jax.ShapeDtypeStruct((3, 4), float), 'bias': jax.numpy.zeros(4)})
    16
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
