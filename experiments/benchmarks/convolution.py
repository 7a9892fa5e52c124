"""A training step of two convolutional networks against PyTorch.

64 images of 32 x 32 x 3, 10 classes. 'VGG': 3 x 3 convolutions of 32, 32, 64, 64, 128, 128 channels with
ReLU, halved by a max-pool after every second one; 'depthwise': 3 x 3 with 32 channels, then five times a
depthwise 3 x 3 and a 1 x 1 convolution to 64, 64, 128, 128, 128 channels, ReLU after each, strides 2 at the
second and fourth. A step is the cross-entropy, its gradient in all weights, and SGD. The same step
is taken with those of `jaxsep.ops`, with XLA's own convolution and max-pool, and with PyTorch in both of
its memory layouts, from the same weights, in turn; before anything is timed, losses and gradients must agree.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.nn import functional

from experiments.measuring.rows import Measured
from experiments.measuring.steps import JaxStep, TorchStep, compare
from jaxsep.ops.convolution import convolution
from jaxsep.ops.max_pool import max_pool

SIZES = {
    'full': {'images': 64, 'size': 32, 'divide': 1, 'repeats': 4},
    'quick': {'images': 2, 'size': 8, 'divide': 8, 'repeats': 1},
}
PACKAGES = ('jax', 'numpy', 'torch')
CLASSES, RATE = 10, 0.01
VGG = ((3, 1, 32), (3, 1, 32), 'pool', (3, 1, 64), (3, 1, 64), 'pool', (3, 1, 128), (3, 1, 128))
MOBILE = ((3, 1, 32), *(
    layer for stride, width in ((1, 64), (2, 64), (1, 128), (2, 128), (1, 128))
    for layer in ((3, stride, 'depthwise'), (1, 1, width))
))  # fmt: skip
NETWORKS = {'VGG': VGG, 'depthwise': MOBILE}


def make_weights(layers, rng) -> dict[str, np.ndarray]:
    """Kernels [i, j, c / groups, k] with He's variance, 'layer_0' and on, and the 'last' matrix."""
    kernels, channels = {}, 3
    for layer in layers:
        if layer == 'pool':
            continue
        size, _, width = layer
        inputs, width = (1, channels) if width == 'depthwise' else (channels, width)
        scale = np.sqrt(2 / (size * size * inputs))
        kernel = scale * rng.normal(size=(size, size, inputs, width))
        kernels[f'layer_{len(kernels)}'] = kernel
        channels = width
    kernels['last'] = rng.normal(size=(channels, CLASSES)) / np.sqrt(channels)
    return {name: w.astype(np.float32) for name, w in kernels.items()}


def native(x, kernel, strides, padding, feature_group_count):
    """XLA's convolution in the same layout."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=feature_group_count,
    )  # fmt: skip


def halve(x):
    """The largest of each 2 x 2 pixels."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')


def of_jax(layers, weights, batch, convolve, halve) -> JaxStep:
    """A step with XLA's or jaxsep's convolution and max-pool."""

    def init(key, batch):
        del key, batch
        return {name: jnp.asarray(w) for name, w in weights.items()}, {}

    def loss(params, extra, batch, key):
        del key
        x, number = batch['image'], 0
        for layer in layers:
            if layer == 'pool':
                x = halve(x)
                continue
            size, stride, width = layer
            groups = x.shape[-1] if width == 'depthwise' else 1
            sides, kernel = ((size // 2, size // 2),) * 2, params[f'layer_{number}']
            x = jax.nn.relu(
                convolve(x, kernel, (stride, stride), sides, feature_group_count=groups)
            )
            number += 1
        logits = jnp.mean(x, (1, 2)) @ params['last']
        of_label = jnp.take_along_axis(jax.nn.log_softmax(logits), batch['label'][:, None], axis=1)
        return -jnp.mean(of_label), (extra, {})

    return JaxStep(init, loss, optax.sgd(RATE), batch)


class OfTorch(TorchStep):
    """The same in PyTorch, with channels first or last in memory."""

    def __init__(self, layers, weights, batch, memory_format):
        super().__init__(weights)
        put = {'memory_format': memory_format}
        self.weights = {
            name: (w.detach().contiguous(**put) if w.ndim == 4 else w.detach()).requires_grad_()
            for name, w in self.weights.items()
        }
        self.images = torch.from_numpy(batch['image'].transpose(0, 3, 1, 2).copy())
        self.images = self.images.contiguous(**put)
        self.labels = torch.from_numpy(batch['label'].astype(np.int64))
        self.layers = layers
        self.optimizer = torch.optim.SGD(self.weights.values(), lr=RATE, fused=True)

    def to_torch(self, path: str, array: np.ndarray) -> np.ndarray:
        """Kernels have their outputs first."""
        del path
        return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array

    def loss(self) -> torch.Tensor:
        """The mean cross-entropy."""
        x, number = self.images, 0
        for layer in self.layers:
            if layer == 'pool':
                x = functional.max_pool2d(x, 2)
                continue
            size, stride, width = layer
            groups = x.shape[1] if width == 'depthwise' else 1
            kernel = self.weights[f'layer_{number}']
            x = functional.conv2d(x, kernel, stride=stride, padding=size // 2, groups=groups)
            x, number = torch.relu(x), number + 1
        return functional.cross_entropy(x.mean((2, 3)) @ self.weights['last'], self.labels)


def measure(images: int, size: int, divide: int, repeats: int) -> Measured:
    """Both networks, with their channels divided by `divide`."""
    table, details = [], {}
    for name, layers in NETWORKS.items():
        rng = np.random.default_rng(0)
        layers = [
            layer if isinstance(layer[-1], str) else (*layer[:2], layer[2] // divide)
            for layer in layers
        ]
        batch = {
            'image': rng.normal(size=(images, size, size, 3)).astype(np.float32),
            'label': rng.integers(CLASSES, size=images).astype(np.int32),
        }
        weights = make_weights(layers, rng)
        peers = {
            "XLA's own convolution": of_jax(layers, weights, batch, native, halve),
            'PyTorch': OfTorch(layers, weights, batch, torch.contiguous_format),
            'PyTorch, channels last': OfTorch(layers, weights, batch, torch.channels_last),
        }
        ours = of_jax(layers, weights, batch, convolution, max_pool)
        what, sizes = f'{name} network, training step', f'{images} images of {size} x {size}'
        found = compare(what, sizes, ours, peers, repeats, tolerance=1e-3)
        table += found.rows
        details |= found.details
    return Measured(table, details)
