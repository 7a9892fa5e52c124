"""Checkpoints by orbax: the newest two and the best, restored bit-exactly."""

import json
import pathlib
import time
from collections.abc import Callable

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from jaxsep.errors import NotRead
from jaxsep.method import Batch, Estimator, Tree
from jaxsep.trainers import checksums, hosts
from jaxsep.trainers.state import TrainState, replicated
from jaxsep.trainers.writing import writing


class Checkpoints:
    """Saves and restores training states in one directory.

    A checkpoint has its name, the step, only when it is whole: whatever ends the process, what
    has a number for a name can be restored. What a killed process left half-written is removed.

    Args:
      metric, mode: which evaluation metric decides the best checkpoint ('' for none)
        and whether 'max' or 'min' of it is best. Newest and best are kept by policy:
        with a best-function alone the newest is deleted when it is not among the best.
      read_only: nothing is made, removed or renamed; somebody else may be training there.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        metric: str = '',
        mode: str = 'max',
        read_only: bool = False,
    ):
        self._directory = pathlib.Path(directory).absolute()
        self._read_only = read_only
        self._saving = 0
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
            preservation_policy=policies.AnyPreservationPolicy(keep),
            temporary_path_class=checksums.Summed,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            **self._best,
        )
        with writing('checkpoints', self._directory.parent):
            self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        if not self._read_only:
            self._directory.mkdir(parents=True, exist_ok=True)
        for path in self._directory.glob('[0-9]*/metrics/metrics'):
            try:  # orbax reads them all when it opens, and stops where one is damaged
                json.loads(path.read_bytes())
            except ValueError as error:
                if self._read_only:
                    raise NotRead(f'{path} cannot be read') from error
                self._move_aside(path.parent)  # `restore` will miss it
        return ocp.CheckpointManager(self._directory, options=self._options())

    def steps(self) -> list[int]:
        """Saved steps, oldest first."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the best metric; None where none was recorded."""
        return self._manager.best_step() if self._best else None

    def save(self, state: TrainState, meta: dict, metrics: dict | None = None) -> None:
        """Writes in the background; a step that is already there is left as it is.

        Raises NotWritten where the save before, in the background, or the beginning of this one
        found no room.
        """
        self.wait()
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._saving = step
        with self._writing():
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

        A newest checkpoint that cannot be read, or is not as it was written, is reported through
        `warn`, and the one before it is taken; what could not be read is moved aside, not
        deleted. None where there is no checkpoint at all; NotRead where there are some and none
        can be read, or not that of `step`: they stay where they are.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        candidates = self.steps()[::-1] if step is None else [step]
        unreadable = []
        for candidate in candidates:
            try:
                checksums.check(self._directory / str(candidate))
                loaded = self._manager.restore(
                    candidate,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(target), meta=ocp.args.JsonRestore()
                    ),
                )
            except Exception as error:  # whatever a damaged file makes the readers raise
                reason = first_line(error)
                if step is not None:
                    raise NotRead(
                        f'checkpoint {step} in {self._directory} cannot be read ({reason})'
                    ) from error
                warn(f'checkpoint {candidate} cannot be read ({reason}); trying the one before')
                unreadable.append(candidate)
                continue
            if unreadable and not self._read_only:  # these steps can be saved again
                self._manager.close()
                self._move_aside(*(self._directory / str(step) for step in unreadable))
                self._manager = self._open()
            return TrainState(**loaded['state']), loaded['meta']
        if candidates:
            raise NotRead(f'none of the checkpoints {candidates} in {self._directory} can be read')
        return None

    def _move_aside(self, *paths: pathlib.Path) -> None:
        for path in paths if hosts.first() else ():
            move_aside(path)
        hosts.wait('moved aside')

    def wait(self) -> None:
        """Returns when everything saved so far is on disk; NotWritten where it could not be."""
        with self._writing():
            self._manager.wait_until_finished()

    def check(self) -> None:
        """Raises NotWritten where the save in the background has failed by now; does not wait."""
        if not self._manager.is_saving_in_progress():
            self.wait()

    def close(self) -> None:
        """Waits, and lets go of the directory even where the save failed."""
        try:
            self.wait()
        finally:
            with self._writing():
                self._manager.close()

    def _writing(self):
        return writing(f'step {self._saving}', self._directory.parent)


def fit_once(
    estimator: Estimator,
    data: Batch,
    seed: int,
    directory: pathlib.Path,
    warn: Callable[[str], None] = print,
) -> tuple[Tree, float]:
    """What the estimator fits and the seconds it took; read back if it was fitted before.

    Fitting runs under jit, so compilation is part of the seconds. With several processes each
    fits all of the data by itself, on one device. What cannot be read back is reported through
    `warn`, moved aside and fitted again, which gives the same.
    """
    directory = pathlib.Path(directory).absolute()
    if (directory / 'fitted').exists():
        try:
            return read_fitted(estimator, data, seed, directory)
        except NotRead as error:
            if hosts.first():
                warn(f'{error}; fitting again')
                move_aside(directory / 'fitted')
            hosts.wait('moved aside')
    fit = jax.jit(estimator.fit, out_shardings=replicated(hosts.one_device_each()))
    with writing('fitted', directory, 'nothing else is lost'), checkpointer() as saver:
        began = time.monotonic()
        fitted = jax.block_until_ready(fit(jax.random.key(seed), data))
        seconds = time.monotonic() - began
        saver.save(directory / 'fitted', {'fitted': fitted, 'seconds': seconds})
    return hosts.local(fitted), seconds


def read_fitted(
    estimator: Estimator, data: Batch, seed: int, directory: pathlib.Path
) -> tuple[Tree, float]:
    """What `fit_once` saved; NotRead where it is not as it was written."""
    path = pathlib.Path(directory).absolute() / 'fitted'
    everywhere = replicated(hosts.one_device_each())
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(estimator.fit, jax.random.key(seed), data),
    )
    try:
        checksums.check(path)
        with checkpointer() as reader:
            kept = reader.restore(path, {'fitted': like, 'seconds': 0.0})
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise NotRead(f'{path} cannot be read ({first_line(error)})') from error
    return hosts.local(kept['fitted']), kept['seconds']


def checkpointer() -> ocp.StandardCheckpointer:
    """Saves one tree, with checksums."""
    return ocp.StandardCheckpointer(temporary_path_class=checksums.Summed)


def move_aside(path: pathlib.Path) -> None:
    """Renames what cannot be read to unreadable-<name>, of which there may be several."""
    aside, number = path.with_name(f'unreadable-{path.name}'), 1
    while aside.exists():
        aside, number = path.with_name(f'unreadable-{path.name}-{number}'), number + 1
    path.rename(aside)


def first_line(error: Exception) -> str:
    """What an error says, in at most 120 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
