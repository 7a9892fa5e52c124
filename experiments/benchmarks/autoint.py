"""A training step of AutoInt against PyTorch.

The sizes of the README's run on Criteo: batches of 1024 rows with 39 fields, embeddings of 16
numbers, three layers of 64 channels and 2 heads in the form of the code; 1000 values a field here.
A step is the log loss, its gradient in all weights, and Adam. PyTorch with attention written out, and
with its fused attention, and that compiled, with fused Adam. All start from the same weights; before
anything is timed, loss and gradients must agree. Steps are taken in turn, one of each, so
that whatever else the machine does slows down all of them. Needs the extra [bench], and a C++
compiler for the compiled one.
"""

import math

import numpy as np
import optax
import torch
from torch.nn import functional

from experiments.measuring.rows import Measured
from experiments.measuring.steps import FORMS, JaxStep, TorchStep, by_path, compare, name_of
from jaxsep.methods.tabular.autoint import make

SIZES = {
    'full': {'rows': 1024, 'values': 1000, 'repeats': 8, 'compiled': True},
    'quick': {'rows': 8, 'values': 5, 'repeats': 1, 'compiled': False},
}
PACKAGES = ('jax', 'optax', 'torch')
FIELDS, WIDTH, WIDTHS, HEADS = 39, 16, (64, 64, 64), 2
RATE = 1e-3


class OfTorch(TorchStep):
    """The loss, with attention written out or PyTorch's own."""

    def __init__(self, batch, weights, values: int, fused: bool, compiled: bool):
        super().__init__(weights)
        self.ids = torch.from_numpy(batch['categories'].astype(np.int64))
        self.ids += torch.arange(FIELDS) * values
        self.labels = torch.from_numpy(batch['label'].astype(np.float32))
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=RATE, fused=True)
        self.fused = fused
        self.loss = torch.compile(self.of_weights) if compiled else self.of_weights

    def of_weights(self) -> torch.Tensor:
        """The loss."""
        w = self.weights
        x = functional.embedding(self.ids, w['tokens/table'])
        for i, width in enumerate(WIDTHS):
            of = f'interacting_{i}/'
            q, k, v, r = (
                torch.relu(torch.addmm(w[f'{of}{n}/bias'], x.flatten(0, 1), w[f'{of}{n}/kernel']))
                for n in ('query', 'key', 'value', 'residual')
            )
            q, k, v = (y.view(len(x), FIELDS, HEADS, -1).transpose(1, 2) for y in (q, k, v))
            if self.fused:
                y = functional.scaled_dot_product_attention(q, k, v)
            else:
                y = torch.softmax(q @ k.mT / math.sqrt(width // HEADS), dim=-1) @ v
            y = torch.relu(
                y.transpose(1, 2).reshape(len(x), FIELDS, width) + r.view(len(x), FIELDS, -1)
            )
            x = functional.layer_norm(y, (width,), w[f'{of}gain'], w[f'{of}offset'], 1e-8)
        logits = (x.flatten(1) @ w['prediction/kernel'] + w['prediction/bias'])[:, 0]
        p = torch.sigmoid(logits)
        right = torch.where(self.labels == 1, p, 1 - p)
        return -torch.log(right + 1e-7).mean()


def measure(rows: int, values: int, repeats: int, compiled: bool) -> Measured:
    """A step of jaxsep and of each form of PyTorch."""
    rng = np.random.default_rng(0)
    batch = {
        'categories': rng.integers(0, values, (rows, FIELDS)).astype(np.int32),
        'label': rng.integers(0, 2, rows).astype(np.int32),
    }
    method = make(
        field_sizes=(values,) * FIELDS, embedding_size=WIDTH, widths=WIDTHS, num_heads=HEADS
    )
    ours = JaxStep(method.init, method.loss, optax.adam(RATE), batch)
    weights, peers = by_path(ours.params), {}
    for form in FORMS[: 2 + compiled]:
        peers[name_of(form)] = OfTorch(batch, weights, values, *form)
    sizes = f'{rows:,} rows of {FIELDS} fields'
    return compare('AutoInt, training step', sizes, ours, peers, repeats, tolerance=1e-3)
