"""Do claims come out the same when networks compute in bfloat16? Whole experiments, run again.

    python -m experiments.bfloat16 contrastive/byol contrastive/contrastive_behaviour incremental/teen

Every run of the named experiments is repeated over the seeds with config.compute_dtype='bfloat16',
and compared with what experiments/<family>/<slug>.json says of float32: the verdict of each
comparison, and the mean of each compared metric, whose difference is shown as a multiple of the
spread over the seeds (the larger of the two). Two means of three seeds that differ by nothing
but chance lie within twice the spread in 95 of 100 cases or more.

Writes experiments/bfloat16.json.
"""

import argparse
import importlib
import json
import sys
import types

import numpy as np

from experiments.run import ROOT, compare, run_all, versions

WITHIN = 2.0
"""Multiples of the spread within which a mean counts as unchanged."""


def in_bfloat16(experiment) -> types.SimpleNamespace:
    """The experiment with every run computed in bfloat16."""
    runs = {
        name: {**spec, 'overrides': {**spec.get('overrides', {}), 'compute_dtype': 'bfloat16'}}
        for name, spec in experiment.RUNS.items()
    }
    given = {name: getattr(experiment, name) for name in dir(experiment) if name[0] != '_'}
    return types.SimpleNamespace(**{**given, 'RUNS': runs})


def against_float32(experiment, before: dict, values: dict) -> dict:
    """The compared metrics of every run in both precisions, and the verdicts.

    Args:
      before: the experiment's JSON, measured in float32.
      values: of `run_all`, measured in bfloat16.
    """
    sides = {
        (who, c['metric']) for c in experiment.COMPARISONS for who in (c['larger'], c['smaller'])
    }
    means = []
    for who, metric in sorted(side for side in sides if isinstance(side[0], str)):
        old, new = before['runs'][who]['metrics'][metric], values[who][metric]
        spread = max(old['spread'], float(np.std(new, ddof=1)))
        difference = float(np.mean(new)) - old['mean']
        means.append({
            'run': who, 'metric': metric, 'float32': old['values'], 'bfloat16': new,
            'difference': difference, 'spread': spread,
            'unchanged': bool(abs(difference) <= WITHIN * spread),
        })  # fmt: skip
    verdicts = [
        {'float32': old['verdict'], 'bfloat16': compare(c, values)['verdict']}
        for c, old in zip(experiment.COMPARISONS, before['comparisons'], strict=True)
    ]
    return {'means': means, 'verdicts': verdicts}


def main(arguments=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('names', nargs='+', help='<family>/<slug>')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    given = parser.parse_args(arguments)
    written = {'within': WITHIN, 'seeds': given.seeds, 'versions': versions(), 'experiments': {}}
    for name in given.names:
        experiment = importlib.import_module('experiments.' + name.replace('/', '.'))
        before = json.loads((ROOT / 'experiments' / f'{name}.json').read_text())
        values = run_all(in_bfloat16(experiment), name, given.seeds)
        found = written['experiments'][name] = against_float32(experiment, before, values)
        for row in found['means']:
            print(f'{name} {row["run"]} {row["metric"]}: {np.mean(row["float32"]):.4f} -> '
                  f'{np.mean(row["bfloat16"]):.4f} (spread {row["spread"]:.4f})')  # fmt: skip
        for verdict in found['verdicts']:
            print(f'{name}: {verdict["float32"]} -> {verdict["bfloat16"]}')
    (ROOT / 'experiments' / 'bfloat16.json').write_text(json.dumps(written, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
