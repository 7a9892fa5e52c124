"""How soon the command line answers, beside the bare import of jax.

Each command runs in a process of its own, in turn: `--help`, `--list`, a wrong flag, a config without a
method of that name, and `python -c 'import jax'`.
"""

import subprocess
import sys

from experiments.measuring import meters
from experiments.measuring.processes import ROOT
from experiments.measuring.rows import Measured, against

SIZES = {'full': {'repeats': 5}, 'quick': {'repeats': 1}}
PACKAGES = ('jax', 'absl-py', 'ml-collections')
COMMANDS = {
    '--help': (['--help'], 1, 'Path of a config'),
    '--list': (['--list'], 0, 'contrastive/simclr'),
    'a wrong flag': (['--confg=configs/contrastive/simclr.py:small'], 2, 'error: '),
    'a wrong key': (
        ['--config=configs/contrastive/simclr.py:small', '--config.num_step=3', '--workdir=runs/x'],
        2,
        'did you mean',
    ),
}
"""Name -> (arguments, exit code, what the answer contains)."""


def answer(name: str) -> None:
    """Runs a command; ValueError where it does not answer as it should."""
    arguments, code, said = COMMANDS[name]
    command = [sys.executable, '-m', 'jaxsep.main', *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != code or said not in done.stdout + done.stderr:
        raise ValueError(f'{name}: expected exit code {code} and {said!r}, got {done}')


def import_jax() -> None:
    """A Python that imports jax and ends."""
    subprocess.run([sys.executable, '-c', 'import jax'], cwd=ROOT, check=True)


def measure(repeats: int) -> Measured:
    """All commands, in turn."""
    calls = {name: lambda name=name: answer(name) for name in COMMANDS}
    times = meters.in_turn({**calls, 'import jax': import_jax}, repeats)
    taken = {name: {'time': each.fastest, **each.summary()} for name, each in times.items()}
    table = []
    for name in COMMANDS:
        both = {'jaxsep': taken[name], "python -c 'import jax'": taken['import jax']}
        table += against(f'Command line, {name}', '', ('time',), both)
    return Measured(table, taken)
