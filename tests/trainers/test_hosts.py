"""Two processes of two devices each do what one process with four does."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxsep import command_line, session
from jaxsep.data import source
from jaxsep.data.batches import batch_indices
from jaxsep.trainers import hosts
from tests.trainers import hosts_worker

ROOT = pathlib.Path(__file__).parents[2]


def two_processes(*arguments_of, tmp_path):
    """Starts both; each has two virtual devices and writes what it says to a file."""
    flags = os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=2')
    environment = {**os.environ, 'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)}
    started = []
    for i, arguments in enumerate(arguments_of):
        with (tmp_path / f'said{i}').open('w') as said:
            command = [sys.executable, *arguments]
            started.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said
                )
            )
    return started


def free_port():
    with socket.socket() as listening:
        listening.bind(('localhost', 0))
        return listening.getsockname()[1]


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [line['loss'] for line in lines if 'loss' in line]


def saved(tmp_path):
    return sorted(
        int(p.name) for p in (tmp_path / 'run' / 'checkpoints').glob('[0-9]*') if p.name.isdigit()
    )


def said(tmp_path, number):
    return (tmp_path / f'said{number}').read_text()


def both_ways(tmp_path_factory, *names):
    """The directories of one process and of two after the named runs of hosts_worker."""
    one, two = tmp_path_factory.mktemp('one'), tmp_path_factory.mktemp('two')
    for name in names:
        hosts_worker.run(name, one, num_devices=4)
    if (
        'crossed' in names
    ):  # two processes take up what one began: the run as it was after six steps
        shutil.copytree(one / 'crossed', two / 'crossed')
        shutil.rmtree(two / 'crossed' / 'checkpoints' / '12')
    worker, port = str(ROOT / 'tests' / 'trainers' / 'hosts_worker.py'), str(free_port())
    both = two_processes(
        *([worker, str(i), port, str(two), *names] for i in range(2)), tmp_path=two
    )
    codes = [process.wait(timeout=300) for process in both]
    assert codes == [0, 0], [said(two, i)[-3000:] for i in range(2)]
    return one, two


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    return both_ways(tmp_path_factory, 'jit', 'crossed')


@pytest.fixture(scope='module')
def more(tmp_path_factory):
    return both_ways(tmp_path_factory, 'pmap', 'fitted')


def same_losses(workdirs, name):
    one, two = (losses(workdir / name) for workdir in workdirs)
    assert len(one) == 4
    np.testing.assert_allclose(two, one, rtol=1e-5)


@pytest.mark.parametrize('name', ['jit', 'crossed'])
def test_losses_are_those_of_one_process_with_as_many_devices(done, name):
    same_losses(done, name)


@pytest.mark.slow
def test_losses_under_pmap_are_those_of_one_process_with_as_many_devices(more):
    same_losses(more, 'pmap')


def test_each_process_reads_its_part_of_every_batch_and_nothing_is_left_out(done):
    parts = [np.load(done[1] / f'rows{i}.npz') for i in range(2)]
    n = len(source.load(name='digits').splits['train'])
    for step, rows in enumerate(zip(*(part['indices'] for part in parts), strict=True)):
        np.testing.assert_array_equal(np.concatenate(rows), batch_indices(0, step, n, 8))
    for part in parts:
        np.testing.assert_array_equal(part['first'], batch_indices(0, 0, n, 8))


def test_two_processes_go_on_from_a_checkpoint_of_one(done):
    assert 'resuming at step 6' in said(done[1], 0)
    assert 'resuming' not in said(done[1], 1), 'one process speaks for all'


def test_one_process_goes_on_from_a_checkpoint_of_two(done, tmp_path):
    one, two = done
    shutil.copytree(two / 'jit', tmp_path / 'jit')
    shutil.rmtree(tmp_path / 'jit' / 'checkpoints' / '12')
    hosts_worker.run('jit', tmp_path)
    np.testing.assert_allclose(losses(tmp_path / 'jit'), losses(one / 'jit'), rtol=1e-5)


def test_what_two_processes_saved_is_read_by_each_of_them_and_by_one_bit_for_bit(done):
    two = done[1]
    _, variables = session.reopen(two / 'jit')['']
    for i in range(2):
        with np.load(two / f'jit{i}.npz') as theirs:
            for mine, name in zip(jax.tree.leaves(variables), theirs.files, strict=True):
                np.testing.assert_array_equal(mine, theirs[name])


@pytest.mark.slow
def test_what_two_processes_fitted_on_stages_is_what_one_fits(more):
    one, two = (json.loads((w / 'fitted' / 'results.json').read_text()) for w in more)
    assert one.keys() == two.keys()
    for name in one.keys() - {'seconds'}:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, err_msg=name)
    assert (more[1] / 'fitted' / 'report.html').stat().st_size > 1000


HEARTBEAT = 5


def started(tmp_path):
    """Two endless runs of the command line, after their first checkpoint."""
    command = [
        '-m', 'jaxsep.main', '--config=configs/separability/topological_separability.py:smoke',
        f'--workdir={tmp_path / "run"}', '--config.num_steps=1000000', '--config.log_every=10',
        '--config.checkpoint_every=50', '--config.eval_every=0', '--config.select.metric=',
        '--config.select.use=last', f'--coordinator=localhost:{free_port()}', '--num_processes=2',
        f'--heartbeat_seconds={HEARTBEAT}',
    ]  # fmt: skip
    both = two_processes(*([*command, f'--process_id={i}'] for i in range(2)), tmp_path=tmp_path)
    deadline = time.monotonic() + 200
    while not saved(tmp_path):
        assert time.monotonic() < deadline and both[0].poll() is None, said(tmp_path, 0)
        time.sleep(0.1)
    return both


def test_when_one_process_is_killed_the_other_ends_and_says_what_to_do(tmp_path):
    first, second = started(tmp_path)
    try:
        second.send_signal(signal.SIGKILL)
        assert first.wait(timeout=10 * HEARTBEAT) not in (0, None)
    finally:
        first.kill()
        second.kill()
    for i in range(2):
        deadline = time.monotonic() + 10  # the last words are said by a copy of the process
        while command_line.LOST not in said(tmp_path, i):
            assert time.monotonic() < deadline, said(tmp_path, i)
            time.sleep(0.1)


@pytest.mark.slow
def test_sigterm_to_one_process_makes_all_save_the_same_step_and_exit_0(tmp_path):
    first, second = started(tmp_path)
    try:
        second.send_signal(signal.SIGTERM)
        assert [first.wait(timeout=60), second.wait(timeout=60)] == [0, 0], said(tmp_path, 1)
    finally:
        first.kill()
        second.kill()
    stopped = saved(tmp_path)[-1]
    assert stopped % 50, 'saved where it was stopped'
    assert command_line.LOST not in said(tmp_path, 0) + said(tmp_path, 1)


def test_joining_nothing_is_refused_in_one_line():
    with pytest.raises(ValueError, match='--coordinator=auto: could not join the run'):
        hosts.join('auto')
