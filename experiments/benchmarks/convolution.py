"""A training step of two convolutional networks against PyTorch.

    python -m experiments.benchmarks.convolution

128 images of 32 x 32 x 3, 10 classes. 'vgg': 3 x 3 convolutions of 32, 32, 64, 64, 128, 128 channels with
ReLU, halved by a max-pool after every second one; 'mobile': 3 x 3 with 32 channels, then five times a
depthwise 3 x 3 and a 1 x 1 convolution to 64, 64, 128, 128, 128 channels, ReLU after each, strides 2 at the
second and fourth. A step is the cross-entropy, its gradient in all weights, and SGD. The same step
is taken with XLA's own convolution and max-pool, with those of `jaxsep.ops`, and with PyTorch in both of
its memory layouts, from the same weights, in turn; before anything is timed, losses and gradients must agree.
Needs the extra [bench].
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

from jaxsep.ops.convolution import convolution
from jaxsep.ops.max_pool import max_pool

IMAGES, SIZE, CLASSES, RATE = 128, 32, 10, 0.01
VGG = ((3, 1, 32), (3, 1, 32), 'pool', (3, 1, 64), (3, 1, 64), 'pool', (3, 1, 128), (3, 1, 128))
MOBILE = ((3, 1, 32), *(
    layer for stride, width in ((1, 64), (2, 64), (1, 128), (2, 128), (1, 128))
    for layer in ((3, stride, 'depthwise'), (1, 1, width))
))  # fmt: skip
NETWORKS = {'vgg': VGG, 'mobile': MOBILE}


def make_weights(layers, rng) -> list[np.ndarray]:
    """Kernels [i, j, c / groups, k] with He's variance, and the last matrix."""
    kernels, channels = [], 3
    for layer in layers:
        if layer == 'pool':
            continue
        size, _, width = layer
        inputs, width = (1, channels) if width == 'depthwise' else (channels, width)
        scale = np.sqrt(2 / (size * size * inputs))
        kernels.append(scale * rng.normal(size=(size, size, inputs, width)))
        channels = width
    kernels.append(rng.normal(size=(channels, CLASSES)) / np.sqrt(channels))
    return [w.astype(np.float32) for w in kernels]


def native(x, kernel, strides, padding, feature_group_count):
    """XLA's convolution in the same layout."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=feature_group_count,
    )  # fmt: skip


def halve(x):
    """The largest of each 2 x 2 pixels."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')


