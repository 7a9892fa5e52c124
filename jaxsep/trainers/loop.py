"""The training loop. It exists once, and reads in the order in which things happen."""

import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import jax
import optax

from jaxsep.errors import Interrupted, NonFiniteLoss
from jaxsep.method import Batch, Method
from jaxsep.trainers import hosts, records
from jaxsep.trainers import step as steps
from jaxsep.trainers.checkpoint import Checkpoints
from jaxsep.trainers.state import TrainState, begin, create, make_mesh


class Selection(NamedTuple):
    """Which checkpoint is best, and when to stop.

    Attributes:
      metric: name among the evaluation's results; '' for no selection.
      mode: 'max' or 'min'.
      patience: stop after this many evaluations without improvement; 0 for never.
      min_delta: an improvement is a change by more than this.
    """

    metric: str = ''
    mode: str = 'max'
    patience: int = 0
    min_delta: float = 0.0


class Result(NamedTuple):
    """The last state, the seconds of training until it was saved, the best step."""

    state: TrainState
    seconds: float
    best_step: int | None


def train(
    method: Method,
    optimizer: optax.GradientTransformation,
    batches: Callable[[int], Iterator[Batch]],
    *,
    workdir: pathlib.Path,
    num_steps: int,
    seed: int = 0,
    parallel: str = 'jit',
    num_devices: int = 0,
    log_every: int = 50,
    checkpoint_every: int = 1000,
    eval_every: int = 0,
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None,
    selection: Selection = Selection(),  # noqa: B008
    initial: Callable[[TrainState], TrainState] | None = None,
) -> Result:
    """Trains for `num_steps`, or goes on from the newest checkpoint in `workdir`.

    Losses are looked at every `log_every` steps and before every save, so that no
    step waits for the host and no checkpoint holds a state that came from NaN.

    Args:
      batches: start step -> iterator of host batches from there on; the batch of a
        step must depend on the step alone, which makes resuming exact.
      initial: changes the fresh state, for instance takes over earlier parameters.

    Raises:
      NonFiniteLoss: naming step, metric and last good checkpoint.
      Interrupted: on SIGTERM, after saving.
    """
    mesh = make_mesh(num_devices)
    stream = batches(0)
    example = next(stream)
    stream.close()
    check_divisible(len(example['index']) * jax.process_count(), mesh.size)
    fresh = create(method, optimizer, seed, example, mesh)
    fresh = begin(method, fresh if initial is None else initial(fresh), mesh)
    checkpoints = Checkpoints(workdir / 'checkpoints', selection.metric, selection.mode)
    progress = records.Progress(num_steps, quiet=not hosts.first())
    restored = checkpoints.restore(fresh, warn=progress.say)
    state, meta = restored or (fresh, {'seconds': 0.0, 'scores': []})
    first, scores = int(state.step), list(meta['scores'])
    before = spent = meta['seconds']
    if first:
        progress.say(f'resuming at step {first}')
    record = records.Records(workdir, first, quiet=not hosts.first())
    stream, last_saved = batches(first), first if first else None
    pending = []

    def flush():
        """Fetches the metrics of the steps since the last call; their means."""
        values = jax.device_get([metrics for _, metrics in pending])
        for (step, _), metrics in zip(pending, values, strict=True):
            for name in sorted(metrics, key=lambda name: name != 'loss'):
                if not math.isfinite(metrics[name]):
                    good = 'none was saved' if last_saved is None else f'step {last_saved}'
                    raise NonFiniteLoss(
                        f'{name} is {float(metrics[name])} at step {step}; last good checkpoint: {good}'
                    )
        pending.clear()
        return {name: float(sum(m[name] for m in values) / len(values)) for name in values[0]}

    try:
        with sigterm() as stopped:
            if first < num_steps and not exhausted(scores, selection):
                began = time.monotonic()
                compiler = {'jit': steps.compile_jit, 'pmap': steps.compile_pmap}[parallel]
                step = compiler(method, optimizer, state, example, mesh)
                progress.say(f'compiled in {time.monotonic() - began:.1f} s')
            progress.begin(first)
            began = time.monotonic()
            logged = (began, first)
            for done in range(first + 1, num_steps + 1):
                if exhausted(scores, selection):
                    progress.say(f'stopping at step {done - 1}: no better {selection.metric} '
                        f'in {selection.patience} evaluations')  # fmt: skip
                    break
                state, metrics = step(state, next(stream))
                pending.append((done, metrics))
                last = done == num_steps
                evaluating = evaluate is not None and eval_every and done % eval_every == 0
                stopping = stopped(done)  # read once: what is announced below was saved
                saving = last or done % checkpoint_every == 0 or stopping
                if not (done % log_every == 0 or saving or evaluating):
                    continue
                means = flush()
                now = time.monotonic()
                means['steps_per_second'] = (done - logged[1]) / max(now - logged[0], 1e-9)
                logged = (now, done)
                record.write(done, means)
                checkpoints.check()
                progress.update(done, {'loss': means['loss']})
                scored = {}
                if evaluating:
                    scored = {name: float(value) for name, value in evaluate(state).items()}
                    record.write(done, scored)
                    if selection.metric:
                        scores.append(scored[selection.metric])
                    progress.say(
                        f'step {done}  ' + '  '.join(f'{k} {v:.4f}' for k, v in scored.items())
                    )
                    logged = (time.monotonic(), done)
                if saving or (evaluating and selection.metric):
                    spent = before + time.monotonic() - began
                    checkpoints.save(state, {'seconds': spent, 'scores': scores}, scored)
                    last_saved = done
                if stopping and not last:
                    checkpoints.wait()
                    raise Interrupted(f'stopped by SIGTERM; step {done} is saved in {workdir}')
            jax.block_until_ready(state)
            checkpoints.wait()
        return Result(state, spent, checkpoints.best_step())
    finally:
        progress.close()
        stream.close()
        record.close()
        checkpoints.close()


def check_divisible(batch_size: int, num_devices: int) -> None:
    """ValueError where a global batch cannot be split evenly."""
    if batch_size % num_devices:
        raise ValueError(
            f'batch_size: {batch_size} rows cannot be split evenly over {num_devices} devices'
        )


def exhausted(scores: list[float], selection: Selection) -> bool:
    """True where the last `patience` scores brought no improvement over the best before."""
    if not selection.patience or len(scores) <= selection.patience:
        return False
    sign = 1.0 if selection.mode == 'max' else -1.0
    signed = [sign * score for score in scores]
    best = max(signed[: -selection.patience])
    return max(signed[-selection.patience :]) <= best + selection.min_delta


@contextmanager
def sigterm():
    """A function of the step: whether SIGTERM came, which does not end the process; main thread only.

    A signal that nobody answered by an exception is passed on, at the end, to whom it would have
    reached: what was to be saved first is saved by then. With several processes jax listens for
    it, and all of them hear of it at the same step.
    """
    if jax.process_count() > 1:
        yield hosts.stop_together
        return
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: event.is_set()
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield lambda _: event.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
    if event.is_set():
        signal.raise_signal(signal.SIGTERM)
