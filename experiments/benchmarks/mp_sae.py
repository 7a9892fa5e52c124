"""Matching pursuit against PyTorch.

Sixteen steps of a pursuit of n rows of 384 numbers in 3840 atoms, float32: the encoder alone, and
value and gradient of the reconstruction error in the atoms. jaxsep chooses how correlations are
followed, or is told: through the inner products of the atoms ('gram'), or computed at each step
('direct'); PyTorch as the library of one of the authors does it (a one-hot matrix per step), and
written with gathered atoms. All get the same rows and atoms and must find the same codes. Each runs in
a process of its own.
"""

import pathlib
import tempfile

import numpy as np

from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'rows': [2048], 'atoms': 3840, 'repeats': 1},
    'quick': {'rows': [32], 'atoms': 64, 'repeats': 1},
}
PACKAGES = ('jax', 'torch')
WIDTH, STEPS = 384, 16


def rows_and_atoms(rows: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [rows, width] that are sparse in the atoms [atoms, width], with noise."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((count, WIDTH), np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x = 0.2 * rng.standard_normal((rows, WIDTH), np.float32)
    for _ in range(STEPS):
        x += (
            rng.uniform(0.5, 2, (rows, 1)).astype(np.float32)
            * atoms[rng.integers(count, size=rows)]
        )
    return x, atoms


def of_jaxsep(form: str, learn: bool):
    """(x, atoms) -> function that computes (codes or gradient, error)."""
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

    def prepare(*given):
        given = [jnp.asarray(each) for each in given]
        both = jax.jit(gradient if learn else encode).lower(*given).compile()
        return lambda: jax.block_until_ready(both(*given))

    return prepare


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

    def prepare(*given):
        given = [torch.from_numpy(each) for each in given]
        return lambda: run(*given)

    return prepare


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


def measure_peer(peer: str, rows: int, atoms: int, learn: bool, repeats: int, folder: str) -> dict:
    """Times and memory of one peer, and how far its codes are from those of the first."""
    prepare = PEERS[peer](learn)
    prepare(*rows_and_atoms(32, 64))()
    both = prepare(*rows_and_atoms(rows, atoms))
    times, memory, (found, error) = meters.timed_with_memory(both, repeats)
    result = {'time': times.fastest, 'memory': memory, 'error': float(error)}
    if not learn:
        path, found = pathlib.Path(folder) / 'codes.npy', np.asarray(found)
        if not path.exists():
            np.save(path, found)
        expected = np.load(path)
        result['largest_difference'] = float(np.abs(found - expected).max())
        other = np.any((found != 0) != (expected != 0), axis=1)
        result['rows_with_other_atoms'] = float(np.mean(other))
    return result | times.summary() | {'threads': meters.threads()}


def measure(rows: list[int], atoms: int, repeats: int) -> Measured:
    """All peers at all numbers of rows, without and with the gradient."""
    table, details = [], {}
    for count in rows:
        for learn in (False, True):
            task = 'value and gradient' if learn else 'codes'
            with tempfile.TemporaryDirectory() as folder:
                arguments = count, atoms, learn, repeats, folder
                found = processes.of_each(measure_peer, PEERS, *arguments)
            details.setdefault(str(count), {})[task] = found
            sizes = f'{count:,} rows of {WIDTH}, {atoms:,} atoms, {STEPS} steps'
            table += against(f'Matching pursuit, {task}', sizes, ('time', 'memory'), found)
    return Measured(table, details)
