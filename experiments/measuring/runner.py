"""Runs benchmarks, each in a process of its own, and shows one table.

A benchmark is a module `experiments/benchmarks/<name>.py` with

    SIZES      {'full': {...}, 'quick': {...}}: the arguments of `measure`
    PACKAGES   distributions whose versions the numbers depend on
    measure(**sizes) -> Measured

It may raise `NotHere` where it cannot run: the others go on.
"""

import argparse
import ast
import importlib
import json
import pathlib
import time

from experiments.measuring import meters, processes, table

OWN_TO_TESTS = (
    'JAX_COMPILATION_CACHE_DIR',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS',
    'XLA_FLAGS',
)


def run(name: str, quick: bool, changed: dict) -> dict:
    """The content of a benchmark's JSON file."""
    module = importlib.import_module(f'experiments.benchmarks.{name}')
    sizes = module.SIZES['quick' if quick else 'full']
    for key in changed.keys() - sizes.keys():
        raise ValueError(f'--set: {name} has no size {key!r}, it has {", ".join(sizes)}')
    sizes = sizes | changed
    here = meters.environment(module.PACKAGES)
    began = time.monotonic()
    measured = module.measure(**sizes)
    return {
        'benchmark': name,
        'sizes': sizes,
        'rows': [table.as_json(row) for row in measured.rows],
        'details': measured.details,
        'environment': here,
        'seconds': round(time.monotonic() - began, 1),
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    known = table.names()
    parser = argparse.ArgumentParser(
        prog='python -m experiments.benchmarks',
        description='Measures jaxsep against its peers; ratios are jaxsep / peer. To give all of '
        'them fewer cores, run it under taskset.',
    )
    parser.add_argument('names', nargs='*', metavar='name', help=f'all if none: {", ".join(known)}')
    parser.add_argument('--quick', action='store_true', help='tiny sizes; nothing is written')
    parser.add_argument('--set', action='append', default=[], metavar='SIZE=VALUE',
                        help="another size, like --set 'rows=[512, 4096]'")  # fmt: skip
    parser.add_argument('--output', type=pathlib.Path, help='folder of the JSON files')
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in known:
            parser.error(f'no benchmark {name!r}; expected some of {", ".join(known)}')
    given.changed = {}
    for change in given.set:
        key, _, value = change.partition('=')
        try:
            given.changed[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            parser.error(f'--set {change}: expected SIZE=VALUE with a number, a string or a list')
    given.names = given.names or known
    return given


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 1 where a benchmark failed; one that cannot run here has not failed."""
    given = parse(argv)
    to_readme = given.output is None and not given.quick and not given.changed
    folder = table.FOLDER if to_readme else given.output
    # Full sizes are compiled as a user compiles them, and every time.
    environment = {} if given.quick else dict.fromkeys(OWN_TO_TESTS)
    measured, missing, failed = {}, {}, {}
    for number, name in enumerate(given.names, 1):
        processes.say(f'[{number}/{len(given.names)}] {name}')
        arguments = (name, given.quick, given.changed)
        try:
            found = processes.fresh(run, *arguments, environment=environment, show=True)
        except processes.NotHere as error:
            missing[name] = str(error)
        except processes.Failed as error:
            failed[name] = str(error)
        else:
            measured[name] = found
            processes.say(f'    {found["seconds"]:.0f} s')
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f'{name}.json').write_text(json.dumps(found, indent=2) + '\n')
    print(table.plain(table.rows_of(measured)))
    if measured:
        print(table.measured_with(measured))
    for name, why in missing.items():
        print(f'{name}: not measured, {why}')
    for name, why in failed.items():
        print(f'{name}: failed, {why}')
    if to_readme:
        table.write_readme()
    return 1 if failed else 0
