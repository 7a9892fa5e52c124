"""How the command line answers: wrong flags in one line, results as a table."""

import contextlib
import logging as standard_logging
import os
import pathlib
import re
import signal
import sys
import warnings
from collections.abc import Iterator

from absl import flags, logging

from jaxsep import catalog

LOST = (
    'this process was ended, or another one of the run was lost (see above); start all of them '
    'again with the same commands: the run goes on from its last checkpoint'
)


def parse(argv: list[str]) -> list[str]:
    """Parses the flags; a wrong one is one line and exit code 2, not a traceback."""
    for path in re.findall(r'--config[= ]([^:\s]+)', ' '.join(argv)):
        if not pathlib.Path(path).exists():
            known = [str(p) for p in pathlib.Path('configs').glob('*/*.py')]
            sys.exit(fail(f'--config: no such file {path!r}{catalog.nearest(path, known)}', 2))
    try:
        rest = flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, ValueError, SyntaxError) as error:
        sys.exit(fail(meaning(error), 2))
    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # orbax tells every rename otherwise
        tell_once()
    return rest


def tell_once() -> None:
    """Errors of a save are told in one line, not also where orbax and TensorStore meet them.

    orbax logs what it raises; once one write has failed it does not wait for the others, and
    asyncio and TensorStore then tell of those, and Python of writes not begun. Nor is it told that
    a step between two evaluations is saved without the metric that the best one is chosen by.
    """

    def wanted(record):
        without_metric = 'tracked_metric' in str(record.msg)
        return 'orbax' not in record.pathname or not (record.exc_info or without_metric)

    logging.get_absl_logger().addFilter(wanted)
    standard_logging.getLogger('asyncio').setLevel(standard_logging.CRITICAL)
    warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)

    def tell(unraisable):
        if str(unraisable.exc_value) != 'Event loop is closed':
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = tell


def leave_on_sigterm(workdir) -> None:
    """SIGTERM ends the process with exit code 0, wherever it is: all that is written is whole.

    While something learns, the training loop listens instead, which saves first.
    """
    line = f'stopped by SIGTERM; what is saved in {workdir} stays, the same command goes on\n'

    def leave(*_):
        with contextlib.suppress(OSError):
            os.write(1, line.encode())
        os._exit(0)  # no clean-up: it could hang, and a SIGKILL would not give time for it either

    signal.signal(signal.SIGTERM, leave)


def meaning(error: Exception) -> str:
    """What an error of the flags, or of a config's overrides, says about them."""
    if isinstance(error, AttributeError | KeyError):
        meant = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', str(error))
        key = meant[2] if meant else re.search(r'\w+', str(error))[0]
        hint = f'; did you mean {meant[1]!r}?' if meant else ''
        return f'--config: the config has no key {key!r}{hint}'
    return re.sub(r'^\s*\w+Error: ', '', str(error).strip().splitlines()[-1])


def fail(message, code: int) -> int:
    """One line on stderr; returns the exit code."""
    print(f'error: {message}', file=sys.stderr)
    return code


def check_hosts(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """ValueError for flags of several processes that do not go together."""
    counted = {'--num_processes': num_processes, '--process_id': process_id}
    given = [name for name, value in counted.items() if value is not None]
    if not coordinator:
        if given:
            raise ValueError(f'{given[0]}: needs --coordinator=<host>:<port> (of process 0)')
        return
    if coordinator == 'auto':
        if given:
            raise ValueError(f'{given[0]}: found out by itself with --coordinator=auto')
        return
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdigit():
        raise ValueError(f"--coordinator: expected <host>:<port> or 'auto', got {coordinator!r}")
    if len(given) < 2:
        missing = next(name for name in counted if name not in given)
        raise ValueError(f'{missing}: needed with --coordinator={coordinator}')
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f'--process_id: expected 0 to {num_processes - 1} of --num_processes={num_processes}, '
            f'got {process_id}'
        )


@contextlib.contextmanager
def last_words(text: str) -> Iterator[None]:
    """Writes `text` to stderr if the process is ended from outside within the block.

    When one process of a run is lost, jax aborts the others where they are: no Python code runs
    any more. So a copy of this process, made before jax is imported, waits until it ends.
    """
    read, write = os.pipe()
    copy = os.fork()
    if not copy:
        os.close(write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not os.read(read, 1):
            os.write(2, text.encode())
        os._exit(0)
    os.close(read)
    try:
        yield
    finally:
        os.write(write, b'.')
        os.close(write)
        os.waitpid(copy, 0)


def summary(method: str, results: dict[str, float | int], workdir) -> str:
    """Results as aligned lines, and where the report is."""
    width = max(map(len, results))
    lines = [
        f'{key:<{width}}  {value:.4f}' if isinstance(value, float) else f'{key:<{width}}  {value}'
        for key, value in results.items()
    ]
    return '\n'.join(['', method, *lines, f'report: {workdir}/report.html'])
