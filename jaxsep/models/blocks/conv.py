"""flax's convolution with the faster gradients of `jaxsep.ops.convolution` on CPUs."""

from functools import partial

import flax.linen as nn

from jaxsep.ops.convolution import convolution

Conv = partial(nn.Conv, conv_general_dilated=convolution)
"""`flax.linen.Conv`, its arguments and parameters: kernel [i, j, c / groups, k] and bias [k]."""
