"""How the command line answers: wrong flags in one line, results as a table."""

import pathlib
import re
import sys

from absl import flags, logging

from jaxsep import catalog


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
    return rest


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


def summary(method: str, results: dict[str, float | int], workdir) -> str:
    """Results as aligned lines, and where the report is."""
    width = max(map(len, results))
    lines = [
        f'{key:<{width}}  {value:.4f}' if isinstance(value, float) else f'{key:<{width}}  {value}'
        for key, value in results.items()
    ]
    return '\n'.join(['', method, *lines, f'report: {workdir}/report.html'])
