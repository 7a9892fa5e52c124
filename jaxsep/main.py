"""Flags -> config -> make -> train or fit -> evaluate -> report.

    python -m jaxsep.main --config=configs/contrastive/simclr.py:small --workdir=runs/simclr
    python -m jaxsep.main --list

Any key of the config can be overridden: --config.num_steps=200 --config.make.temperature=0.5
"""

import os
import pathlib

from absl import app, flags
from ml_collections import config_flags

from jaxsep import catalog, command_line, configuration
from jaxsep.errors import Interrupted, NonFiniteLoss

CONFIG = config_flags.DEFINE_config_file('config', None, 'Path of a config, with :argument.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Where results go; the same command resumes.')
LIST = flags.DEFINE_bool('list', False, 'Show every method with its paper, config and result.')


def prepare(config, workdir: str | os.PathLike) -> list:
    """The stages of a run; ValueError for wrong input, before anything is compiled."""
    stages = [stage for _, stage in configuration.stage_configs(config)]
    for stage in stages:
        configuration.check(stage)
    from jaxsep.data import source  # without jax: wrong data are told before jax is imported

    load = source.shared_load()
    for stage in stages:
        load(**configuration.plain(stage.data))
    from jaxsep import session

    prepared = session.prepare(config, load)
    configuration.claim(workdir, config)
    return prepared


def run(config, workdir: str | os.PathLike, stages: list | None = None) -> dict[str, float | int]:
    """Everything a config says, in a directory of its own; returns the results."""
    stages = stages or prepare(config, workdir)
    from jaxsep import session

    return session.execute(stages, pathlib.Path(workdir))


def main(argv):
    """The command line: exit code 0, 1 for a run that failed, 2 for wrong input."""
    config, workdir = CONFIG.value, WORKDIR.value
    if len(argv) > 1:
        return command_line.fail(f'unexpected argument {argv[1]!r}', 2)
    if LIST.value:
        return print(catalog.listing(pathlib.Path.cwd()))
    if config is None or workdir is None:
        return command_line.fail('--config and --workdir are needed (or --list); see --help', 2)
    try:
        stages = prepare(config, workdir)
    except (ValueError, ImportError, OSError) as error:
        return command_line.fail(error, 2)
    try:
        results = run(config, workdir, stages)
    except NonFiniteLoss as error:
        return command_line.fail(error, 1)
    except Interrupted as message:
        return print(message)
    return print(command_line.summary(config.method, results, workdir))


if __name__ == '__main__':
    app.run(main, flags_parser=command_line.parse)
