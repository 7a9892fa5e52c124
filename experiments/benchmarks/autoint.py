"""A training step of AutoInt against PyTorch: python -m experiments.benchmarks.autoint.

The sizes of the README's run on Criteo: batches of 1024 rows with 39 fields, embeddings of 16
numbers, three layers of 64 channels and 2 heads in the form of the code; 1000 values a field here.
A step is the log loss, its gradient in all weights, and Adam. PyTorch with attention written out, and
with its fused attention, each also compiled, with fused Adam. All start from the same weights; before
anything is timed, loss and gradients must agree. Steps are taken in turn, one of each, so
that whatever else the machine does slows down all of them. Needs the extra [bench], and a C++
compiler for the compiled ones.
"""

import argparse
import importlib.metadata
import json
import math
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

from jaxsep.methods.tabular.autoint import make

FIELDS, VALUES, WIDTH, WIDTHS, HEADS = 39, 1000, 16, (64, 64, 64), 2
RATE = 1e-3


class OfJaxsep:
    """A step of the method itself, and its loss and gradients."""

    def __init__(self, batch: dict[str, np.ndarray]):
        self.batch = jax.tree.map(jnp.asarray, batch)
        method = make(
            field_sizes=(VALUES,) * FIELDS,
            embedding_size=WIDTH,
            widths=WIDTHS,
            num_heads=HEADS,
        )
        optimizer, key = optax.adam(RATE), jax.random.key(1)
        self.params, self.extra = jax.jit(method.init)(jax.random.key(0), self.batch)
        self.state = optimizer.init(self.params)

        def gradients(params, extra, batch):
            return jax.value_and_grad(method.loss, has_aux=True)(params, extra, batch, key)

        def step(params, state, extra, batch):
            (value, (extra, _)), grads = gradients(params, extra, batch)
            updates, state = optimizer.update(grads, state)
            return optax.apply_updates(params, updates), state, extra, value

        self.gradients = jax.jit(gradients)
        self.compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def value_and_gradients(self) -> tuple[float, dict[str, np.ndarray]]:
        """The loss, and the gradient of each array by its path."""
        (value, _), grads = self.gradients(self.params, self.extra, self.batch)
        return float(value), by_path(grads)

    def step(self) -> float:
        """One step; the loss before it."""
        self.params, self.state, self.extra, value = self.compiled(
            self.params, self.state, self.extra, self.batch
        )
        jax.block_until_ready(self.params)
        return float(value)


def by_path(tree) -> dict[str, np.ndarray]:
    """Leaves by path, 'interacting_0/query/kernel'."""
    return {
        '/'.join(k.key for k in path): np.array(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


class OfTorch:
    """The same with the same weights."""

    def __init__(self, batch, weights: dict[str, np.ndarray], fused: bool, compiled: bool):
        self.ids = torch.from_numpy(batch['categories'].astype(np.int64))
        self.ids += torch.arange(FIELDS) * VALUES
        self.labels = torch.from_numpy(batch['label'].astype(np.float32))
        self.weights = {k: torch.from_numpy(w.copy()).requires_grad_() for k, w in weights.items()}
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

    def value_and_gradients(self):
        """As `OfJaxsep.value_and_gradients`."""
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
    """The largest difference of a gradient in units of its array's largest entry; above 1e-3 raises."""
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, err_msg=name)
    scaled = [
        np.abs(found[1][k] - g).max() / max(np.abs(g).max(), 1e-8) for k, g in expected[1].items()
    ]
    if max(scaled) > 1e-3:
        raise ValueError(f'{name}: gradients differ by {max(scaled):.1e} of their largest entry')
    return float(max(scaled))


def main() -> None:
    """Prints a table and writes experiments/benchmarks/autoint.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=1024)
    parser.add_argument('--repeats', type=int, default=15)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    batch = {
        'categories': rng.integers(0, VALUES, (given.rows, FIELDS)).astype(np.int32),
        'label': rng.integers(0, 2, given.rows).astype(np.int32),
    }
    ours = OfJaxsep(batch)
    weights = by_path(ours.params)
    peers = {'jaxsep': ours}
    for compiled in (False, True):
        for fused in (False, True):
            name = 'torch' + ', fused attention' * fused + ', compiled' * compiled
            peers[name] = OfTorch(batch, weights, fused, compiled)
    expected = ours.value_and_gradients()
    differences = {n: agree(n, p.value_and_gradients(), expected) for n, p in peers.items()}
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
            'median_times_jaxsep': statistics.median(ratios),
            'times_jaxsep': min(seconds[name]) / min(seconds['jaxsep']),
            'gradient_difference': differences[name],
            'losses': [losses[name][0], losses[name][-1]],
        }
        print(f'{name:<32} {1e3 * found[name]["seconds"]:7.1f} ms '
              f'({found[name]["times_jaxsep"]:.2f} x; in turn {found[name]["median_times_jaxsep"]:.2f} x), '
              f'loss {losses[name][0]:.4f} to {losses[name][-1]:.4f}', flush=True)  # fmt: skip
    sizes = {'rows': given.rows, 'fields': FIELDS, 'values': VALUES, 'embedding_size': WIDTH,
             'widths': WIDTHS, 'num_heads': HEADS, 'cpus': os.cpu_count()}  # fmt: skip
    versions = {name: importlib.metadata.version(name) for name in ('jax', 'optax', 'torch')}
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps({**sizes, 'steps': found, 'versions': versions}, indent=2) + '\n')


if __name__ == '__main__':
    main()
