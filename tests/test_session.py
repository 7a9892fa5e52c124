"""A finished run as Python objects."""

import json

import numpy as np
import pytest

from experiments.run import load_config
from jaxsep import main, session
from jaxsep.data import source


def staged():
    """Two small networks and what is fitted on the activations of both."""
    config = load_config('configs/separability/convergent_learning.py:smoke', {}, seed=0)
    config.report, config.num_steps, config.num_devices = False, 2, 1
    return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('staged')
    return workdir, main.run(staged(), workdir)


def test_a_reopened_run_gives_the_outputs_that_were_evaluated(finished):
    workdir, results = finished
    before = sorted(workdir.rglob('*'))
    stages = session.reopen(workdir)
    assert list(stages) == ['a', 'b', 'match']
    stage, fitted = stages['match']
    tables = session.outputs(stage, fitted, ('test',))
    again = session.evaluate(stage, tables, ('unit_matching',))
    assert again and again == {name: results[name] for name in again}
    assert stage.source.splits['train'].take(np.arange(3))['a/layer1'].shape == (3, 8)
    assert sorted(workdir.rglob('*')) == before, 'nothing is written'


def test_networks_started_from_other_seeds_differ(finished):
    (_, (a, _)), (_, (b, _)) = (session.reopen(finished[0])[name] for name in 'ab')
    assert not np.array_equal(a['layer1']['kernel'], b['layer1']['kernel'])


def test_the_best_checkpoint_is_read_where_the_config_selects_it(tmp_path):
    """Best is here the lowest accuracy, which is not that of the last step."""
    changes = {
        'num_steps': 16, 'eval_every': 4, 'checkpoint_every': 16, 'num_devices': 1, 'report': False,
        'evals_while_training': ('accuracy',), 'select.metric': 'test/accuracy',
        'select.mode': 'min', 'select.use': 'best',
    }  # fmt: skip
    name = 'configs/separability/topological_separability.py:smoke'
    results = main.run(load_config(name, changes, seed=0), tmp_path)
    stage, variables = session.reopen(tmp_path)['']
    again = session.evaluate(stage, session.outputs(stage, variables, ('test',)), ('accuracy',))
    assert again['test/accuracy'] == results['test/accuracy']
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    scores = [x['test/accuracy'] for x in map(json.loads, lines) if 'test/accuracy' in x]
    assert again['test/accuracy'] == min(scores) < scores[-1]


def with_column(name):
    """Digits as `source.load` gives them, and a target that is the row's number, twice."""

    def load_source(**options):
        given = source.load(**options)
        splits = {
            split: source.select(rows, np.arange(len(rows)), {name: pairs(len(rows))})
            for split, rows in given.splits.items()
        }
        return given._replace(splits=splits, targets={name: ()})

    return load_source


def pairs(n):
    return np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)


@pytest.mark.parametrize('name', ['true_boxes', 'embedding'])
def test_targets_stand_beside_the_outputs_unless_they_have_the_same_name(tmp_path, name):
    changes = {'num_steps': 1, 'num_devices': 1, 'report': False, 'evals': {}}
    config = load_config('configs/contrastive/supcon.py:smoke', changes, seed=0)
    (stage,) = session.prepare(config, with_column(name))
    _, variables, _ = session.learn_by_gradient(stage, tmp_path, None)
    if name == 'embedding':
        with pytest.raises(ValueError, match="names an output 'embedding', as the data a column"):
            session.outputs(stage, variables, ('test',))
        return
    table = session.outputs(stage, variables, ('test',))['test']
    np.testing.assert_array_equal(table[name], pairs(len(table['embedding'])))


def test_what_is_not_a_finished_run_is_named(finished, tmp_path):
    with pytest.raises(ValueError, match='workdir: expected the directory of a run'):
        session.reopen(tmp_path)
    (tmp_path / 'config.json').write_text((finished[0] / 'config.json').read_text())
    with pytest.raises(ValueError, match="workdir: stage 'a' has no checkpoint"):
        session.reopen(tmp_path)
    assert json.loads((tmp_path / 'config.json').read_text())['config']['num_steps'] == 2
