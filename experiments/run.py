"""Runs an experiment over its seeds and writes what came out.

    python -m experiments.run contrastive/isogclr

An experiment is a module experiments/<family>/<slug>.py that states a claim as data:

    CLAIM        one sentence
    SOURCE       where the paper makes it
    RUNS         name -> {'config': 'configs/<family>/<slug>.py:small', 'overrides': {...}}
    COMPARISONS  list of {'metric', 'larger', 'smaller', 'margin'}; larger and smaller name a run,
                 or are a number; margin (default 0) is how much larger it must be

It may give SEEDED, the config keys that take the seed (('seed',) if not given), and
may define `measure(workdir) -> {metric: value}` for what only the run's files tell, and
`draw(figure, values)` for a plot of its own; `values[run][metric]` is a list over the seeds.

Runs that are finished are not run again: their results are read back.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import pathlib
import platform
import re
import sys
import time

import numpy as np

from jaxsep import __version__, configuration

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ('jax', 'flax', 'optax', 'numpy')


def load_config(spec: str, overrides: dict, seed: int, seeded=('seed',)):
    """The config 'path.py:argument' with dotted overrides and the seed put into its keys."""
    path, _, argument = spec.partition(':')
    found = importlib.util.spec_from_file_location('config', ROOT / path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    config = module.get_config(argument) if argument else module.get_config()
    config.update_from_flattened_dict({**overrides, **dict.fromkeys(seeded, seed)})
    return config


def run_all(experiment, name: str, seeds, say=print) -> dict:
    """values[run][metric] -> list over the seeds; 'seconds' of each run among the metrics."""
    from jaxsep import main

    values = {}
    total, done = len(experiment.RUNS) * len(seeds), 0
    for run, spec in experiment.RUNS.items():
        values[run] = {}
        for seed in seeds:
            seeded = getattr(experiment, 'SEEDED', ('seed',))
            config = load_config(spec['config'], spec.get('overrides', {}), seed, seeded)
            config.report = False
            workdir = ROOT / 'runs' / name / f'{run}-{seed}-{configuration.fingerprint(config)}'
            began, finished = time.monotonic(), workdir / 'results.json'
            if finished.exists():
                results = json.loads(finished.read_text())
            else:
                results = main.run(config, workdir)
            if hasattr(experiment, 'measure'):
                results = {**results, **experiment.measure(workdir)}
            for metric, value in results.items():
                values[run].setdefault(metric, []).append(value)
            done += 1
            say(f'[{done}/{total}] {run} seed {seed}: {time.monotonic() - began:.0f} s')
    return values


def compare(comparison: dict, values: dict) -> dict:
    """Paired differences over the seeds, and the verdict.

    holds: every seed's difference reaches the margin; does not hold: none does;
    undecided: some do.
    """
    metric, margin = comparison['metric'], comparison.get('margin', 0.0)

    def side(who):
        return np.asarray(values[who][metric] if isinstance(who, str) else who, float)

    differences = np.atleast_1d(side(comparison['larger']) - side(comparison['smaller']))
    reached = differences >= margin
    verdict = 'holds' if reached.all() else 'does not hold' if not reached.any() else 'undecided'
    return {
        **comparison,
        'margin': margin,
        'differences': differences.tolist(),
        'mean_difference': float(differences.mean()),
        'verdict': verdict,
    }


def overall(verdicts: list[str]) -> str:
    """One word for several comparisons: the weakest of them."""
    for verdict in ('does not hold', 'undecided'):
        if verdict in verdicts:
            return verdict
    return 'holds'


def summarise(experiment, values: dict, seeds) -> dict:
    """What is written to the experiment's JSON."""
    comparisons = [compare(c, values) for c in experiment.COMPARISONS]
    runs = {}
    for run, metrics in values.items():
        numbers = {
            metric: {
                'values': each,
                'mean': float(np.mean(each)),
                'spread': float(np.std(each, ddof=1)) if len(each) > 1 else 0.0,
            }
            for metric, each in metrics.items()
        }
        runs[run] = {**experiment.RUNS[run], 'metrics': numbers}
    first = comparisons[0]
    sides = [
        f'{who} {runs[who]["metrics"][first["metric"]]["mean"]:.3f}'
        if isinstance(who, str)
        else f'{who:.3f}'
        for who in (first['larger'], first['smaller'])
    ]
    verdict = overall([c['verdict'] for c in comparisons])
    return {
        'claim': experiment.CLAIM,
        'source': experiment.SOURCE,
        'verdict': verdict,
        'summary': f'{first["metric"]}: {sides[0]}, {sides[1]}; {verdict}',
        'seeds': list(seeds),
        'comparisons': comparisons,
        'runs': runs,
        'versions': versions(),
    }


