"""One training step: loss, gradient, optimizer, constraint, refresh: one compiled function."""

from collections.abc import Callable

import jax
import optax
from jax.sharding import Mesh

from jaxsep.method import Batch, Method
from jaxsep.trainers import state as states

Step = Callable[[states.TrainState, Batch], tuple[states.TrainState, dict[str, jax.Array]]]


def make_step(
    method: Method, optimizer: optax.GradientTransformation, axis_name: str | None = None
) -> Step:
    """The pure step function; with `axis_name`, its form for one shard under pmap.

    Returns metrics: `loss`, `grad_norm` (before clipping) and those of the method.
    """

    def step(state, batch):
        key = jax.random.fold_in(state.key, state.step)
        grad = jax.value_and_grad(method.loss, has_aux=True)
        (loss, (extra, metrics)), grads = grad(state.params, state.extra, batch, key)
        if axis_name is not None:
            loss, metrics, grads = jax.lax.pmean((loss, metrics, grads), axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = method.constrain(optax.apply_updates(state.params, updates))
        done = state.step + 1
        extra = method.refresh(params, extra, done)
        metrics = {'loss': loss, 'grad_norm': optax.tree.norm(grads), **metrics}
        return states.TrainState(done, params, extra, opt_state, state.key), metrics

    return step


def compile_jit(method: Method, optimizer, state, batch: Batch, mesh: Mesh) -> Step:
    """Compiles the step for batches sharded by rows; the old state's memory is reused.

    Compiled ahead of time: a batch of another shape raises instead of compiling again.
    """
    replicated = states.replicated(mesh)
    step = jax.jit(
        make_step(method, optimizer),
        donate_argnums=0,
        in_shardings=(replicated, states.by_rows(mesh)),
        out_shardings=replicated,
    )
    compiled = step.lower(state, states.place(batch, mesh)).compile()
    return lambda state, batch: compiled(state, states.place(batch, mesh))


def compile_pmap(method: Method, optimizer, state, batch: Batch, mesh: Mesh) -> Step:
    """The same step scripted per device, for a method made with `axis_name=states.AXIS`.

    The state goes in and comes out replicated, exactly as with `compile_jit`, so
    that checkpoints and everything else do not see which back end ran.
    """
    devices, here = list(mesh.devices.flat), len(mesh.local_devices)

    def split(batch):
        rows = len(batch['index']) // here
        return {name: x.reshape(here, rows, *x.shape[1:]) for name, x in batch.items()}

    step = jax.pmap(
        make_step(method, optimizer, states.AXIS),
        axis_name=states.AXIS,
        devices=devices,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=0,
    )
    compiled = step.lower(state, split(batch)).compile()
    return lambda state, batch: compiled(state, states.place(split(batch), mesh))
