"""Several processes that train together, one per host: how they meet, share and part.

Every process runs the same program on the same data; each holds its part of every batch, and
all of the state. What a process must not do alone is here; with one process all of it is free.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxsep.method import Tree


def join(
    coordinator: str,
    num_processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 60,
) -> None:
    """Meets the other processes; returns when all have come. Before any computation of jax.

    Args:
      coordinator: host:port of process 0, or 'auto' where jax finds out by itself (TPU pods,
        Slurm, Open MPI, Kubernetes).
      num_processes, process_id: of the run, and which of them this is; None with 'auto'.
      heartbeat_seconds: a process that is not heard of for so long is lost, and jax ends the others.

    Raises:
      ValueError: where nothing was found out, or where some did not come within five minutes.
    """
    given = (
        (None, None, None) if coordinator == 'auto' else (coordinator, num_processes, process_id)
    )
    try:
        jax.distributed.initialize(
            *given,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=heartbeat_seconds,
        )
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f'--coordinator={coordinator}: could not join the run ({reason})'
        ) from None


def share() -> dict[str, int]:
    """Which part of the rows is this process's, as the readers of jaxsep.data.batches take it."""
    return {'process_index': jax.process_index(), 'process_count': jax.process_count()}


def first() -> bool:
    """Whether this is the process that writes and speaks for all."""
    return jax.process_index() == 0


def everywhere(condition: bool) -> bool:
    """Whether it holds on every process, so that all take the same branch."""
    if jax.process_count() == 1:
        return condition
    return bool(np.all(multihost_utils.process_allgather(np.array(condition))))


def gather(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes, one after the other; each gives equally many."""
    if jax.process_count() == 1:
        return rows
    return multihost_utils.process_allgather(rows, tiled=True)


def wait(what: str) -> None:
    """Returns when every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def local(tree: Tree) -> Tree:
    """Replicated arrays of several processes as arrays of this one's memory."""
    return tree if jax.process_count() == 1 else jax.device_get(tree)


def one_device_each() -> Mesh:
    """The first device of every process: where what is computed once is computed by each."""
    chosen = {}
    for device in jax.devices():
        chosen.setdefault(device.process_index, device)
    return Mesh(np.asarray([chosen[p] for p in sorted(chosen)]), ('processes',))


def stop_together(step: int) -> bool:
    """Whether SIGTERM came to any process and this is the step at which all stop.

    Must be called by every process at every step; jax agrees on the step in the background.
    """
    return multihost_utils.reached_preemption_sync_point(step)