def versions() -> dict[str, str]:
    """What the numbers of a JSON were measured with."""
    return {
        'jaxsep': __version__,
        'git': configuration.git_hash(),
        'python': platform.python_version(),
        **{p: importlib.metadata.version(p) for p in PACKAGES},
    }


def plot(experiment, name: str, values: dict) -> None:
    """experiments/<family>/<slug>.png: every value of the compared metrics, or the experiment's own."""
    from matplotlib.figure import Figure

    metrics = list(dict.fromkeys(c['metric'] for c in experiment.COMPARISONS))
    figure = Figure(figsize=(3.2 * max(len(metrics), 2), 3.2), layout='constrained')
    if hasattr(experiment, 'draw'):
        experiment.draw(figure, values)
    else:
        for axes, metric in zip(
            np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True
        ):
            for place, run in enumerate(values):
                numbers = values[run].get(metric, [])
                axes.plot([place] * len(numbers), numbers, 'o', alpha=0.7)
            axes.set_xticks(range(len(values)), list(values), rotation=30, ha='right')
            axes.set_title(metric, fontsize=9)
            axes.grid(alpha=0.3)
    figure.savefig(ROOT / 'experiments' / f'{name}.png', dpi=110)


def write_header(spec: str, run: dict, metric: str, seeds) -> None:
    """Puts the measured line into the docstring of the config the run was made from."""
    path = ROOT / spec.partition(':')[0]
    number, seconds = run['metrics'][metric], run['metrics']['seconds']['mean']
    line = (
        f'Measured: {metric} {number["mean"]:.3f} +- {number["spread"]:.3f}, '
        f'{seconds:.0f} s a run, seeds {", ".join(map(str, seeds))}'
    )
    text = path.read_text()
    path.write_text(re.sub(r'^Measured:.*$', lambda _: line, text, count=1, flags=re.MULTILINE))


def main(arguments=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('name', help='<family>/<slug>')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    given = parser.parse_args(arguments)
    if not (ROOT / 'experiments' / f'{given.name}.py').exists():
        known = sorted(f'{p.parent.name}/{p.stem}' for p in (ROOT / 'experiments').glob('*/*.py'))
        print(f'error: no experiment {given.name!r}; there are {", ".join(known)}', file=sys.stderr)
        return 2
    experiment = importlib.import_module('experiments.' + given.name.replace('/', '.'))
    values = run_all(experiment, given.name, given.seeds)
    summary = summarise(experiment, values, given.seeds)
    target = ROOT / 'experiments' / f'{given.name}.json'
    target.write_text(json.dumps(summary, indent=1) + '\n')
    plot(experiment, given.name, values)
    small = {'config': f'configs/{given.name}.py:small'}
    own = next(run for run, spec in experiment.RUNS.items() if spec == small)
    if given.seeds == [0, 1, 2]:
        spec = experiment.RUNS[own]['config']
        write_header(spec, summary['runs'][own], experiment.COMPARISONS[0]['metric'], given.seeds)
    print(summary['claim'])
    for c in summary['comparisons']:
        print(f'  {c["metric"]}: {c["larger"]} - {c["smaller"]} = {c["mean_difference"]:.4f} '
              f'(needs {c["margin"]}): {c["verdict"]}')  # fmt: skip
    return 0


if __name__ == '__main__':
    sys.exit(main())
