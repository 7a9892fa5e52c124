"""What a run writes while it goes: metrics.jsonl, TensorBoard events, a progress line."""

import io
import json
import pathlib
import sys
import time
from contextlib import suppress
from typing import IO

from jaxsep.trainers import events
from jaxsep.trainers.writing import write_whole, writing


class Records:
    """Appends metrics to <workdir>/metrics.jsonl, and to TensorBoard if it is installed.

    Raises NotWritten, naming the step, where the file system refuses.

    Args:
      start_step: finished steps. Lines of later steps, written by a run that was
        stopped before it saved them, are dropped: they will come again.
      quiet: nothing is written; for all processes of a run but one.
    """

    def __init__(self, workdir: pathlib.Path, start_step: int = 0, quiet: bool = False):
        self._quiet = quiet
        if quiet:
            return
        self._workdir = pathlib.Path(workdir)
        self._path = self._workdir / 'metrics.jsonl'
        with writing('metrics.jsonl', workdir):
            self._drop_after(start_step)
            self._file = self._path.open('a')
            self._events = events.open_events(self._workdir / 'events', start_step + 1)

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        kept = [line for line in read(self._path) if line['step'] <= step]
        write_whole(self._path, ''.join(json.dumps(line) + '\n' for line in kept))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        if self._quiet:
            return
        with writing(f'metrics.jsonl of step {step}', self._workdir):
            self._file.write(json.dumps({'step': step, **metrics}) + '\n')
            self._file.flush()
            if self._events is not None:
                self._events.write(step, metrics)

    def close(self) -> None:
        """Closes the files; what could not be written was told by `write`."""
        if self._quiet:
            return
        for close in (self._file.close, self._events and self._events.close):
            with suppress(OSError):
                close and close()


def read(path: pathlib.Path) -> list[dict]:
    """The lines of a metrics.jsonl; one that was cut off in writing, or damaged, is left out."""
    lines = []
    for line in pathlib.Path(path).read_text(errors='replace').splitlines():
        with suppress(json.JSONDecodeError):
            found = json.loads(line)
            if isinstance(found, dict) and 'step' in found:
                lines.append(found)
    return lines


class Progress:
    """A bar that redraws itself on a terminal, plain lines in a pipe.

    Shows the step, the share done, metrics, steps per second and the time left.

    Args:
      quiet: nothing is shown; for all processes of a run but one.
    """

    def __init__(
        self, total: int, stream: IO[str] | io.TextIOBase | None = None, quiet: bool = False
    ):
        self._total = total
        self._stream = io.StringIO() if quiet else stream or sys.stderr
        self._terminal = self._stream.isatty()
        self.begin(0)

    def begin(self, step: int) -> None:
        """Rates and times count from here."""
        self._start, self._began = step, time.monotonic()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        rate = (step - self._start) / max(time.monotonic() - self._began, 1e-9)
        left = (self._total - step) / max(rate, 1e-9)
        numbers = '  '.join(f'{name} {value:.4g}' for name, value in metrics.items())
        text = f'{step}/{self._total}  {numbers}  {rate:.2f} steps/s  {duration(left)} left'
        if self._terminal:
            filled = int(20 * step / max(self._total, 1))
            self._stream.write('\r\x1b[K' + '█' * filled + '░' * (20 - filled) + ' ' + text)
        else:
            self._stream.write(text + '\n')
        self._stream.flush()

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._stream.write(('\r\x1b[K' if self._terminal else '') + text + '\n')
        self._stream.flush()

    def close(self) -> None:
        if self._terminal:
            self._stream.write('\n')
            self._stream.flush()


def duration(seconds: float | int) -> str:
    """75 -> '1:15', 3675 -> '1:01:15'."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
