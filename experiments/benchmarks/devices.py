"""What several devices send to one another in a step, against the least they have to.

Read from the text of the compiled programs, for 1 to 8 virtual devices: value and gradient of losses of
two views, rows spread over the devices, and the whole training step of SimCLR. 'jit' is the program that
the compiler splits (the default of a run), 'shard_map' and 'pmap' the one written per device, with the
losses' `axis_name`. Counted are the bytes that each device has of what is gathered, exchanged or summed.

The least: losses of all pairs gather each embedding once; VICReg and Barlow Twins sum their matrices
of features; a step sums the gradient of each parameter beside that.
"""

import os

import numpy as np

from experiments.measuring import processes
from experiments.measuring.collectives import collectives
from experiments.measuring.rows import Measured, Row
from experiments.run import load_config

SIZES = {
    'full': {'devices': [1, 2, 4, 8], 'items': 256, 'dim': 128, 'config': 'small'},
    'quick': {'devices': [2], 'items': 8, 'dim': 4, 'config': ''},
}
PACKAGES = ('jax', 'flax', 'optax')
SIMCLR = 'configs/contrastive/simclr.py'
STEP = 'A step of SimCLR'


def losses(items: int, dim: int) -> dict:
    """Name -> (loss of two views and `axis_name`, bytes that have to travel for value and gradient)."""
    from functools import partial

    import jax.numpy as jnp

    from jaxsep.losses.contrastive import nt_xent, supcon
    from jaxsep.losses.info_nce import info_nce
    from jaxsep.losses.redundancy import barlow_twins, vicreg

    def of_labels(z1, z2, axis_name=None):
        return supcon(jnp.stack([z1, z2], axis=1), axis_name=axis_name)

    rows, features = 4 * 2 * items * dim, 4 * dim * dim
    return {
        'NT-Xent': (nt_xent, rows),
        'NT-Xent in blocks': (partial(nt_xent, chunk_size='auto'), rows),
        'SupCon': (of_labels, rows),
        'InfoNCE': (info_nce, rows),
        'InfoNCE in blocks': (partial(info_nce, chunk_size='auto'), rows),
        'VICReg': (vicreg, 2 * features),
        'Barlow Twins': (barlow_twins, features),
    }


def measure_losses(devices: int, items: int, dim: int) -> dict[str, dict]:
    """Bytes of each loss, split by the compiler and by hand."""
    import jax

    from jaxsep.trainers import state as states

    mesh = states.make_mesh(devices)
    rows, whole = states.by_rows(mesh), states.replicated(mesh)
    z = jax.ShapeDtypeStruct((items, dim), np.float32)
    found = {}
    for name, (loss, least) in losses(items, dim).items():

        def by_hand(z1, z2, loss=loss):
            return loss(z1, z2, axis_name=states.AXIS)

        split = jax.shard_map(by_hand, mesh=mesh, in_specs=jax.P(states.AXIS), out_specs=jax.P())
        forms = {'jit': lambda z1, z2, loss=loss: loss(z1, z2), 'shard_map': split}
        for form, function in forms.items():
            program = jax.jit(
                jax.value_and_grad(function, argnums=(0, 1)),
                in_shardings=rows,
                out_shardings=(whole, rows),
                compiler_options=states.COMPILED_QUICKLY,
            )
            text = program.lower(z, z).compile().as_text()
            found.setdefault(name, {})[form] = counted(text, least)
    return found


def measure_step(devices: int, config: str) -> dict[str, dict]:
    """Bytes of a step of SimCLR: as CPUs run it, and with the convolution of GPUs and TPUs."""
    from unittest import mock

    import jax

    from jaxsep.ops import convolution

    found = measure_forms(devices, config)
    # On CPUs kernels' gradients are summed over blocks of images, each over the devices.
    with mock.patch.object(convolution, '_convolve', convolution._native):
        jax.clear_caches()
        native = measure_forms(devices, config)
    return found | {f"{form} with XLA's convolution": each for form, each in native.items()}


def measure_forms(devices: int, config: str) -> dict[str, dict]:
    """Bytes of a step, under jit and under pmap."""
    import jax

    from jaxsep import session
    from jaxsep.data.source import load
    from jaxsep.trainers import state as states
    from jaxsep.trainers import step as steps

    found = {}
    for form in ('jit', 'pmap'):
        loaded = load_config(
            f'{SIMCLR}:{config}', {'parallel': form, 'num_devices': devices}, seed=0
        )
        (stage,) = session.prepare(loaded, load)
        batch = stage.source.splits['train'].take(np.arange(loaded.batch_size))
        optimizer = session.make_optimizer(loaded)
        state = states.create(stage.method, optimizer, 0, batch, stage.mesh)
        if form == 'jit':
            whole = states.replicated(stage.mesh)
            step = jax.jit(
                steps.make_step(stage.method, optimizer),
                in_shardings=(whole, states.by_rows(stage.mesh)),
                out_shardings=whole,
                compiler_options=states.COMPILED_QUICKLY,
            )
        else:
            step = jax.pmap(
                steps.make_step(stage.method, optimizer, states.AXIS),
                axis_name=states.AXIS,
                devices=list(stage.mesh.devices.flat),
                in_axes=(None, 0),
                out_axes=None,
            )
            batch = {k: x.reshape(devices, -1, *x.shape[1:]) for k, x in batch.items()}
        parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
        embeddings = 4 * 2 * loaded.batch_size * loaded.make.projection[-1]
        found[form] = counted(step.lower(state, batch).compile().as_text(), parameters + embeddings)
    return found


def counted(text: str, least: int) -> dict:
    """Bytes that the program moves, by kind, beside the least."""
    sent = collectives(text)
    kinds = sorted({each.kind for each in sent})
    by_kind = {k: sum(each.size * each.times for each in sent if each.kind == k) for k in kinds}
    return {'bytes moved': sum(by_kind.values()), 'least': least, 'by_kind': by_kind}


def measure(devices: list[int], items: int, dim: int, config: str) -> Measured:
    """The losses on all numbers of devices, the step on the largest, which has the rows."""
    table, details = [], {}
    for count in devices:
        flag = f'--xla_force_host_platform_device_count={count}'
        flags = {'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {flag}'}
        found = processes.fresh(measure_losses, count, items, dim, environment=flags)
        if config and count == max(devices):
            found[STEP] = processes.fresh(measure_step, count, config, environment=flags)
        details[str(count)] = found
        processes.say(f'    {count} devices: ' + ', '.join(
            f'{name} {form} {each["bytes moved"] / each["least"]:.2f}'
            for name, forms in found.items() for form, each in forms.items()))  # fmt: skip
    for name, forms in found.items():
        alone = name != STEP
        sizes = f'{count} devices' + f', 2 x {items} rows of {dim}' * alone
        moved = {f'bytes under {form}': each['bytes moved'] for form, each in forms.items()}
        least = {f'bytes under {form}': each['least'] for form, each in forms.items()}
        what = f'{name}, value and gradient' if alone else name
        table.append(Row(what, sizes, 'the least possible', moved, least))
    return Measured(table, details)
