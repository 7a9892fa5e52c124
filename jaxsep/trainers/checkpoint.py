"""Checkpoints by orbax: the newest two and the best, restored bit-exactly."""

import pathlib
import time
from collections.abc import Callable

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from jaxsep.method import Batch, Estimator, Tree
from jaxsep.trainers import hosts
from jaxsep.trainers.state import TrainState, replicated


class Checkpoints:
    """Saves and restores training states in one directory.

    Args:
      metric, mode: which evaluation metric decides the best checkpoint ('' for none)
        and whether 'max' or 'min' of it is best. Newest and best are kept by policy:
        with a best-function alone the newest is deleted when it is not among the best.
    """

    def __init__(self, directory: pathlib.Path, metric: str = '', mode: str = 'max'):
        self._directory = pathlib.Path(directory).absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        keep = [policies.LatestN(2)]
        if metric:
            keep.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[metric],
                    reverse=mode == 'min',
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._best = dict(best_fn=lambda m: m[metric], best_mode=mode) if metric else {}
        self._options = lambda: ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(keep), **self._best
        )
        self._manager = ocp.CheckpointManager(self._directory, options=self._options())

    def steps(self) -> list[int]:
        """Saved steps, oldest first."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the best metric; None where none was recorded."""
        return self._manager.best_step() if self._best else None

    def save(self, state: TrainState, meta: dict, metrics: dict | None = None) -> None:
        """Writes in the background; a step that is already there is left as it is."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state._asdict()), meta=ocp.args.JsonSave(meta)
            ),
            metrics={name: float(value) for name, value in (metrics or {}).items()} or None,
        )

    def restore(
        self, like: TrainState, step: int | None = None, warn: Callable[[str], None] = print
    ) -> tuple[TrainState, dict] | None:
        """The newest state that can be read (or that of `step`), in the form of `like`.

        A truncated or unreadable newest checkpoint is reported through `warn`, moved aside
        (nothing is deleted), and the one before it is taken. None where there is no
        checkpoint at all; ValueError where there are some and none can be read.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        candidates = self.steps()[::-1] if step is None else [step]
        for candidate in candidates:
            try:
                loaded = self._manager.restore(
                    candidate,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(target), meta=ocp.args.JsonRestore()
                    ),
                )
                return TrainState(**loaded['state']), loaded['meta']
            except Exception as error:  # whatever a damaged file makes the readers raise
                if step is not None:
                    raise
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                warn(
                    f'checkpoint {candidate} cannot be read ({reason[:120]}); trying the one before'
                )
                self._move_aside(candidate)
        if candidates:
            raise ValueError(
                f'none of the checkpoints {candidates} in {self._directory} can be read'
            )
        return None

    def _move_aside(self, step: int) -> None:
        self._manager.close()
        if hosts.first():
            (self._directory / str(step)).rename(self._directory / f'unreadable-{step}')
        hosts.wait(f'checkpoint {step} aside')
        self._manager = ocp.CheckpointManager(self._directory, options=self._options())

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.wait_until_finished()
        self._manager.close()


def fit_once(
    estimator: Estimator, data: Batch, seed: int, directory: pathlib.Path
) -> tuple[Tree, float]:
    """What the estimator fits and the seconds it took; read back if it was fitted before.

    Fitting runs under jit, so compilation is part of the seconds. With several processes each
    fits all of the data by itself, on one device.
    """
    path = (pathlib.Path(directory) / 'fitted').absolute()
    everywhere = replicated(hosts.one_device_each())
    fit = jax.jit(estimator.fit, out_shardings=everywhere)
    key = jax.random.key(seed)
    with ocp.StandardCheckpointer() as checkpointer:
        if path.exists():
            shapes = jax.eval_shape(estimator.fit, key, data)
            like = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), shapes
            )
            kept = checkpointer.restore(path, {'fitted': like, 'seconds': 0.0})
            return hosts.local(kept['fitted']), kept['seconds']
        began = time.monotonic()
        fitted = jax.block_until_ready(fit(key, data))
        seconds = time.monotonic() - began
        checkpointer.save(path, {'fitted': fitted, 'seconds': seconds})
    return hosts.local(fitted), seconds
