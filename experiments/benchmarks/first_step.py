"""From the command to the end of the first training step, and what compilation has to do with it.

The command is SimCLR on glyphs as main runs it, in a process of its own; its first step is done when its
metrics are written. The least: the import of jax, in a process of its own too, and the compilation of the
same step. Then the same with jax's persistent cache, which the environment variable
JAX_COMPILATION_CACHE_DIR turns on, after the same command has filled it.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from experiments.benchmarks.start_up import import_jax
from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against
from experiments.run import load_config

SIZES = {
    'full': {'config': 'configs/contrastive/simclr.py:small', 'repeats': 1},
    'quick': {'config': 'configs/contrastive/simclr.py:smoke', 'repeats': 1},
}
PACKAGES = ('jax', 'flax', 'optax')
MOST_SECONDS = 300


def step_and_arguments(config: str):
    """The training step of a config, jitted as main does it, its state and a batch."""
    import jax
    import numpy as np

    from jaxsep import session
    from jaxsep.data.source import load
    from jaxsep.trainers import state as states
    from jaxsep.trainers import step as steps

    loaded = load_config(config, {'num_devices': 1}, seed=0)
    (stage,) = session.prepare(loaded, load)
    batch = stage.source.splits['train'].take(np.arange(loaded.batch_size))
    optimizer = session.make_optimizer(loaded)
    state = states.create(stage.method, optimizer, 0, batch, stage.mesh)
    step = jax.jit(steps.make_step(stage.method, optimizer), donate_argnums=0)
    return step, state, states.place(batch, stage.mesh)


def compilation(config: str) -> dict:
    """Seconds to trace and to compile the step, with the persistent cache of the environment."""
    step, state, batch = step_and_arguments(config)
    tracing, _, traced = meters.once(lambda: step.lower(state, batch))
    return {'time': meters.once(traced.compile)[0], 'tracing_seconds': tracing}


def to_first_step(config: str, environment: Mapping[str, str] = {}) -> float:  # noqa: B006
    """Seconds from the command until the metrics of the first step are written."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'jaxsep.main', f'--config={config}', f'--workdir={folder}',
                   '--config.log_every=1', '--config.report=False']  # fmt: skip
        began, path = time.perf_counter(), pathlib.Path(folder) / 'metrics.jsonl'
        with open(os.devnull, 'w') as nowhere:
            run = subprocess.Popen(
                command,
                cwd=processes.ROOT,
                stdout=nowhere,
                stderr=nowhere,
                env=os.environ | environment,
            )
        try:
            while not (path.exists() and path.stat().st_size):
                if run.poll() is not None or time.perf_counter() - began > MOST_SECONDS:
                    raise ValueError(f'{" ".join(command)}: no first step, exit code {run.poll()}')
                time.sleep(0.005)
            return time.perf_counter() - began
        finally:
            run.kill()
            run.wait()


def measure(config: str, repeats: int) -> Measured:
    """The command beside the bare compilation, then both with a persistent cache."""
    ways = {'command': lambda: to_first_step(config), 'import jax': import_jax}
    times = meters.in_turn(ways, repeats)
    command, imported = (times[name].fastest for name in ways)
    with tempfile.TemporaryDirectory() as folder:
        cache = {
            'JAX_COMPILATION_CACHE_DIR': folder,
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        }
        cold, warm = (processes.fresh(compilation, config, environment=cache) for _ in range(2))
        to_first_step(config, cache)
        cached = to_first_step(config, cache)
    least = imported + cold['time']
    sizes = 'SimCLR on glyphs'
    told = {
        'From the command to the end of the first step': {
            'jaxsep': command, 'import jax and compile the same step': least,
        },
        'From the command to the end of the first step, persistent cache filled': {
            'jaxsep': cached, 'with no cache': command,
        },
        'Compilation of the step, persistent cache filled': {
            'jaxsep': warm['time'], 'with an empty cache': cold['time'],
        },
    }  # fmt: skip
    table = []
    for what, both in told.items():
        table += against(what, sizes, ('time',), {k: {'time': v} for k, v in both.items()})
    details = {'config': config, 'cold': cold, 'warm': warm, 'command_cached': cached}
    return Measured(table, details | {name: each.summary() for name, each in times.items()})
