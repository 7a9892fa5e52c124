"""What changes while training, and where it lives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsep.method import Batch, Method, Tree

AXIS = 'devices'
COMPILED_QUICKLY = {
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
}
"""Options of XLA on CPUs for a program that runs once."""


class TrainState(NamedTuple):
    """Everything a resumed run needs. Batches are a function of (seed, step)."""

    step: jax.Array  # finished steps, int32
    params: Tree
    extra: Tree
    opt_state: Tree
    key: jax.Array  # never changes; step t draws from fold_in(key, t)


def make_mesh(num_devices: int = 0) -> Mesh:
    """The first `num_devices` devices (0: all) along one automatic axis, those of a process together.

    Raises ValueError where fewer exist, or where not all are wanted of several processes. `Mesh`
    has automatic axes: the compiler inserts collectives where `z @ z.T` needs rows of other devices.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if jax.process_count() > 1 and num_devices not in (0, len(devices)):
        raise ValueError(
            f'num_devices: {jax.process_count()} processes use all of their {len(devices)} devices '
            f'(0), got {num_devices}'
        )
    if not 0 <= num_devices <= len(devices):
        raise ValueError(f'num_devices: expected 0 (all) to {len(devices)}, got {num_devices}')
    return Mesh(np.asarray(devices[: num_devices or len(devices)]), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Each device holds all of it."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """The leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def place(batch: Batch, mesh: Mesh) -> Batch:
    """Puts a host batch on the devices, split by rows; with several processes each gives its own."""
    if jax.process_count() == 1:
        return jax.device_put(dict(batch), by_rows(mesh))
    return jax.make_array_from_process_local_data(by_rows(mesh), dict(batch))


def create(
    method: Method, optimizer: optax.GradientTransformation, seed: int, batch: Batch, mesh: Mesh
) -> TrainState:
    """The state before the first step, made under jit: no two leaves share a buffer.

    On CPUs it is compiled with little optimisation: it runs once, and the random numbers of a
    hundred kernels take minutes to optimise, a sixth of that without.
    """

    def build(key, batch):
        init_key, step_key = jax.random.split(key)
        params, extra = method.init(init_key, batch)
        state = TrainState(jnp.int32(0), params, extra, optimizer.init(params), step_key)
        return jax.tree.map(strongly_typed, state)

    on_cpu = mesh.devices.flat[0].platform == 'cpu'
    options = COMPILED_QUICKLY if on_cpu else None
    built = jax.jit(build, out_shardings=replicated(mesh), compiler_options=options)
    return built(jax.random.key(seed), place(batch, mesh))


def begin(method: Method, state: TrainState, mesh: Mesh) -> TrainState:
    """The state after the method's `Begin`, on the mesh; no two leaves share a buffer."""
    params, extra = method.begin(state.params, state.extra)
    moved = state._replace(params=params, extra=extra)
    return jax.device_put(jax.tree.map(jnp.copy, moved), replicated(mesh))


def strongly_typed(x: jax.Array | float) -> jax.Array:
    """Drops a weak type: the step would come back with another one and compile twice."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jax.lax.convert_element_type(x, x.dtype)


def take_over(new: Tree, old: Tree) -> tuple[Tree, list[str]]:
    """Leaves of `old` where path and shape agree, else of `new`; and the paths taken.

    This is how parameters pass from one stage of a config to the next.
    """
    earlier = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(old)}
    taken = []

    def pick(path, leaf):
        name = jax.tree_util.keystr(path)
        candidate = earlier.get(name)
        if candidate is None or candidate.shape != leaf.shape or candidate.dtype != leaf.dtype:
            return leaf
        taken.append(name)
        return candidate

    return jax.tree.map_with_path(pick, new), taken
