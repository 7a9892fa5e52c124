"""Runs a function in a fresh interpreter: its memory, its threads and its XLA flags are its own."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.measuring import meters

ROOT = pathlib.Path(__file__).parents[2]
NOT_TOLD = ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE')
"""NumPy's linear algebra finds these out by itself, on most machines."""
POOLS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


class Failed(Exception):
    """A function that did not end well; says in one line why."""


class NotHere(Exception):
    """What a benchmark raises where it cannot run: no GPU, no such package."""


def fresh(
    function: Callable,
    *arguments: Any,
    environment: Mapping[str, str | None] | None = None,
    show: bool = False,
) -> Any:
    """The result of a module's function in a process of its own; all of it must fit into JSON.

    Thread pools of all libraries get as many threads as the process has cores.

    Args:
      environment: variables to set beside those of this process; None takes one away.
      show: what the process writes to stderr is shown as it comes.

    Raises:
      NotHere: where the function said so, or a package is not installed.
      Failed: where it ended in another way.
    """
    name = f'{function.__module__}:{function.__name__}'
    command = [sys.executable, '-m', 'experiments.measuring.processes', name, json.dumps(arguments)]
    variables = os.environ | dict.fromkeys(POOLS, str(meters.cores())) | dict.fromkeys(NOT_TOLD)
    variables |= environment or {}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={key: value for key, value in variables.items() if value is not None},
    )
    told = done.stdout.splitlines()[-1:]
    if done.returncode == 0:
        return json.loads(told[0])
    if done.returncode == 1 and told:
        kind, reason = json.loads(told[0])
        raise (NotHere if kind == 'not here' else Failed)(reason)
    if 'allocate' in (done.stderr or ''):
        raise Failed('out of memory')
    raise Failed(f'exit code {done.returncode}')


def of_each(function: Callable, peers: Iterable[str], *arguments: Any) -> dict[str, dict]:
    """function(peer, *arguments) of each peer, one after the other: a dict, or {'failed': reason}.

    The first is jaxsep itself: where it fails, there is nothing to compare, and `Failed` is raised.
    """
    found = {}
    for peer in peers:
        try:
            found[peer] = fresh(function, peer, *arguments)
        except (Failed, NotHere) as error:
            if not found:
                raise
            found[peer] = {'failed': str(error)}
        told = found[peer].get('failed') or f'{found[peer]["time"]:.4f} s'
        sizes = ', '.join(str(each) for each in arguments if not isinstance(each, str))
        say(f'    {peer} ({sizes}): {told}')
    return found


def say(text: str) -> None:
    """Progress; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def reason(error: Exception) -> tuple[str, str]:
    """What went wrong: ('not here' | 'failed', one line)."""
    if isinstance(error, NotHere):
        return 'not here', str(error)
    if isinstance(error, ModuleNotFoundError):
        return 'not here', f'{error.name} is not installed'
    if isinstance(error, Failed):
        return 'failed', str(error)
    text = str(error).strip().partition('\n')[0]
    if isinstance(error, MemoryError) or 'allocate' in text or 'RESOURCE_EXHAUSTED' in text:
        return 'failed', 'out of memory'
    return 'failed', f'{type(error).__name__}: {text[:160]}'


def main(name: str, arguments: str) -> int:
    """Calls the function and prints its result, or why there is none, as the last line."""
    module, _, function = name.partition(':')
    try:
        result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
        told = json.dumps(result)
    except Exception as error:  # noqa: BLE001, told to the process that asked
        if not isinstance(error, NotHere | Failed | ModuleNotFoundError):
            traceback.print_exc()
        print(json.dumps(reason(error)))
        return 1
    print(told)
    return 0


if __name__ == '__main__':
    # By its own name: here it is another module, whose NotHere no benchmark raises.
    sys.exit(importlib.import_module('experiments.measuring.processes').main(*sys.argv[1:]))
