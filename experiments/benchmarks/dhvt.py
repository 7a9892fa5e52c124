"""A training step of DHVT against PyTorch.

The widths of DHVT-T on CIFAR (192 channels, 4 heads, patches of 4, images of 32 x 32), fewer blocks and
rows so that a step takes a second on a laptop's core. A step is cross-entropy, its gradient in all
weights, and AdamW. PyTorch with attention written out, with its fused attention, and that compiled,
all with fused AdamW and channels last. All start from the same weights; before anything is timed, loss
and gradients must agree. Steps are taken in turn, one of each, so that whatever else the machine does
slows down all of them. Needs the extra [bench], and a C++ compiler for the compiled one.
"""

import math

import numpy as np
import optax
import torch
from torch.nn import functional

from experiments.measuring.rows import Measured
from experiments.measuring.steps import FORMS, JaxStep, TorchStep, by_path, compare, name_of
from jaxsep.methods.recognition.dhvt import make

SIZES = {
    'full': {'rows': 16, 'depth': 4, 'width': 192, 'repeats': 5, 'compiled': True},
    'quick': {'rows': 2, 'depth': 1, 'width': 16, 'repeats': 1, 'compiled': False},
}
PACKAGES = ('jax', 'optax', 'torch')
HEADS, EXPANSION, PATCH, SIZE, CLASSES = 4, 4, 4, 32, 100
RATE, DECAY = 1e-3, 0.05


class OfTorch(TorchStep):
    """The loss, with attention written out or PyTorch's own."""

    def __init__(
        self, batch, weights: dict[str, np.ndarray], depth: int, fused: bool, compiled: bool
    ):
        super().__init__(weights)
        images = torch.from_numpy(batch['image']).permute(0, 3, 1, 2).float() / 255
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(batch['label'].astype(np.int64))
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=RATE, weight_decay=DECAY, fused=True
        )
        self.depth, self.fused = depth, fused
        self.loss = torch.compile(self.of_weights) if compiled else self.of_weights

    def to_torch(self, path: str, array: np.ndarray) -> np.ndarray:
        """Kernels have their outputs first."""
        if path.endswith('kernel'):
            return array.transpose((3, 2, 0, 1) if array.ndim == 4 else (1, 0))
        return array

    def dense(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A linear layer."""
        return functional.linear(x, self.weights[f'{name}/kernel'], self.weights[f'{name}/bias'])

    def layer_norm(self, name: str, x: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
        """Over the last axis."""
        w = self.weights
        return functional.layer_norm(
            x, x.shape[-1:], w[f'{name}/scale'], w[f'{name}/bias'], epsilon
        )

    def batch_norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """With the statistics of the batch."""
        w = self.weights
        return functional.batch_norm(
            x, None, None, w[f'{name}/scale'], w[f'{name}/bias'], training=True
        )

    def affine(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A factor and a summand for each channel."""
        shape = (1, -1, 1, 1)
        scale, offset = (self.weights[f'{name}/{part}'].view(shape) for part in ('scale', 'offset'))
        return x * scale + offset

    def attention(self, at: str, x: torch.Tensor) -> torch.Tensor:
        """Head-interacted attention."""
        b, n, d = x.shape
        tokens = self.dense(f'{at}/head_tokens', x.mean(1).view(b, HEADS, d // HEADS))
        tokens = self.layer_norm(f'{at}/head_norm', tokens.view(b, HEADS, HEADS, d // HEADS), 1e-5)
        tokens = functional.gelu(tokens).flatten(2) + self.weights[f'{at}/head_positions']
        x = torch.cat([x, tokens], 1)
        q, k, v = (
            part.view(b, n + HEADS, HEADS, -1).transpose(1, 2)
            for part in self.dense(f'{at}/qkv', x).chunk(3, -1)
        )
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.mT / math.sqrt(d // HEADS), dim=-1) @ v
        y = self.dense(f'{at}/output', y.transpose(1, 2).flatten(2))
        return torch.cat([y[:, :1] + y[:, n:].mean(1, keepdim=True), y[:, 1:n]], 1)

    def feed_forward(self, at: str, x: torch.Tensor) -> torch.Tensor:
        """Dynamic aggregation."""
        b, n, d = x.shape
        side = math.isqrt(n - 1)

        def pointwise(name, y):
            kernel = self.weights[f'{at}/{name}/kernel'][:, :, None, None]
            return functional.conv2d(y, kernel, self.weights[f'{at}/{name}/bias'])

        y = x[:, 1:].transpose(1, 2).view(b, d, side, side)
        y = functional.gelu(self.batch_norm(f'{at}/norm_0', pointwise('expand', y)))
        mixed = functional.conv2d(
            y, self.weights[f'{at}/depthwise/kernel'], self.weights[f'{at}/depthwise/bias'],
            padding=1, groups=y.shape[1],
        )  # fmt: skip
        y = y + functional.gelu(self.batch_norm(f'{at}/norm_1', mixed))
        y = self.batch_norm(f'{at}/norm_2', pointwise('project', y)).flatten(2).transpose(1, 2)
        weight = functional.gelu(self.dense(f'{at}/compress', y.mean(1, keepdim=True)))
        return torch.cat([x[:, :1] * self.dense(f'{at}/excite', weight), y], 1)

    def of_weights(self) -> torch.Tensor:
        """The loss."""
        at = 'encoder/embedding'
        x = self.affine(f'{at}/before', self.images)
        for i in range(2):
            x = functional.conv2d(x, self.weights[f'{at}/conv_{i}/kernel'], stride=2, padding=1)
            x = self.batch_norm(f'{at}/norm_{i}', x)
            x = functional.gelu(x) if i == 0 else x
        x = self.affine(f'{at}/after', x).flatten(2).transpose(1, 2)
        x = torch.cat([self.weights['encoder/class_token'].expand(len(x), -1, -1), x], 1)
        for i in range(self.depth):
            at = f'encoder/block_{i}'
            x = x + self.attention(f'{at}/attention', self.layer_norm(f'{at}/attention_norm', x))
            normed = self.layer_norm(f'{at}/feed_forward_norm', x)
            x = x + self.feed_forward(f'{at}/feed_forward', normed)
        logits = self.dense('head', self.layer_norm('encoder/norm', x)[:, 0])
        return functional.cross_entropy(logits, self.labels)


def measure(rows: int, depth: int, width: int, repeats: int, compiled: bool) -> Measured:
    """A step of jaxsep and of each form of PyTorch."""
    rng = np.random.default_rng(0)
    batch = {
        'image': rng.integers(0, 256, (rows, SIZE, SIZE, 3)).astype(np.uint8),
        'label': rng.integers(0, CLASSES, rows).astype(np.int32),
    }
    method = make(
        width=width,
        depth=depth,
        num_heads=HEADS,
        expansion=EXPANSION,
        patch_size=PATCH,
        drop_path=0.0,
        num_classes=CLASSES,
    )
    ours = JaxStep(method.init, method.loss, optax.adamw(RATE, weight_decay=DECAY), batch)
    weights, peers = by_path(ours.params), {}
    for form in FORMS[: 2 + compiled]:
        peers[name_of(form)] = OfTorch(batch, weights, depth, *form)
    sizes = f'{rows} images of {SIZE} x {SIZE}, {depth} blocks of width {width}'
    return compare('DHVT, training step', sizes, ours, peers, repeats)
