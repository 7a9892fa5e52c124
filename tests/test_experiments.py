"""The experiments: verdicts follow the numbers, and the numbers shown are the ones measured."""

import ast
import importlib
import json
import pathlib
import re

import pytest

from experiments import run, table
from jaxsep import catalog

ROOT = pathlib.Path(__file__).parents[1]
MEASURED = re.compile(
    r'^Measured: (\S+) (-?[\d.]+) \+- ([\d.]+), (\d+) s a run, seeds ([\d, ]+)$', re.M
)


@pytest.mark.parametrize(
    ('a', 'b', 'margin', 'verdict'),
    [
        ([3, 3, 3], [1, 1, 1], 1, 'holds'),
        ([3, 3, 3], [1, 1, 3], 1, 'undecided'),
        ([1, 1, 1], [1, 2, 3], 0.5, 'does not hold'),
        ([0.9, 0.8, 0.85], 0.8, 0, 'holds'),
    ],
)
def test_a_verdict_needs_every_seed(a, b, margin, verdict):
    values = {'a': {'m': a}, 'b': {'m': b}}
    smaller = b if isinstance(b, float) else 'b'
    found = run.compare(
        {'metric': 'm', 'larger': 'a', 'smaller': smaller, 'margin': margin}, values
    )
    assert found['verdict'] == verdict


def test_several_comparisons_are_as_good_as_the_weakest():
    assert run.overall(['holds', 'holds']) == 'holds'
    assert run.overall(['holds', 'undecided']) == 'undecided'
    assert run.overall(['undecided', 'does not hold']) == 'does not hold'


@pytest.mark.parametrize('name', catalog.names())
def test_every_method_has_an_experiment_that_was_run(name):
    experiment = importlib.import_module('experiments.' + name.replace('/', '.'))
    measured = json.loads((ROOT / 'experiments' / f'{name}.json').read_text())
    assert measured['claim'] == experiment.CLAIM and measured['source'] == experiment.SOURCE
    assert measured['seeds'] == [0, 1, 2]
    values = {
        which: {metric: numbers['values'] for metric, numbers in result['metrics'].items()}
        for which, result in measured['runs'].items()
    }
    again = [run.compare(c, values) for c in experiment.COMPARISONS]
    assert again == measured['comparisons']
    assert run.overall([c['verdict'] for c in again]) == measured['verdict']
    for which, result in measured['runs'].items():
        spec = json.loads(json.dumps(experiment.RUNS[which]))
        assert {k: result[k] for k in spec} == spec


@pytest.mark.parametrize('name', catalog.names())
def test_the_header_of_a_config_shows_the_measured_number(name):
    header = ast.get_docstring(ast.parse((ROOT / 'configs' / f'{name}.py').read_text()))
    found = MEASURED.search(header)
    assert found, f'configs/{name}.py: no line "Measured: ..." as the runner writes it'
    measured = json.loads((ROOT / 'experiments' / f'{name}.json').read_text())
    small = f'configs/{name}.py:small'
    own = (r for r in measured['runs'].values() if r['config'] == small and 'overrides' not in r)
    numbers = next(own)['metrics']
    metric, mean, spread, seconds, _ = found.groups()
    assert f'{numbers[metric]["mean"]:.3f}' == mean
    assert f'{numbers[metric]["spread"]:.3f}' == spread
    assert f'{numbers["seconds"]["mean"]:.0f}' == seconds


def test_the_readme_shows_the_table_of_the_measurements():
    readme = (ROOT / 'README.md').read_text()
    assert table.insert(readme, table.markdown(table.rows())) == readme


def test_an_unknown_experiment_is_named(capsys):
    assert run.main(['contrastive/nothing']) == 2
    assert "no experiment 'contrastive/nothing'" in capsys.readouterr().err
