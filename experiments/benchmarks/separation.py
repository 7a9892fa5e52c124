"""A training step of the query separator against PyTorch: python -m experiments.benchmarks.separation.

Eight mixtures of 2 s at 8 kHz: transform of 512 samples every 128, the residual U-Net with three levels of
16, 32 and 64 channels and a query of 32 numbers, inverse transform, L1 on the samples, gradient in
all weights, Adam. PyTorch has its own transforms and transposed convolutions, eager and
compiled, with fused Adam. All start from the same weights; before anything is timed, loss and
gradients must agree. Steps are taken in turn, one of each, so that whatever else the machine does slows
down all of them. Needs the extra [bench], and a C++ compiler for the compiled one.
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
import optax
import torch
from torch.nn import functional

from jaxsep.losses.separation import waveform_l1
from jaxsep.models.resunet import QuerySeparator

N_FFT, HOP, WIDTHS, POOLS, QUERY = 512, 128, (16, 32, 64), ((2, 2),) * 3, 32
RATE, MOMENTUM = 1e-3, 0.99


class OfJaxsep:
    """A step of the separator, and its loss and gradients."""

    def __init__(self, batch: tuple[np.ndarray, ...]):
        self.batch = tuple(map(jnp.asarray, batch))
        net = QuerySeparator(N_FFT, HOP, WIDTHS, POOLS, MOMENTUM)
        optimizer = optax.adam(RATE)
        variables = dict(jax.jit(net.init)(jax.random.key(0), *self.batch[:2]))
        self.params, self.extra = variables.pop('params'), variables
        self.state = optimizer.init(self.params)

        def loss(params, extra, mixture, query, target):
            found, extra = net.apply(
                {'params': params, **extra}, mixture, query, train=True, mutable=['batch_stats']
            )
            return jnp.mean(waveform_l1(found, target)), extra

        def step(params, state, extra, batch):
            (value, extra), grads = jax.value_and_grad(loss, has_aux=True)(params, extra, *batch)
            updates, state = optimizer.update(grads, state)
            return optax.apply_updates(params, updates), state, extra, value

        self.gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))
        self.compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def value_and_gradients(self) -> tuple[float, dict[str, np.ndarray]]:
        """The loss, and the gradient of each array by its path."""
        (value, _), grads = self.gradients(self.params, self.extra, *self.batch)
        return float(value), by_path(grads)

    def step(self) -> float:
        """One step; the loss before it."""
        self.params, self.state, self.extra, value = self.compiled(
            self.params, self.state, self.extra, self.batch
        )
        jax.block_until_ready(self.params)
        return float(value)


def by_path(tree) -> dict[str, np.ndarray]:
    """Leaves by path, 'encoder0/conv1/kernel'."""
    return {
        '/'.join(k.key for k in path[1:]): np.array(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def to_torch(path: str, array: np.ndarray) -> np.ndarray:
    """A convolution kernel [h, w, in, out] as PyTorch has it, [out, in, h, w]; the rest as it is.

    The upsampling layer [in, h w out] becomes the kernel of a transposed convolution, [in, out, h, w].
    """
    if path.endswith('up/Dense_0/kernel'):
        down, across = POOLS[int(path[len('decoder')])]
        return array.reshape(len(array), down, across, -1).transpose(0, 3, 1, 2)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


class OfTorch:
    """The same with the same weights."""

    def __init__(self, batch, weights: dict[str, np.ndarray], compiled: bool):
        self.mixture, self.query, self.target = map(torch.from_numpy, batch)
        self.weights = {
            k: torch.from_numpy(to_torch(k, w).copy()).requires_grad_() for k, w in weights.items()
        }
        self.statistics = {
            k.removesuffix('/scale'): [torch.zeros(w.shape), torch.ones(w.shape)]
            for k, w in weights.items()
            if k.endswith('/scale')
        }
        self.window = torch.hann_window(N_FFT)
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=RATE, fused=True)
        self.net = torch.compile(self.maps) if compiled else self.maps

    def norm(self, x: torch.Tensor, path: str) -> torch.Tensor:
        """Batch normalisation in training."""
        w, (mean, var) = self.weights, self.statistics[path]
        scale, bias = w[f'{path}/scale'], w[f'{path}/bias']
        return functional.batch_norm(x, mean, var, scale, bias, True, 1 - MOMENTUM, 1e-5)

    def asked(self, x: torch.Tensor, path: str) -> torch.Tensor:
        """Norm, query and leaky ReLU."""
        kernel, bias = self.weights[f'{path}/beta/kernel'], self.weights[f'{path}/beta/bias']
        beta = self.query @ kernel + bias
        return functional.leaky_relu(self.norm(x, f'{path}/norm') + beta[:, :, None, None], 0.01)

    def block(self, x: torch.Tensor, path: str) -> torch.Tensor:
        """A residual block."""
        w, y = self.weights, x
        for i in (1, 2):
            y = self.asked(y, f'{path}/norm{i}')
            y = functional.conv2d(y, w[f'{path}/conv{i}/kernel'], padding=1)
        if f'{path}/shortcut/kernel' in w:
            x = functional.conv2d(x, w[f'{path}/shortcut/kernel'], w[f'{path}/shortcut/bias'])
        return x + y

    def maps(self, magnitude: torch.Tensor) -> torch.Tensor:
        """Magnitudes [b, m, f] -> maps [b, 3, m, f]."""
        w, frames = self.weights, magnitude.shape[1]
        x = self.norm(magnitude.mT, 'input_norm').mT[:, None, :, :-1]
        x = functional.pad(x, (0, 0, 0, -frames % 8))
        x = functional.conv2d(x, w['before/kernel'], w['before/bias'])
        skips = []
        for i, pool in enumerate(POOLS):
            skips.append(self.block(x, f'encoder{i}'))
            x = functional.avg_pool2d(skips[-1], pool)
        x = self.block(x, 'center')
        for i in reversed(range(len(POOLS))):
            x = self.asked(x, f'decoder{i}/norm')
            x = functional.conv_transpose2d(x, w[f'decoder{i}/up/Dense_0/kernel'], stride=POOLS[i])
            x = self.block(torch.cat([x, skips[i]], dim=1), f'decoder{i}/block')
        x = functional.conv2d(x, w['after/kernel'], w['after/bias'])
        return functional.pad(x[:, :, :frames], (0, 1))

    def loss(self) -> torch.Tensor:
        """The loss."""
        sizes = {'n_fft': N_FFT, 'hop_length': HOP, 'window': self.window}
        x = torch.stft(self.mixture, **sizes, return_complex=True).mT
        magnitude = torch.sqrt(torch.clamp(x.real**2 + x.imag**2, min=1e-10))
        maps = self.net(magnitude)
        re, im = torch.tanh(maps[:, 1]), torch.tanh(maps[:, 2])
        size = torch.sqrt(torch.clamp(re**2 + im**2, min=1e-10))
        y = x * torch.sigmoid(maps[:, 0]) * torch.complex(re / size, im / size)
        found = torch.istft(y.mT, **sizes, length=self.mixture.shape[1])
        return torch.mean(torch.abs(found - self.target))

    def value_and_gradients(self):
        """As `OfJaxsep.value_and_gradients`, arrays as PyTorch has them."""
        value = self.loss()
        grads = torch.autograd.grad(value, list(self.weights.values()))
        return value.item(), dict(zip(self.weights, (g.numpy() for g in grads), strict=True))

    def step(self) -> float:
        """One step; the loss before it."""
        self.optimizer.zero_grad()
        value = self.loss()
        value.backward()
        self.optimizer.step()
        return value.item()


def agree(name: str, found, expected) -> float:
    """The largest difference of a gradient in units of its array's largest entry; above 1e-2 raises.

    Arrays whose gradient a norm takes away again hold nothing but rounding: those below 1e-5
    of the largest gradient do not count.
    """
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, err_msg=name)
    least = 1e-5 * max(np.abs(g).max() for g in expected[1].values())
    scaled = [
        np.abs(found[1][k] - to_torch(k, g)).max() / np.abs(g).max()
        for k, g in expected[1].items()
        if np.abs(g).max() > least
    ]
    if max(scaled) > 1e-2:
        raise ValueError(f'{name}: gradients differ by {max(scaled):.1e} of their largest entry')
    return float(max(scaled))


def main() -> None:
    """Prints a table and writes experiments/benchmarks/separation.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=8)
    parser.add_argument('--samples', type=int, default=16000)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--eager-only', action='store_true')
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    target, other = 0.1 * rng.normal(size=(2, given.rows, given.samples))
    query = rng.random((given.rows, QUERY))
    batch = tuple(x.astype(np.float32) for x in (target + other, query, target))
    ours = OfJaxsep(batch)
    weights = by_path(ours.params)
    expected = ours.value_and_gradients()
    peers, differences = {'jaxsep': ours}, {'jaxsep': 0.0}
    for compiled in (False,) if given.eager_only else (False, True):
        name = 'torch' + ', compiled' * compiled
        peers[name] = OfTorch(batch, weights, compiled)
        differences[name] = agree(name, peers[name].value_and_gradients(), expected)
    losses = {name: [peer.step() for _ in range(2)] for name, peer in peers.items()}  # compiles
    seconds = {name: [] for name in peers}
    for _ in range(given.repeats):
        for name, peer in peers.items():
            began = time.perf_counter()
            losses[name].append(peer.step())
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name in peers:
        ratios = [a / b for a, b in zip(seconds[name], seconds['jaxsep'], strict=True)]
        found[name] = {
            'seconds': min(seconds[name]),
            'median_seconds': statistics.median(seconds[name]),
            'times_jaxsep': min(seconds[name]) / min(seconds['jaxsep']),
            'median_times_jaxsep': statistics.median(ratios),
            'gradient_difference': differences[name],
            'losses': [losses[name][0], losses[name][-1]],
        }
        print(f'{name:<20} {1e3 * found[name]["seconds"]:7.1f} ms '
              f'({found[name]["times_jaxsep"]:.2f} x; in turn {found[name]["median_times_jaxsep"]:.2f} x), '
              f'loss {losses[name][0]:.4f} to {losses[name][-1]:.4f}', flush=True)  # fmt: skip
    sizes = {'rows': given.rows, 'samples': given.samples, 'n_fft': N_FFT, 'hop': HOP,
             'widths': WIDTHS, 'cpus': os.cpu_count()}  # fmt: skip
    versions = {name: importlib.metadata.version(name) for name in ('jax', 'optax', 'torch')}
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps({**sizes, 'steps': found, 'versions': versions}, indent=2) + '\n')


if __name__ == '__main__':
    main()