class OfJax:
    """A jitted step with XLA's or jaxsep's convolution and max-pool."""

    def __init__(self, layers, weights, images, labels, convolve, halve):
        self.weights = [jnp.asarray(w) for w in weights]
        self.data = jnp.asarray(images), jnp.asarray(labels)

        def loss(weights, images, labels):
            x, left = images, iter(weights)
            for layer in layers:
                if layer == 'pool':
                    x = halve(x)
                    continue
                size, stride, width = layer
                groups = x.shape[-1] if width == 'depthwise' else 1
                sides = ((size // 2, size // 2),) * 2
                x = jax.nn.relu(
                    convolve(x, next(left), (stride, stride), sides, feature_group_count=groups)
                )
            logits = jnp.mean(x, (1, 2)) @ next(left)
            of_label = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
            return -jnp.mean(of_label)

        self.gradients = jax.jit(jax.value_and_grad(loss))

        def step(weights, images, labels):
            value, grads = jax.value_and_grad(loss)(weights, images, labels)
            return [w - RATE * g for w, g in zip(weights, grads, strict=True)], value

        self.compiled = jax.jit(step, donate_argnums=0)

    def value_and_gradients(self):
        """The loss and the gradients of all weights."""
        value, grads = self.gradients(self.weights, *self.data)
        return float(value), [np.array(g) for g in grads]

    def step(self) -> float:
        """One step; the loss before it."""
        self.weights, value = self.compiled(self.weights, *self.data)
        jax.block_until_ready(self.weights)
        return float(value)


class OfTorch:
    """The same in PyTorch, with channels first or last in memory."""

    def __init__(self, layers, weights, images, labels, memory_format):
        put = {'memory_format': memory_format}
        self.weights = [
            torch.from_numpy(w.transpose(3, 2, 0, 1).copy() if w.ndim == 4 else w.copy())
            for w in weights
        ]
        self.weights = [
            (w.contiguous(**put) if w.ndim == 4 else w).requires_grad_() for w in self.weights
        ]
        self.images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).contiguous(**put)
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.layers = layers

    def loss(self) -> torch.Tensor:
        """The mean cross-entropy."""
        x, left = self.images, iter(self.weights)
        for layer in self.layers:
            if layer == 'pool':
                x = functional.max_pool2d(x, 2)
                continue
            size, stride, width = layer
            groups = x.shape[1] if width == 'depthwise' else 1
            x = functional.conv2d(x, next(left), stride=stride, padding=size // 2, groups=groups)
            x = torch.relu(x)
        return functional.cross_entropy(x.mean((2, 3)) @ next(left), self.labels)

    def value_and_gradients(self):
        """As `OfJax.value_and_gradients`."""
        value = self.loss()
        grads = [g.numpy() for g in torch.autograd.grad(value, self.weights)]
        return value.item(), [g.transpose(2, 3, 1, 0) if g.ndim == 4 else g for g in grads]

    def step(self) -> float:
        """One step; the loss before it."""
        value = self.loss()
        grads = torch.autograd.grad(value, self.weights)
        with torch.no_grad():
            for w, g in zip(self.weights, grads, strict=True):
                w -= RATE * g
        return value.item()


def agree(name, found, expected) -> float:
    """The largest difference of a gradient over its array's largest entry; above 1e-3 raises."""
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, err_msg=name)
    differences = [
        np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found[1], expected[1], strict=True)
    ]
    if max(differences) > 1e-3:
        raise ValueError(f'{name}: gradients differ by {max(differences):.1e} of the largest entry')
    return float(max(differences))


def measure(layers, repeats: int) -> dict[str, dict[str, float]]:
    """Fastest and median seconds of a step, and both as multiples of jaxsep's."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(IMAGES, SIZE, SIZE, 3)).astype(np.float32)
    data = layers, make_weights(layers, rng), images, rng.integers(CLASSES, size=IMAGES)
    steps = {
        'jaxsep': OfJax(*data, convolution, max_pool),
        'XLA': OfJax(*data, native, halve),
        'torch': OfTorch(*data, torch.contiguous_format),
        'torch, channels last': OfTorch(*data, torch.channels_last),
    }
    expected = steps['torch'].value_and_gradients()
    differences = {n: agree(n, s.value_and_gradients(), expected) for n, s in steps.items()}
    seconds = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, each in steps.items():
            began = time.perf_counter()
            each.step()
            if repeat:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    return {
        name: {
            'seconds': min(times),
            'median_seconds': statistics.median(times),
            'times_jaxsep': min(times) / min(seconds['jaxsep']),
            'median_times_jaxsep': statistics.median(times) / statistics.median(seconds['jaxsep']),
            'gradient_difference': differences[name],
        }
        for name, times in seconds.items()
    }


def main() -> None:
    """Prints a table and writes experiments/benchmarks/convolution.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    found = {}
    for name, layers in NETWORKS.items():
        found[name] = measure(layers, given.repeats)
        for step, row in found[name].items():
            fastest, median = 1e3 * row['seconds'], 1e3 * row['median_seconds']
            times = row['times_jaxsep']
            print(
                f'{name:7} {step:22} {fastest:6.0f} ms, median {median:6.0f}; {times:.2f}',
                flush=True,
            )
    measured = {
        'images': IMAGES, 'size': SIZE, 'cpus': len(os.sched_getaffinity(0)), 'networks': found,
        'versions': {p: importlib.metadata.version(p) for p in ('jax', 'jaxlib', 'numpy', 'torch')},
    }  # fmt: skip
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps(measured, indent=2) + '\n')


if __name__ == '__main__':
    main()
