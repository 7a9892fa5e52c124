"""A training step of the query separator against PyTorch.

Four mixtures of 2 s at 8 kHz: transform of 512 samples every 128, the residual U-Net with three levels of
16, 32 and 64 channels and a query of 32 numbers, inverse transform, L1 on the samples, gradient in
all weights, Adam. PyTorch has its own transforms and transposed convolutions, eager and
compiled, with fused Adam. All start from the same weights; before anything is timed, loss and
gradients must agree. Steps are taken in turn, one of each, so that whatever else the machine does slows
down all of them. Needs the extra [bench], and a C++ compiler for the compiled one.
"""

import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.nn import functional

from experiments.measuring.rows import Measured
from experiments.measuring.steps import JaxStep, TorchStep, by_path, compare, name_of
from jaxsep.losses.separation import waveform_l1
from jaxsep.models.resunet import QuerySeparator

SIZES = {
    'full': {'rows': 4, 'samples': 16000, 'repeats': 4, 'compiled': True},
    'quick': {'rows': 1, 'samples': 1024, 'repeats': 1, 'compiled': False},
}
PACKAGES = ('jax', 'optax', 'torch')
N_FFT, HOP, WIDTHS, POOLS, QUERY = 512, 128, (16, 32, 64), ((2, 2),) * 3, 32
RATE, MOMENTUM = 1e-3, 0.99


def separator():
    """(init, loss) of the network alone, as a method has them; its parameters are those of the U-Net."""
    net = QuerySeparator(N_FFT, HOP, WIDTHS, POOLS, MOMENTUM)

    def init(key, batch):
        variables = dict(net.init(key, batch['mixture'], batch['query']))
        return variables.pop('params')['resunet'], variables

    def loss(params, extra, batch, key):
        del key
        found, extra = net.apply(
            {'params': {'resunet': params}, **extra},
            batch['mixture'],
            batch['query'],
            train=True,
            mutable=['batch_stats'],
        )
        return jnp.mean(waveform_l1(found, batch['target'])), (extra, {})

    return init, loss


class OfTorch(TorchStep):
    """The loss with PyTorch's own transforms and transposed convolutions."""

    def __init__(self, batch, weights: dict[str, np.ndarray], compiled: bool):
        super().__init__(weights)
        self.mixture, self.query, self.target = (
            torch.from_numpy(batch[name]) for name in ('mixture', 'query', 'target')
        )
        self.statistics = {
            k.removesuffix('/scale'): [torch.zeros(w.shape), torch.ones(w.shape)]
            for k, w in weights.items()
            if k.endswith('/scale')
        }
        self.window = torch.hann_window(N_FFT)
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=RATE, fused=True)
        self.net = torch.compile(self.maps) if compiled else self.maps

    def to_torch(self, path: str, array: np.ndarray) -> np.ndarray:
        """A convolution kernel [h, w, in, out] becomes [out, in, h, w].

        The upsampling layer [in, h w out] becomes the kernel of a transposed convolution, [in, out, h, w].
        """
        if path.endswith('up/Dense_0/kernel'):
            down, across = POOLS[int(path.split('/')[0].removeprefix('decoder'))]
            return array.reshape(len(array), down, across, -1).transpose(0, 3, 1, 2)
        return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array

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


def measure(rows: int, samples: int, repeats: int, compiled: bool) -> Measured:
    """A step of jaxsep, of PyTorch, and of PyTorch compiled."""
    rng = np.random.default_rng(0)
    target, other = 0.1 * rng.normal(size=(2, rows, samples)).astype(np.float32)
    query = rng.random((rows, QUERY)).astype(np.float32)
    batch = {'mixture': target + other, 'query': query, 'target': target}
    ours = JaxStep(*separator(), optax.adam(RATE), batch)
    weights, peers = by_path(ours.params), {}
    for form in ((False, False), (False, True))[: 1 + compiled]:
        peers[name_of(form)] = OfTorch(batch, weights, form[1])
    sizes = f'{rows} mixtures of {samples:,} samples'
    return compare('Query separator, training step', sizes, ours, peers, repeats)
