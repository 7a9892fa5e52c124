"""NT-Xent against its peers.

Value and gradient of the loss of two views of b items, 2b rows of 128 numbers in float32, at
temperature 0.1: jaxsep in blocks, jaxsep with the full matrix, a plain PyTorch form, lightly and
pytorch-metric-learning. Each runs in a process of its own. Memory is what the process grows by in
its first run, after compilation.
"""

import resource

import numpy as np

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'rows': [512, 16384, 65536], 'repeats': 3},
    'quick': {'rows': [16], 'repeats': 1},
}
PACKAGES = ('jax', 'torch', 'lightly', 'pytorch-metric-learning')
TEMPERATURE, WIDTH = 0.1, 128
LIMIT = 16 * 2**30
"""Bytes of address space a peer may take; one that needs more is reported so."""


def views(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Two views [rows / 2, width] that resemble each other."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((rows // 2, WIDTH), np.float32)
    return z, z + rng.standard_normal(z.shape, np.float32)


def of_jaxsep(chunk_size):
    """(z1, z2) -> function that computes value and gradients."""
    import jax

    from jaxsep.losses.contrastive import nt_xent

    def loss(z1, z2):
        return nt_xent(z1, z2, TEMPERATURE, chunk_size=chunk_size)

    def prepare(*z):
        z = [jax.numpy.asarray(view) for view in z]
        both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*z).compile()
        return lambda: jax.block_until_ready(both(*z))

    return prepare


def of_torch(make_loss):
    """The same for a loss of torch tensors."""
    import torch

    loss = make_loss(torch)

    def prepare(*z):
        z = [torch.from_numpy(view) for view in z]

        def both():
            z1, z2 = (view.clone().requires_grad_() for view in z)
            value = loss(z1, z2)
            value.backward()
            return value.detach(), (z1.grad, z2.grad)

        return both

    return prepare


def plain(torch):
    """NT-Xent as one would write it in a few lines."""

    def loss(z1, z2):
        z = torch.nn.functional.normalize(torch.cat([z1, z2]))
        logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        b = len(z1)
        target = (torch.arange(2 * b) + b) % (2 * b)
        return torch.nn.functional.cross_entropy(logits, target)

    return loss


def of_lightly(torch):
    """lightly.loss.NTXentLoss, no memory bank."""
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature=TEMPERATURE)


def of_metric_learning(torch):
    """pytorch_metric_learning.losses.NTXentLoss, labels as ids of the items."""
    from pytorch_metric_learning.losses import NTXentLoss

    loss = NTXentLoss(temperature=TEMPERATURE)
    return lambda z1, z2: loss(torch.cat([z1, z2]), torch.arange(len(z1)).repeat(2))


PEERS = {
    'jaxsep, in blocks': lambda: of_jaxsep('auto'),
    'the full matrix in jax': lambda: of_jaxsep(None),
    'plain PyTorch': lambda: of_torch(plain),
    'lightly': lambda: of_torch(of_lightly),
    'pytorch-metric-learning': lambda: of_torch(of_metric_learning),
}


def measure_peer(peer: str, rows: int, repeats: int) -> dict:
    """Times, memory and value of one peer."""
    prepare = PEERS[peer]()
    prepare(*views(16))()
    both = prepare(*views(rows))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    times, memory, (value, _) = meters.timed_with_memory(both, repeats)
    found = {'time': times.fastest, 'memory': memory, 'value': float(value)}
    return found | times.summary() | {'threads': meters.threads()}


def measure(rows: list[int], repeats: int) -> Measured:
    """All peers at all numbers of rows."""
    table, details = [], {}
    for count in rows:
        runs = repeats if count <= 16384 else 1
        found = details[str(count)] = processes.of_each(measure_peer, PEERS, count, runs)
        ours, *_ = found.values()
        for peer, each in found.items():
            if each.get('failed') == 'out of memory':
                each['failed'] = f'more than {LIMIT >> 30} GiB'
            value = each.get('value', ours['value'])
            np.testing.assert_allclose(value, ours['value'], rtol=1e-4, err_msg=peer)
        sizes = f'{count:,} rows of {WIDTH}'
        table += against('NT-Xent, value and gradient', sizes, ('time', 'memory'), found)
    return Measured(table, details)
