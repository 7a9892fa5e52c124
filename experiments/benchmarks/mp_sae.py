"""Matching pursuit against PyTorch: python -m experiments.benchmarks.mp_sae [--rows 1024 4096].

Sixteen steps of a pursuit of n rows of 384 numbers in 3840 atoms, float32: the encoder alone, and
value and gradient of the reconstruction error in the atoms. jaxsep with correlations followed
through the inner products of the atoms ('gram'), computed at each step ('direct'), and
chosen automatically; PyTorch as the library of one of the authors does it (a one-hot matrix
per step), and written with gathered atoms. All get the same rows and atoms and must find the same
codes. Each runs in a process of its own, so that the peak of its memory can be told; that of the
imported interpreter is subtracted. Needs the extra [bench].
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

WIDTH, ATOMS, STEPS = 384, 3840, 16


def rows_and_atoms(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [rows, width] that are sparse in the atoms [atoms, width], with noise."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((ATOMS, WIDTH), np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x = 0.2 * rng.standard_normal((rows, WIDTH), np.float32)
    for _ in range(STEPS):
        x += (
            rng.uniform(0.5, 2, (rows, 1)).astype(np.float32)
            * atoms[rng.integers(ATOMS, size=rows)]
        )
    return x, atoms


def of_jaxsep(form: str, learn: bool):
    """(x, atoms) -> (codes or gradient, error), and how to hand arrays over."""
    import jax
    import jax.numpy as jnp

    from jaxsep.ops.matching_pursuit import mp_encode

    def encode(x, atoms):
        found = mp_encode(x, atoms, STEPS, form=form)
        return found.codes, jnp.mean(jnp.square(found.residual))

    def error(atoms, x):
        return jnp.mean(jnp.square(mp_encode(x, atoms, STEPS, form=form).residual))

    def gradient(x, atoms):
        value, gradient = jax.value_and_grad(error)(atoms, x)
        return gradient, value

    both = jax.jit(gradient if learn else encode)
    return lambda *given: jax.block_until_ready(both(*given)), jnp.asarray


def of_torch(step, learn: bool):
    """The same for a step (torch, residual, codes, atoms) -> (residual, codes)."""
    import torch

    def encode(x, atoms):
        codes, residual = torch.zeros(len(x), len(atoms)), x
        for _ in range(STEPS):
            residual, codes = step(torch, residual, codes, atoms)
        return codes, torch.mean(torch.square(x - codes @ atoms))

    def run(x, atoms):
        if not learn:
            with torch.no_grad():
                return encode(x, atoms)
        atoms = atoms.clone().requires_grad_()
        _, value = encode(x, atoms)
        value.backward()
        return atoms.grad, value.detach()

    return run, torch.from_numpy


def with_one_hot(torch, residual, codes, atoms):
    """A step as the library of the authors takes it."""
    value, index = torch.max(residual @ atoms.T, dim=1)
    chosen = torch.nn.functional.one_hot(index, len(atoms)).float() * value[:, None]
    return residual - chosen @ atoms, codes + chosen


def with_gather(torch, residual, codes, atoms):
    """The same without the second product."""
    value, index = torch.max(residual @ atoms.T, dim=1)
    codes = codes.scatter_add(1, index[:, None], value[:, None])
    return residual - value[:, None] * atoms[index], codes


PEERS = {
    'jaxsep': lambda learn: of_jaxsep('auto', learn),
    'jaxsep, gram': lambda learn: of_jaxsep('gram', learn),
    'jaxsep, direct': lambda learn: of_jaxsep('direct', learn),
    'torch, one-hot (the original)': lambda learn: of_torch(with_one_hot, learn),
    'torch, gather': lambda learn: of_torch(with_gather, learn),
}


def peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(peer: str, rows: int, learn: bool, repeats: int, path: str) -> dict:
    """Seconds of one run (the fastest), peak memory above the imports; the result into a file."""
    both, hand_over = PEERS[peer](learn)
    both(*(hand_over(a[:32]) for a in rows_and_atoms(32)))
    given, before = [hand_over(a) for a in rows_and_atoms(rows)], peak()
    both(*given)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        found, value = both(*given)
        seconds.append(time.perf_counter() - began)
    np.save(path, np.asarray(found))
    return {'seconds': min(seconds), 'peak_bytes': peak() - before, 'error': float(value)}


def in_its_own_process(peer: str, rows: int, learn: bool, repeats: int, path: str) -> dict:
    """`measure` in a fresh interpreter."""
    arguments = ['--peer', peer, '--rows', str(rows), '--repeats', str(repeats), '--path', path]
    command = [sys.executable, '-m', 'experiments.benchmarks.mp_sae', *arguments]
    command += ['--learn'] * learn
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def difference(path: str, other: str) -> dict:
    """How far two results are apart, and the share of rows that chose other atoms."""
    a, b = np.load(path), np.load(other)
    return {
        'largest_difference': float(np.abs(a - b).max()),
        'rows_with_other_atoms': float(np.mean(np.any((a != 0) != (b != 0), axis=1))),
    }


def main() -> None:
    """Prints a table and writes experiments/benchmarks/mp_sae.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, nargs='+', default=[1024, 4096])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--peer', choices=list(PEERS), help='measure this one, in this process')
    parser.add_argument('--learn', action='store_true')
    parser.add_argument('--path', default='')
    given = parser.parse_args()
    if given.peer:
        found = measure(given.peer, given.rows[0], given.learn, given.repeats, given.path)
        print(json.dumps(found))
        return
    results = {}
    for rows in given.rows:
        for learn in (False, True):
            task = 'value and gradient' if learn else 'codes'
            found = results.setdefault(str(rows), {})[task] = {}
            with tempfile.TemporaryDirectory() as folder:
                for number, peer in enumerate(PEERS):
                    path = os.path.join(folder, f'{number}.npy')
                    found[peer] = in_its_own_process(peer, rows, learn, given.repeats, path)
                    if not learn:
                        found[peer] |= difference(path, os.path.join(folder, '0.npy'))
                    ratio = found[peer]['seconds'] / found['jaxsep']['seconds']
                    found[peer]['times_jaxsep'] = ratio
                    print(f'{rows:>6} rows, {task:<18} {peer:<30} {found[peer]["seconds"]:.3f} s '
                          f'({ratio:.2f} x), {found[peer]["peak_bytes"] / 1e6:.0f} MB, '
                          f'error {found[peer]["error"]:.6f}', flush=True)  # fmt: skip
    versions = {name: importlib.metadata.version(name) for name in ('jax', 'torch')}
    sizes = {'width': WIDTH, 'atoms': ATOMS, 'steps': STEPS, 'cpus': os.cpu_count()}
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps({**sizes, 'rows': results, 'versions': versions}, indent=2) + '\n')


if __name__ == '__main__':
    main()
