"""What is written is whole or not there, and a file system that refuses is told in one line."""

import os
import pathlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jaxsep.errors import NotWritten


def refusal(error: BaseException) -> str | None:
    """What the operating system said where it refused to write; None for any other error.

    TensorStore raises ValueError with the number of the system's error in its text.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    number = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(number[1])) if number else None


def last_good(directory: pathlib.Path) -> str:
    """'step 40' for the newest checkpoint in a directory; they get their names when whole."""
    directory = pathlib.Path(directory)
    steps = [int(path.name) for path in directory.glob('[0-9]*') if path.name.isdigit()]
    return f'step {max(steps)}' if steps else 'none was saved'


@contextmanager
def writing(what: str, workdir: pathlib.Path, safe: str = '') -> Iterator[None]:
    """Raises NotWritten for a refusal of the file system inside; other errors pass.

    Args:
      what: the subject of the message, such as 'step 40'.
      workdir: where the run, or this stage of it, writes.
      safe: what is not lost; by default the newest checkpoint below `workdir`.
    """
    try:
        yield
    except Exception as error:
        reason = refusal(error)
        if reason is None:
            raise

        def kept():
            newest = last_good(pathlib.Path(workdir) / 'checkpoints')
            return safe or f'last good checkpoint: {newest}'

        raise NotWritten(f'{what} cannot be written in {workdir} ({reason})', kept) from error


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file under another name first; where that fails nothing of it stays."""
    path = pathlib.Path(path)
    temporary = path.with_suffix('.tmp')
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
