"""How long a training step waits for its batch: a run of SimCLR as main does it.

The stream of batches is timed from outside: the share of the time from the first batch to the last that
the loop spends in asking for the next one.
"""

import pathlib
import tempfile
import time
from unittest import mock

from experiments.measuring.rows import Measured, Row
from experiments.run import load_config
from jaxsep import session
from jaxsep.data import batches, source

SIZES = {
    'full': {'config': 'configs/contrastive/simclr.py:small', 'steps': 150, 'repeats': 1},
    'quick': {'config': 'configs/contrastive/simclr.py:smoke', 'steps': 6, 'repeats': 1},
}
PACKAGES = ('jax', 'flax', 'optax', 'numpy')
GOAL = 0.05


class Timed:
    """A stream that notes when each batch was asked for and when it came."""

    def __init__(self, stream):
        self.stream, self.asked, self.came = stream, [], []

    def __iter__(self):
        return self

    def __next__(self):
        self.asked.append(time.perf_counter())
        batch = next(self.stream)
        self.came.append(time.perf_counter())
        return batch

    def close(self):
        """As of the stream."""
        self.stream.close()


def one_run(config: str, steps: int) -> dict:
    """Seconds of the steps of one run, and how many of them were spent waiting."""
    overrides = {'num_steps': steps, 'checkpoint_every': steps, 'report': False}
    loaded = load_config(config, overrides, seed=0)
    loaded.evals = {}
    streams, plain = [], batches.stream

    def stream(*arguments, **options):
        streams.append(Timed(plain(*arguments, **options)))
        return streams[-1]

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(batches, 'stream', stream):
        session.execute(session.prepare(loaded, source.load), pathlib.Path(folder))
    longest = max(streams, key=lambda each: len(each.came))
    # The first batch is read while nothing else happens, and the step after the last is not waited for.
    waited = sum(longest.came) - sum(longest.asked) - (longest.came[0] - longest.asked[0])
    seconds = longest.came[-1] - longest.came[0]
    return {
        'steps': len(longest.came) - 1,
        'seconds': seconds,
        'waited': waited,
        'rows': loaded.batch_size,
    }


def measure(config: str, steps: int, repeats: int) -> Measured:
    """The run that waited least."""
    runs = [one_run(config, steps) for _ in range(repeats)]
    best = min(runs, key=lambda run: run['waited'] / run['seconds'])
    share = best['waited'] / best['seconds']
    row = Row(
        'Waiting for data, share of a step',
        f'SimCLR on glyphs, {best["rows"]} rows, {best["steps"]} steps',
        f'the goal, {100 * GOAL:.0f} %',
        {'waiting': share},
        {'waiting': GOAL},
    )
    return Measured([row], {'config': config, 'runs': runs})
