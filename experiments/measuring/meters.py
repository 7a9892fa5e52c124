"""The one timer and the one memory meter of the benchmarks, and what their numbers depend on."""

import ctypes
import gc
import importlib.metadata
import os
import pathlib
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxsep import __version__


class Times(NamedTuple):
    """Seconds of the runs of one call.

    Attributes:
      first: of the run that compiles or warms up; it is not among the others.
      seconds: of each run on the clock.
      processor: of each run on all cores together; they depend less on what else the machine does.
    """

    first: float
    seconds: list[float]
    processor: list[float]

    @property
    def fastest(self) -> float:
        """The number that is compared: other work on the machine can only add to a run."""
        return min(self.seconds)

    def summary(self) -> dict[str, float]:
        """For a JSON file."""
        return {
            'seconds': self.fastest,
            'median_seconds': statistics.median(self.seconds),
            'processor_seconds': min(self.processor),
            'first_seconds': self.first,
        }


def in_turn(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Runs each call once, then all of them `repeats` times, one after the other.

    So whatever else the machine does slows down all of them. A call returns when its result is there.
    """
    times = {name: Times(once(call)[0], [], []) for name, call in calls.items()}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds, processor, _ = once(call)
            times[name].seconds.append(seconds)
            times[name].processor.append(processor)
    return times


def timed_with_memory(call: Callable[[], Any], repeats: int) -> tuple[Times, int, Any]:
    """Times of one call, the bytes its first run needs (see `growth`), and its result."""
    memory, (first, _, result) = growth(lambda: once(call))
    times = Times(first, [], [])
    for _ in range(repeats):
        seconds, processor, _ = once(call)
        times.seconds.append(seconds)
        times.processor.append(processor)
    return times, memory, result


def once(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds on the clock, seconds on all cores together, and the result of one run."""
    worked, began = time.process_time(), time.perf_counter()
    result = call()
    return time.perf_counter() - began, time.process_time() - worked, result


def growth(call: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes by which the process grows while `call` runs, at the most; and its result.

    What is free is handed back before, so that nothing finds its memory there already. Linux forgets
    earlier peaks when asked; elsewhere what was larger before hides what comes after, and the number
    may be too small.
    """
    gc.collect()
    if sys.platform == 'linux' and hasattr(ctypes.CDLL(None), 'malloc_trim'):
        ctypes.CDLL(None).malloc_trim(0)
    forget = pathlib.Path('/proc/self/clear_refs')
    try:
        forget.write_text('5')
        before = resident('VmRSS')
    except OSError:
        before = largest()
    result = call()
    after = resident('VmHWM') if forget.exists() else largest()
    return max(after - before, 0), result


def resident(which: str) -> int:
    """Bytes of this process in memory, now ('VmRSS') or at the most ('VmHWM')."""
    for line in pathlib.Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{which}:'):
            return int(line.split()[1]) * 1024
    raise OSError(f'/proc/self/status: no line {which}')


def largest() -> int:
    """Bytes of this process in memory at the most since it started."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == 'darwin' else size * 1024


def cores() -> int:
    """Cores that this process may use: all of its peers get as many threads."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def threads() -> dict[str, int]:
    """Threads that the libraries loaded here would use; XLA uses all cores of the process."""
    found = {}
    if 'torch' in sys.modules:
        found['torch'] = sys.modules['torch'].get_num_threads()
    if 'threadpoolctl' in sys.modules:
        for pool in sys.modules['threadpoolctl'].threadpool_info():
            found[pool['prefix']] = pool['num_threads']
    return found


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """What times depend on: versions, cores, processor, and what else the machine does."""
    versions = {name: importlib.metadata.version(name) for name in packages if installed(name)}
    return {
        'versions': {'python': platform.python_version(), 'jaxsep': __version__, **versions},
        'cores': cores(),
        'processor': processor(),
        'load': round(os.getloadavg()[0], 2),
    }


def installed(package: str) -> bool:
    """Whether a distribution of that name is there."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def processor() -> str:
    """The name of the processor."""
    path = pathlib.Path('/proc/cpuinfo')
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
