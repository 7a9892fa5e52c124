"""NT-Xent against its peers: python -m experiments.benchmarks.contrastive [--rows 512 4096 ...].

Value and gradient of the loss of two views of b items, 2b rows of 128 numbers in float32, at
temperature 0.1: jaxsep with the full matrix and in blocks, a plain PyTorch form, lightly
and pytorch-metric-learning. Each runs in a process of its own, one after the other, so
that the peak of its memory can be told; that of the imported interpreter is subtracted.
Needs the extra [bench].
"""

import argparse
import importlib.metadata
import json
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np

TEMPERATURE, WIDTH = 0.1, 128
LIMIT = 16 * 2**30
"""Bytes of address space a peer may take; one that needs more is reported so."""


def views(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Two views [rows / 2, width] that resemble each other."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((rows // 2, WIDTH), np.float32)
    return z, z + rng.standard_normal(z.shape, np.float32)


def of_jaxsep(chunk_size):
    """(z1, z2) -> (value, gradients), and how to hand arrays over."""
    import jax

    from jaxsep.losses.contrastive import nt_xent

    def loss(z1, z2):
        return nt_xent(z1, z2, TEMPERATURE, chunk_size=chunk_size)

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    return lambda *z: jax.block_until_ready(both(*z)), jax.numpy.asarray


def of_torch(make_loss):
    """The same for a loss of torch tensors."""
    import torch

    loss = make_loss(torch)

    def both(z1, z2):
        z1, z2 = (z.clone().requires_grad_() for z in (z1, z2))
        value = loss(z1, z2)
        value.backward()
        return value.detach(), (z1.grad, z2.grad)

    return both, torch.from_numpy


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
    'jaxsep, full matrix': lambda: of_jaxsep(None),
    'torch, plain': lambda: of_torch(plain),
    'lightly': lambda: of_torch(of_lightly),
    'pytorch-metric-learning': lambda: of_torch(of_metric_learning),
}


def peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(peer: str, rows: int, repeats: int) -> dict:
    """Seconds of one value and gradient (the fastest), peak memory above the imports, value."""
    both, hand_over = PEERS[peer]()
    both(*(hand_over(z[:4]) for z in views(16)))
    z, before = [hand_over(z) for z in views(rows)], peak()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    both(*z)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        value, _ = both(*z)
        seconds.append(time.perf_counter() - began)
    return {'seconds': min(seconds), 'peak_bytes': peak() - before, 'value': float(value)}


def in_its_own_process(peer: str, rows: int, repeats: int) -> dict:
    """`measure` in a fresh interpreter; {'failed': reason} where it did not end well."""
    arguments = ['--peer', peer, '--rows', str(rows), '--repeats', str(repeats)]
    command = [sys.executable, '-m', 'experiments.benchmarks.contrastive', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if 'allocate' in done.stderr or 'RESOURCE_EXHAUSTED' in done.stderr:
        return {'failed': f'more than {LIMIT >> 30} GiB'}
    lines = [line for line in done.stderr.splitlines() if 'Error' in line]
    return {'failed': lines[-1][:160] if lines else f'exit code {done.returncode}'}


def main() -> None:
    """Prints a table and writes experiments/benchmarks/contrastive.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, nargs='+', default=[512, 4096, 16384, 65536])
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--peer', choices=list(PEERS), help='measure this one, in this process')
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(measure(given.peer, given.rows[0], given.repeats)))
        return
    results = {}
    for rows in given.rows:
        for peer in PEERS:
            repeats = given.repeats if rows <= 16384 else 1
            found = in_its_own_process(peer, rows, repeats)
            results.setdefault(str(rows), {})[peer] = found
            shown = found.get('failed') or (
                f'{found["seconds"]:.3f} s, {found["peak_bytes"] / 1e6:.0f} MB, '
                f'loss {found["value"]:.5f}'
            )
            print(f'{rows:>6} rows  {peer:<24} {shown}', flush=True)
        ours = results[str(rows)]['jaxsep, in blocks']['seconds']
        for found in results[str(rows)].values():
            if 'seconds' in found:
                found['times_jaxsep_in_blocks'] = found['seconds'] / ours
    packages = ('jax', 'torch', 'lightly', 'pytorch-metric-learning')
    found = {
        'width': WIDTH,
        'temperature': TEMPERATURE,
        'rows': results,
        'versions': {name: importlib.metadata.version(name) for name in packages},
    }
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
