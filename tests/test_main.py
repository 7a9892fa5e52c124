"""The command line: wrong input is one clear line, before anything is compiled or written."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.run import load_config
from jaxsep import catalog, command_line, configuration, main

ROOT = pathlib.Path(__file__).parents[1]
SMOKE = 'configs/contrastive/simclr.py:smoke'
DIGITS = 'configs/separability/topological_separability.py:smoke'
FEW_EVALUATIONS = {
    'evals_while_training': ('accuracy',), 'select.metric': 'test/accuracy', 'select.mode': 'max',
}  # fmt: skip
NO_EVALUATIONS = {'evals_while_training': (), 'select.metric': '', 'select.use': 'last'}


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, '-m', 'jaxsep.main', *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def flags_of(changes):
    return [f'--config.{key}={value}' for key, value in changes.items()]


def smoke(**changes):
    return load_config(SMOKE, changes, seed=0)


def digits(changes=NO_EVALUATIONS, **more):
    """A small network on vectors: compiled in a second."""
    return load_config(DIGITS, {**changes, **more}, seed=0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--config=configs/contrastive/simclrr.py:small'], "no such file 'configs/contrastive/simclrr.py'; did you mean 'configs/contrastive/simclr.py'"),
        ([f'--config={SMOKE}', '--config.nmu_steps=3'], "the config has no key 'nmu_steps'; did you mean 'num_steps'?"),
        ([f'--config={SMOKE}', '--config.make.temprature=3'], "the config has no key 'temprature'; did you mean 'temperature'?"),
        ([f'--config={SMOKE}', '--config.num_steps=many'], "invalid literal for int() with base 10: 'many'"),
        (['--config=configs/contrastive/simclr.py:smal'], "arg: expected 'smoke', 'small' or 'full', got 'smal'"),
        ([f'--config={SMOKE}', '--config.method=contrastive/simclrr'], "there is no method 'contrastive/simclrr'; did you mean 'contrastive/simclr'"),
        ([f'--config={SMOKE}', '--config.compute_dtype=float16'], "config.compute_dtype: expected 'float32' or 'bfloat16', got 'float16'"),
        ([f'--config={SMOKE}', '--num_processes=2'], '--num_processes: needs --coordinator=<host>:<port>'),
        ([f'--config={SMOKE}', '--config.parallel=tpu'], "config.parallel: expected 'jit' or 'pmap', got 'tpu'"),
        (['--confg=x'], "Unknown command line flag 'confg'"),
        ([], '--config and --workdir are needed'),
    ],
)  # fmt: skip
def test_a_wrong_command_is_answered_in_one_line_without_jax(arguments, message, tmp_path):
    workdir = tmp_path / 'run'
    wanted = [*arguments, f'--workdir={workdir}'] if arguments else []
    done = command(*wanted, env={**os.environ, 'PYTHONPROFILEIMPORTTIME': '1'})
    errors = [line for line in done.stderr.splitlines() if not line.startswith('import time:')]
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr and len(errors) <= 2
    assert not [x for x in done.stderr.splitlines() if x.endswith(('| jax', '| flax'))]
    assert not workdir.exists()


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (('auto', None, 0), '--process_id: found out by itself with --coordinator=auto'),
        (('host', 2, 0), "--coordinator: expected <host>:<port> or 'auto', got 'host'"),
        (('a:1', 2, None), '--process_id: needed with --coordinator=a:1'),
        (('a:1', 2, 2), '--process_id: expected 0 to 1 of --num_processes=2, got 2'),
    ],
)
def test_flags_of_several_hosts_that_do_not_go_together_are_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        command_line.check_hosts(*flags)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'batch_size': 100_000}, 'batch_size: 100000 is larger than the data'),
        ({'batch_size': 12}, 'batch_size: 12 rows cannot be split evenly over 8 devices'),
        ({'data.name': 'glyhps'}, "unknown data set 'glyhps': did you mean glyphs"),
        ({'data': {'name': 'npz:/nowhere.npz'}}, 'nowhere.npz'),
        ({'method': 'sparse/sae'}, "config.method: there is no method 'sparse/sae'"),
        ({'evals': {'retrival': {}}}, "config.evals: no evaluation 'retrival'; did you mean 'retrieval'"),
        ({'evals': {'knn': {'neighbours': 3}}}, "config.evals.knn: knn has no argument 'neighbours'"),
        ({'make': {'temp': 3}}, "config.make: contrastive/simclr has no argument 'temp'; did you mean 'temperature'"),
        ({'make': {'temperature': 0.1}}, "config.make: contrastive/simclr needs the argument 'augment'"),
        ({'make.augment': {'twirl': {}}}, "unknown augmentation 'twirl'"),
        ({'make.encoder': {'name': 'vgg'}}, "encoder.name: expected one of"),
        ({'select.metric': 'test/x'}, 'config.select.metric: needs config.eval_every'),
        ({'optimizer.name': 'adamm'}, "optax has no optimizer 'adamm'; did you mean 'adam'"),
        ({'stages': ({'num_steps': 3},)}, 'config.stages.0.: needs a name of its own'),
        ({'stages': ({'name': 'a', 'nmu_steps': 3},)}, "no key 'nmu_steps'; did you mean 'num_steps'"),
        ({'num_devices': 9}, 'num_devices: expected 0 .all. to 8, got 9'),
    ],
)  # fmt: skip
def test_wrong_configs_are_named_before_the_workdir_is_made(changes, message, tmp_path):
    config = smoke()
    for key, value in changes.items():
        parent, _, last = key.rpartition('.')
        target = config[parent] if parent else config
        if isinstance(value, dict):
            del target[last]
        target[last] = value
    with pytest.raises(ValueError, match=message):
        main.prepare(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_method_that_takes_no_axis_name_refuses_pmap(monkeypatch):
    entry = catalog.describe('contrastive/simclr')
    keywords = {k: v for k, v in entry.keywords.items() if k != 'axis_name'}
    monkeypatch.setattr(catalog, 'describe', lambda name: entry._replace(keywords=keywords))
    with pytest.raises(ValueError, match='does not run under pmap .its make takes no axis_name.'):
        configuration.check(smoke(parallel='pmap'))


def test_a_workdir_belongs_to_one_config(tmp_path):
    main.prepare(digits(), tmp_path)
    main.prepare(digits(), tmp_path)
    with pytest.raises(ValueError, match='belongs to another config .num_steps: 16 there, 17 here'):
        main.prepare(digits(num_steps=17), tmp_path)
    about = json.loads((tmp_path / 'config.json').read_text())
    assert about['config']['num_steps'] == 16 and about['jaxsep']


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """One smoke run on the command line, with its report."""
    workdir = tmp_path_factory.mktemp('smoke')
    done = command(f'--config={DIGITS}', f'--workdir={workdir}', *flags_of(FEW_EVALUATIONS))
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_a_run_leaves_results_metrics_checkpoints_and_a_report(finished):
    workdir, done = finished
    results = json.loads((workdir / 'results.json').read_text())
    assert 0 <= results['test/accuracy'] <= 1
    assert 'test/accuracy' in done.stdout and 'report.html' in done.stdout
    assert '16' in [p.name for p in (workdir / 'checkpoints').iterdir()]
    html = (workdir / 'report.html').read_text()
    assert html.lstrip().lower().startswith('<!doctype html>') and 'test/accuracy' in html
    assert 'http://' not in html.replace('http://www.w3.org', '') and '<script src' not in html


def test_progress_is_plain_lines_in_a_pipe(finished):
    _, done = finished
    assert '\r' not in done.stderr
    assert '16/16  loss' in done.stderr and 'steps/s' in done.stderr


def test_the_same_run_again_trains_nothing_and_gives_the_same_results(tmp_path):
    config = digits(num_steps=2, log_every=1, report=False, num_devices=1)
    config.evals = {'accuracy': {'label': 'label'}}
    first = main.run(config, tmp_path)
    metrics = (tmp_path / 'metrics.jsonl').read_text()
    assert main.run(config, tmp_path) == first
    assert (tmp_path / 'metrics.jsonl').read_text() == metrics


def test_sigterm_saves_and_exits_0_and_the_command_goes_on(tmp_path):
    arguments = [f'--config={DIGITS}', f'--workdir={tmp_path}',
                 *flags_of({'num_steps': 100_000, 'report': False, **NO_EVALUATIONS})]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, '-m', 'jaxsep.main', *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / 'metrics.jsonl'
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert 'stopped by SIGTERM' in out
    saved = [p.name for p in (tmp_path / 'checkpoints').iterdir() if p.name.isdigit()]
    assert saved and f'step {saved[-1]} is saved' in out


def test_list_shows_every_method():
    shown = command('--list').stdout
    for name in catalog.names():
        assert name in shown
    assert 'Chen et al., 2020' in shown


def test_parameters_pass_from_stage_to_stage(tmp_path):
    def losses(workdir):
        lines = (workdir / 'metrics.jsonl').read_text().splitlines()
        return [json.loads(line)['loss'] for line in lines]

    config = digits(log_every=1, report=False, num_devices=1)
    config.evals = {'accuracy': {'label': 'label'}}
    alone = config.copy_and_resolve_references()
    alone.num_steps, alone.seed = 2, 1
    config.stages = (
        {'name': 'first', 'num_steps': 4},
        {'name': 'second', 'num_steps': 2, 'seed': 1},
    )
    main.run(config, tmp_path)
    main.run(alone, tmp_path / 'alone')
    assert (tmp_path / 'first' / 'checkpoints' / '4').exists()
    assert (tmp_path / 'second' / 'checkpoints' / '2').exists()
    assert losses(tmp_path / 'second')[0] < losses(tmp_path / 'alone')[0], (
        'the second stage starts from the parameters of the first'
    )


def test_own_arrays_train(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / 'mine.npz', image=image, label=np.arange(64) % 4)
    config = digits(num_steps=2, log_every=1, report=False, num_devices=1)
    config.data = {'name': f'npz:{tmp_path / "mine.npz"}'}
    config.evals = {'knn': {'label': 'label'}}
    assert 0 <= main.run(config, tmp_path / 'run')['test/knn_accuracy'] <= 1
