"""Whatever ends a run, the same command goes on and ends bit-equal to an undisturbed one.

Real processes: the slow tests start `python -m jaxsep.main` afresh each time, the quick ones
fork it from a process that has imported everything.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxsep import configuration

resource = pytest.importorskip('resource', reason='limits of processes are known to Unix only')
ROOT = pathlib.Path(__file__).parents[1]
PROC = pathlib.Path('/proc')
if not (PROC / 'self' / 'status').exists():
    pytest.skip('reads the state of processes in /proc', allow_module_level=True)

CONFIG = """
from configs.separability import topological_separability

def get_config(arg='smoke'):
    config = topological_separability.get_config('smoke')
    config.evals = dict(accuracy=dict(label='label'))
    config.evals_while_training = ('accuracy',)
    config.select.metric, config.select.mode = 'test/accuracy', 'max'
    config.num_steps, config.log_every, config.num_devices = 160, 1, 1
    config.eval_every, config.checkpoint_every, config.report = 40, 20, False
    return config
"""

FORKING = """
import json, os, signal, sys, threading
from absl import app
from jaxsep import catalog, command_line, main, session
from jaxsep.data import source
from jaxsep.evals import accuracy
catalog.load('separability/topological_separability')
source.load(name='digits', classes=(3, 8), test_fraction=0.5, seed=0)
assert threading.active_count() == 1, 'a process with threads cannot be forked'
print('ready', flush=True)
for line in sys.stdin:
    argv, log = json.loads(line)
    pid = os.fork()
    if not pid:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.argv = argv  # where the flags of a config look
        app.run(main.main, flags_parser=command_line.parse)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Run:
    """A process that does one run; what it prints goes to `log`."""

    def __init__(self, pid, wait, workdir, log):
        self.pid, self.wait, self.workdir, self.log = pid, wait, workdir, log

    def running(self):
        try:
            return (PROC / str(self.pid) / 'stat').read_text().rpartition(')')[2].split()[0] != 'Z'
        except FileNotFoundError:
            return False

    def listens(self):
        """Whether SIGTERM is caught: from the first lines of main on."""
        caught = re.search(r'SigCgt:\s*(\w+)', (PROC / str(self.pid) / 'status').read_text())
        return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)

    def says(self, text):
        return text in self.log.read_text()

    def training(self):
        return self.says('steps/s')

    def saving(self):
        """Whether a save is half-way, of a step that this process did."""
        half = (self.workdir / 'checkpoints').glob('*.orbax-checkpoint-tmp')
        return any(self.says(f'\n{path.name.partition(".")[0]}/') for path in half)

    def phase(self):
        """What the process is doing, or was when it died."""
        return 'saving' if self.saving() else 'training' if self.training() else 'starting'

    def until(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while self.running() and not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.0005)

    def kill(self, number):
        """Sends the signal; the exit code."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)
        return self.wait()


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """The folder of the config, and what all processes get: one device, one compilation cache."""
    folder = tmp_path_factory.mktemp('crashes')
    (folder / 'crash.py').write_text(CONFIG)
    given = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
    return folder, {
        **given,
        'XLA_FLAGS': '--xla_backend_optimization_level=0',
        'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
        'PYTHONPATH': str(ROOT),
    }


def arguments(folder, workdir, changes):
    flags = [f'--config.{key}={value}' for key, value in changes.items()]
    return [f'--config={folder / "crash.py"}', f'--workdir={workdir}', *flags]


@pytest.fixture(scope='module')
def start(environment):
    """start(workdir, before=(), log=None, /, **changes) -> Run of `python -m jaxsep.main`."""
    folder, env = environment

    def begin(workdir, before=(), log=None, /, **changes):
        log = log or workdir.with_suffix('.log')
        with log.open('w') as out:
            process = subprocess.Popen(
                [*before, sys.executable, '-m', 'jaxsep.main', *arguments(folder, workdir, changes)],
                cwd=ROOT, env=env, stdout=out, stderr=out,
            )  # fmt: skip
        return Run(process.pid, lambda: process.wait(120), workdir, log)

    return begin


@pytest.fixture(scope='module')
def fork(environment):
    """fork(workdir, **changes) -> Run, without the seconds that imports take."""
    folder, env = environment
    with subprocess.Popen(
        [sys.executable, '-c', FORKING],
        cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout.readline() == 'ready\n'

        def begin(workdir, log=None, /, **changes):
            log = log or workdir.with_suffix('.log')
            log.write_text('')  # it is looked at before the process has opened it
            argv = ['main', *arguments(folder, workdir, changes)]
            parent.stdin.write(json.dumps([argv, str(log)]) + '\n')
            parent.stdin.flush()
            pid = int(parent.stdout.readline())
            return Run(pid, lambda: int(parent.stdout.readline()), workdir, log)

        yield begin
        parent.stdin.close()


def finish(run):
    assert run.wait() == 0, run.log.read_text()
    return run.workdir


def final(workdir):
    """Every array of the last checkpoint, by its path, and the last step."""
    last = max(int(p.name) for p in (workdir / 'checkpoints').iterdir() if p.name.isdigit())
    with ocp.StandardCheckpointer() as reader:
        tree = reader.restore(workdir / 'checkpoints' / str(last) / 'state')
    return last, {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }


def numbers(leaf):
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def metrics(workdir):
    """The lines without the times."""
    lines = [json.loads(x) for x in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != 'steps_per_second'} for line in lines]


def results(workdir):
    found = json.loads((workdir / 'results.json').read_text())
    return {k: v for k, v in found.items() if k != 'seconds'}


def assert_same(one, other):
    """Step, params, extra, opt_state and key bit for bit; all metrics; the results."""
    (step, arrays), (other_step, others) = final(one), final(other)
    assert step == other_step and arrays.keys() == others.keys()
    assert any('opt_state' in name for name in arrays) and any('key' in name for name in arrays)
    for name, leaf in arrays.items():
        assert numbers(leaf).tobytes() == numbers(others[name]).tobytes(), name
    assert metrics(one) == metrics(other)
    assert results(one) == results(other)


def after_a_while(run, rng, _):
    """A checkpoint later, so that twenty runs come forward."""
    before = saved(run.workdir)
    run.until(lambda: saved(run.workdir) != before)
    time.sleep(rng.uniform(0, 0.2))


MOMENTS = {  # of a run, a random generator and the seconds until it trains
    'while it starts': lambda run, rng, seconds: time.sleep(rng.uniform(0, seconds)),
    'at a step': lambda run, rng, _: (run.until(run.training), time.sleep(rng.uniform(0, 0.1))),
    'at a save': lambda run, rng, _: (run.until(run.saving), time.sleep(rng.uniform(0, 0.03))),
    'as a save begins': lambda run, *_: run.until(run.saving),
    'after a while': after_a_while,
    'at a save after a while': lambda *given: (
        after_a_while(*given),
        given[0].until(given[0].saving),
    ),
}


SPARSE = {'num_steps': 3000, 'checkpoint_every': 100, 'eval_every': 100}
"""A run that does not save all the time."""


def kill_again_and_again(begin, workdir, kinds, rng, seconds, **changes):
    """SIGKILL at each of these moments; what was going on each time."""
    phases = []
    for kind in kinds:
        run = begin(workdir, **changes)
        MOMENTS[kind](run, rng, seconds)
        assert run.kill(signal.SIGKILL) == -signal.SIGKILL, run.log.read_text()
        phases.append(run.phase())
    return phases


def terminate_again_and_again(begin, workdir, kinds, rng, seconds, **changes):
    """SIGTERM at each of these moments: exit code 0, one line that says what is saved."""
    phases = []
    for kind in kinds:
        run = begin(workdir, **changes)
        run.until(run.listens)
        MOMENTS[kind](run, rng, seconds)
        phases.append(run.phase())
        assert run.kill(signal.SIGTERM) == 0, run.log.read_text()
        told, steps = run.log.read_text(), saved(workdir)
        assert told.count('stopped by SIGTERM') == 1 and 'Traceback' not in told
        assert not list((workdir / 'checkpoints').glob('*tmp')), 'no save was cut off'
        if phases[-1] != 'starting':
            assert f'step {steps[-1]} is saved in {workdir}' in told
            assert metrics(workdir)[-1]['step'] == steps[-1], 'nothing that was done is lost'
    return phases


def saved(workdir):
    return sorted(int(p.name) for p in (workdir / 'checkpoints').glob('*') if p.name.isdigit())


@pytest.fixture(scope='module')
def undisturbed(fork, tmp_path_factory):
    return finish(fork(tmp_path_factory.mktemp('undisturbed') / 'run'))


def test_the_same_seed_twice_is_bit_equal(fork, undisturbed, tmp_path):
    assert_same(finish(fork(tmp_path / 'again')), undisturbed)


@pytest.mark.slow
def test_another_seed_is_not_bit_equal(fork, undisturbed, tmp_path):
    other = finish(fork(tmp_path / 'other', seed=1))
    with pytest.raises(AssertionError):
        assert_same(other, undisturbed)


def test_killed_while_training_and_while_saving_it_ends_bit_equal(fork, undisturbed, tmp_path):
    kinds = ['at a step', 'as a save begins', 'as a save begins']
    phases = kill_again_and_again(fork, tmp_path / 'run', kinds, random.Random(0), 1)
    assert 'saving' in phases and 'starting' not in phases
    assert_same(finish(fork(tmp_path / 'run')), undisturbed)


def test_a_flipped_bit_in_the_newest_checkpoint_costs_its_steps_only(fork, undisturbed, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(undisturbed, workdir)
    path = max(
        (workdir / 'checkpoints' / '160').glob('state/*/d/*'), key=lambda p: p.stat().st_size
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run = fork(workdir)
    assert_same(finish(run), undisturbed)
    assert run.says('checkpoint 160 cannot be read') and run.says('resuming at step 140')


@pytest.mark.parametrize('place', ['/proc/jaxsep-run', 'file/run'])
def test_where_nothing_can_be_written_one_line_says_so_before_anything(fork, tmp_path, place):
    """Root may write anywhere but in /proc and below a file."""
    (tmp_path / 'file').write_text('not a directory')
    workdir = tmp_path / place
    run = fork(workdir, tmp_path / 'log')
    assert run.wait() == 2
    assert re.fullmatch(
        rf'error: --workdir: cannot write in {workdir} \(.+\)\n', run.log.read_text()
    )


@pytest.mark.parametrize('content', ['', '{"config": {"num_st', '[]', '{"config": 3}'])
def test_a_damaged_config_of_a_run_is_named(undisturbed, tmp_path, content):
    config = ml_collections.ConfigDict({'seed': 0})
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(ValueError, match='--workdir: .*config.json cannot be read .*; if the run'):
        configuration.claim(tmp_path, config)
    assert (tmp_path / 'config.json').read_text() == content


@pytest.mark.slow
def test_terminated_again_and_again_it_saves_and_ends_bit_equal(fork, undisturbed, tmp_path):
    kinds = ['while it starts', 'at a step', 'as a save begins']
    terminate_again_and_again(fork, tmp_path / 'run', kinds, random.Random(0), 1)
    assert_same(finish(fork(tmp_path / 'run')), undisturbed)


@pytest.mark.slow
def test_a_signal_after_the_last_step_waits_for_the_last_save(fork, undisturbed, tmp_path):
    """Answered in the loop, by whom it is passed on to, or after all was done."""
    run = fork(tmp_path / 'run')
    run.until(lambda: run.says('\n160/160'))
    assert run.kill(signal.SIGTERM) == 0
    assert saved(tmp_path / 'run')[-1] == 160
    assert_same(finish(fork(tmp_path / 'run')), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('log_every', 'limit', 'what'), [(1, 18_500, 'metrics.jsonl of step'), (20, 1000, 'step')]
)
def test_where_no_room_is_left_one_line_says_so_and_later_it_goes_on(
    fork, tmp_path, log_every, limit, what
):
    """Files cannot grow over a limit: that of the metrics after 130 steps, or those of a checkpoint.

    Where every step is logged, the metrics are the longest file. What the process says is in a
    file, too, and has to have room.
    """
    workdir, changes = tmp_path / 'run', {'log_every': log_every}
    run = fork(workdir, **changes)
    run.until(lambda: 40 in saved(workdir))
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert run.wait() == 1
    assert_told_once(run, what, 'File too large')
    assert_same(finish(fork(workdir, **changes)), finish(fork(tmp_path / 'whole', **changes)))


def assert_told_once(run, what, reason, kept=None):
    """One line names what, where, why and the newest checkpoint, which is whole."""
    told, kept = run.log.read_text(), kept or run.workdir
    errors = [x for x in told.splitlines() if not re.search(r'steps/s|compiled|^step|resum|^$', x)]
    expected = rf'error: {what} \d+ cannot be written in {run.workdir} \({reason}\)'
    assert len(errors) == 1 and re.match(expected, errors[0]), told
    assert errors[0].endswith(f'last good checkpoint: step {final(kept)[0]}'), told


@pytest.mark.slow
def test_twenty_kills_at_random_moments(start, tmp_path):
    rng, workdir, changes = random.Random(1), tmp_path / 'run', {**SPARSE, 'log_every': 5}
    kinds = [*MOMENTS, *MOMENTS, *MOMENTS, 'after a while', 'at a save after a while']
    rng.shuffle(kinds)
    phases = kill_again_and_again(start, workdir, kinds, rng, 3, **changes)
    print({phase: phases.count(phase) for phase in set(phases)}, 'at step', saved(workdir)[-1])
    assert phases.count('saving') >= 5 and phases.count('training') >= 4
    assert_same(finish(start(workdir, **changes)), finish(start(tmp_path / 'whole', **changes)))


@pytest.mark.slow
def test_twenty_times_sigterm_at_random_moments(start, tmp_path):
    rng, workdir, changes = random.Random(2), tmp_path / 'run', SPARSE
    kinds = [*MOMENTS, *MOMENTS, *MOMENTS, 'after a while', 'at a save after a while']
    rng.shuffle(kinds)
    phases = terminate_again_and_again(start, workdir, kinds, rng, 3, **changes)
    print({phase: phases.count(phase) for phase in set(phases)}, 'at step', saved(workdir)[-1])
    assert phases.count('saving') >= 3 and phases.count('training') >= 3
    assert_same(finish(start(workdir, **changes)), finish(start(tmp_path / 'whole', **changes)))


def mounted(script):
    """The start of a command whose process sees what the script mounts, as `before` of `start`."""
    before = ('unshare', '-rm', 'sh', '-c', f'{script} && exec "$@"', 'sh')
    try:
        subprocess.run([*before, 'true'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'nothing can be mounted here without privileges: {error}')
    return before


@pytest.fixture
def disk(tmp_path):
    """A file system of 2 MiB: where, `before` of a command that sees it and copies its run out."""
    folder, kept = tmp_path / 'disk', tmp_path / 'run'
    folder.mkdir()
    copy = f'"$@"; code=$?; cp -r {folder}/run {kept}; exit $code'
    return folder, (*mounted(f'mount -t tmpfs -o size=2m tmpfs {folder}'), 'sh', '-c', copy, 'sh')


def fill(run, folder, left, after):
    """Fills a file system that the process sees, up to so many bytes, when `after` is there."""
    seen = PROC / str(run.pid) / 'root' / folder.relative_to('/')
    run.until((seen / after).exists)
    state = os.statvfs(seen)
    (seen / 'ballast').write_bytes(b'x' * max(0, state.f_bavail * state.f_frsize - left))


@pytest.mark.slow
@pytest.mark.parametrize('left', [0, 4096, 8192, 16384, 32768, 65536])
def test_on_a_full_disk_the_last_checkpoint_is_intact(start, disk, undisturbed, tmp_path, left):
    """What is left has room for a part of the next checkpoint."""
    folder, before = disk
    run = start(folder / 'run', before, tmp_path / 'log')
    fill(run, folder, left, 'run/checkpoints/40')
    assert run.wait() == 1, run.log.read_text()
    assert_told_once(
        run, '(step|metrics.jsonl of step)', 'No space left on device', tmp_path / 'run'
    )
    assert_same(finish(start(tmp_path / 'run')), undisturbed)


@pytest.mark.slow
def test_on_a_full_disk_results_stay_without_a_report(start, disk, undisturbed, tmp_path):
    folder, before = disk
    run = start(folder / 'run', before, tmp_path / 'log', report=True)
    fill(run, folder, 0, 'run/results.json')
    assert run.wait() == 1, run.log.read_text()
    assert run.log.read_text().splitlines()[-1] == (
        f'error: report.html cannot be written in {folder}/run (No space left on device); '
        'what was learnt is saved, and the same command goes on from there'
    )
    assert not list((tmp_path / 'run').glob('report*'))
    assert_same(finish(start(tmp_path / 'run', report=True)), undisturbed)
    assert (tmp_path / 'run' / 'report.html').exists()


@pytest.mark.slow
def test_a_read_only_run_is_told_before_anything_is_compiled(start, undisturbed, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(undisturbed, workdir)
    bind = f'mount --bind {workdir} {workdir} && mount -o remount,bind,ro {workdir}'
    run = start(workdir, mounted(bind))
    assert run.wait() == 2
    assert run.log.read_text() == (
        f'error: --workdir: cannot write in {workdir} (Read-only file system)\n'
    )
