"""What each of two processes does in test_hosts.py.

Its arguments: its number, the port, the directory, the names of runs.
"""

import pathlib
import sys

import jax
import numpy as np

from experiments.run import load_config
from jaxsep import main, session
from jaxsep.data import batches, source
from jaxsep.trainers import hosts, state

INFO_NCE = 'configs/contrastive/contrastive_behaviour.py:smoke'
FEW = {'num_steps': 12, 'checkpoint_every': 6, 'log_every': 3, 'report': False}
RUNS = {
    'jit': (INFO_NCE, FEW),
    'crossed': (INFO_NCE, FEW),
    'pmap': (INFO_NCE, {**FEW, 'parallel': 'pmap'}),
    'fitted': (
        'configs/separability/convergent_learning.py:smoke',
        {'num_steps': 2, 'report': True},
    ),
}
"""Name -> config and changes; the same runs are done by one process with four devices."""


def run(name, workdir, **more):
    """One of the runs in a directory of its own."""
    path, changes = RUNS[name]
    return main.run(load_config(path, {**changes, **more}, seed=0), workdir / name)


def read(workdir):
    """Writes down which rows this process read, and how they lie in the global batch."""
    rows = source.load(name='digits').splits['train']
    mine = batches.stream(rows, seed=0, batch_size=8, num_steps=5, **hosts.share())
    indices = np.stack([batch['index'] for batch in mine])
    placed = state.place({'index': indices[0]}, state.make_mesh())['index']
    together = hosts.gather(indices[0])
    parts = {s.index[0].start or 0: np.asarray(s.data) for s in placed.addressable_shards}
    for start, part in parts.items():
        np.testing.assert_array_equal(part, together[start : start + len(part)])
    np.savez(workdir / f'rows{hosts.share()["process_index"]}.npz', indices=indices, first=together)
    assert hosts.everywhere(True) and not hosts.everywhere(hosts.first())


if __name__ == '__main__':
    number, port, directory = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    hosts.join(f'localhost:{port}', 2, number)
    read(directory)
    for each in sys.argv[4:]:
        run(each, directory)
        *_, (_, variables) = session.reopen(directory / each).values()
        np.savez(directory / f'{each}{number}.npz', *jax.tree.leaves(hosts.local(variables)))
