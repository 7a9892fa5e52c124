"""Flags -> config -> make -> train or fit -> evaluate -> report.

    python -m jaxsep.main --config=configs/contrastive/simclr.py:small --workdir=runs/simclr
    python -m jaxsep.main --list

Any key of the config can be overridden: --config.num_steps=200 --config.make.temperature=0.5
"""

import os
import pathlib
import re
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from jaxsep import catalog, configuration
from jaxsep.errors import Interrupted, NonFiniteLoss

_CONFIG = config_flags.DEFINE_config_file('config', None, 'Path of a config, with :argument.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where results go; the same command resumes.')
_LIST = flags.DEFINE_bool('list', False, 'Show every method with its paper, config and result.')


def prepare(config, workdir: str | os.PathLike) -> list:
    """The stages of a run, checked; ValueError for wrong input, before anything is compiled.

    What can be seen without jax is looked at before jax is imported: the config, the
    arguments of the method, the data.
    """
    loaded = {}

    def load(**options):
        key = repr(options)
        if key not in loaded:
            loaded[key] = source.load(**options)
        return loaded[key]

    configs = [stage for _, stage in configuration.stage_configs(config)]
    for stage in configs:
        configuration.check(stage)
    from jaxsep.data import source

    for stage in configs:
        load(**configuration.plain(stage.data))
    from jaxsep import session

    stages = session.prepare(config, load)
    configuration.claim(workdir, config)
    return stages


def run(config, workdir: str | os.PathLike) -> dict[str, float | int]:
    """Everything a config says, in a directory of its own; returns the results."""
    stages = prepare(config, workdir)
    from jaxsep import session

    return session.execute(stages, pathlib.Path(workdir))


def table(results: dict[str, float | int]) -> str:
    """Results as aligned lines."""
    width = max(map(len, results))
    return '\n'.join(f'{k:<{width}}  {v:.4f}' if isinstance(v, float) else f'{k:<{width}}  {v}'
                     for k, v in results.items())  # fmt: skip


def main(argv):
    """The command line: exit code 0, 1 for a run that failed, 2 for wrong input."""
    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # orbax tells every rename otherwise
    if len(argv) > 1:
        return fail(f'unexpected argument {argv[1]!r}', 2)
    if _LIST.value:
        print(catalog.listing(pathlib.Path.cwd()))
        return 0
    if _CONFIG.value is None or _WORKDIR.value is None:
        return fail('--config and --workdir are needed (or --list); see --help', 2)
    try:
        stages = prepare(_CONFIG.value, _WORKDIR.value)
    except (ValueError, ImportError, OSError) as error:
        return fail(error, 2)
    from jaxsep import session

    try:
        results = session.execute(stages, pathlib.Path(_WORKDIR.value))
    except NonFiniteLoss as error:
        return fail(error, 1)
    except Interrupted as message:
        print(message)
        return 0
    print(f'\n{_CONFIG.value.method}\n{table(results)}\nreport: {_WORKDIR.value}/report.html')
    return 0


def parse(argv):
    """Parses the flags; a wrong one is one line and exit code 2, not a traceback."""
    for path in re.findall(r'--config[= ]([^:\s]+)', ' '.join(argv)):
        if not pathlib.Path(path).exists():
            known = [str(p) for p in pathlib.Path('configs').glob('*/*.py')]
            sys.exit(fail(f'--config: no such file {path!r}{catalog.nearest(path, known)}', 2))
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, ValueError, SyntaxError) as error:
        meant = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', str(error))
        if isinstance(error, AttributeError | KeyError):
            key = meant[2] if meant else re.search(r'\w+', str(error))[0]
            hint = f'; did you mean {meant[1]!r}?' if meant else ''
            sys.exit(fail(f'--config: the config has no key {key!r}{hint}', 2))
        sys.exit(fail(re.sub(r'^\s*\w+Error: ', '', str(error).strip().splitlines()[-1]), 2))


def fail(message, code: int) -> int:
    """One line on stderr."""
    print(f'error: {message}', file=sys.stderr)
    return code


if __name__ == '__main__':
    app.run(main, flags_parser=parse)
