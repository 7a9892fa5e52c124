"""Flags -> config -> make -> train or fit -> evaluate -> report.

    python -m jaxsep.main --config=configs/contrastive/simclr.py:small --workdir=runs/simclr
    python -m jaxsep.main --list

Any key of the config can be overridden: --config.num_steps=200 --config.make.temperature=0.5
On several hosts each runs the same command with --coordinator=auto (TPU pods, Slurm), or with
--coordinator=<host>:<port> --num_processes=<n> --process_id=<0 to n - 1>.
"""

import os
import pathlib
import traceback
from collections.abc import Callable

from absl import app, flags
from ml_collections import config_flags

from jaxsep import catalog, command_line, configuration
from jaxsep.errors import Interrupted, NonFiniteLoss, NotRead, NotWritten

CONFIG = config_flags.DEFINE_config_file('config', None, 'Path of a config, with :argument.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Where results go; the same command resumes.')
COORDINATOR = flags.DEFINE_string(
    'coordinator', None, "Several hosts: <host>:<port> of process 0, or 'auto' on a pod."
)
NUM_PROCESSES = flags.DEFINE_integer('num_processes', None, 'Several hosts: how many.')
PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Several hosts: which one this is, from 0.')
HEARTBEAT = flags.DEFINE_integer(
    'heartbeat_seconds', 60, 'Several hosts: one not heard of for so long is lost and ends the others.',
    lower_bound=1,
)  # fmt: skip
LIST = flags.DEFINE_bool('list', False, 'Show every method with its paper, config and result.')


def prepare(config, workdir: str | os.PathLike, join: Callable[[], None] | None = None) -> list:
    """The stages of a run; ValueError for wrong input, before anything is compiled.

    Args:
      join: meets the other processes of the run; called when this one has its data.
    """
    stages = [stage for _, stage in configuration.stage_configs(config)]
    for stage in stages:
        configuration.check(stage)
    from jaxsep.data import source  # without jax: wrong data are told before jax is imported

    load = source.shared_load()
    for stage in stages:
        load(**configuration.plain(stage.data))
    if join is not None:
        join()
    from jaxsep import session
    from jaxsep.trainers.hosts import first

    prepared = session.prepare(config, load)
    configuration.claim(workdir, config, write=first())
    return prepared


def run(config, workdir: str | os.PathLike, stages: list | None = None) -> dict[str, float | int]:
    """Everything a config says, in a directory of its own; returns the results."""
    stages = stages or prepare(config, workdir)
    from jaxsep import session

    return session.execute(stages, pathlib.Path(workdir))


def main(argv):
    """The command line: exit code 0, 1 for a run that failed, 2 for wrong input."""
    config, workdir = CONFIG.value, WORKDIR.value
    hosts = (COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    if len(argv) > 1:
        return command_line.fail(f'unexpected argument {argv[1]!r}', 2)
    if LIST.value:
        return print(catalog.listing(pathlib.Path.cwd()))
    if config is None or workdir is None:
        return command_line.fail('--config and --workdir are needed (or --list); see --help', 2)
    try:
        command_line.check_hosts(*hosts)
    except ValueError as error:
        return command_line.fail(error, 2)
    if not COORDINATOR.value:
        command_line.leave_on_sigterm(workdir)
        return attempt(config, workdir)
    with command_line.last_words(f'error: {command_line.LOST}\n'):
        return attempt(config, workdir, (*hosts, HEARTBEAT.value))


def attempt(config, workdir: str | os.PathLike, hosts: tuple | None = None) -> int:
    """One run from its config to its summary; returns the exit code."""

    def join():
        from jaxsep.trainers.hosts import join

        join(*hosts)

    try:
        stages = prepare(config, workdir, join if hosts else None)
    except (ValueError, ImportError, OSError) as error:
        return command_line.fail(error, 2)
    try:
        results = run(config, workdir, stages)
        done = command_line.summary(config.method, results, workdir)
    except (NonFiniteLoss, NotRead, NotWritten) as error:
        if hosts and isinstance(error, NotWritten):  # perhaps only here, and the others go on
            command_line.fail(error, 1)
            os._exit(1)
        return command_line.fail(error, 1)
    except Interrupted as message:
        done = str(message)
    except Exception as error:
        if hosts is None:
            raise
        traceback.print_exception(error)
        os._exit(1)  # the proper way out waits for the others; `last_words` are said
    from jaxsep.trainers.hosts import first

    if first():
        print(done)
    return 0


if __name__ == '__main__':
    app.run(main, flags_parser=command_line.parse)
