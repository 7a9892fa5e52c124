"""SimCLR with ResNet-50 at 224 x 224 in bfloat16 on a GPU, and the largest batch of NT-Xent.

The step is that of the full config on random images that are on the device already. The share of peak is
the number of multiplications and additions that XLA counts in the step before it optimises, over the
seconds of a step, over the peak of the card. The largest batch is the largest power of two whose
compiled program fits into the card's memory, run once; in blocks, and with the full matrix.
"""

import pathlib
import tempfile

import numpy as np

from experiments.benchmarks.contrastive import TEMPERATURE, WIDTH, views
from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, Row, against
from experiments.run import load_config

SIZES = {
    'full': {'platform': 'gpu', 'batches': [256, 512, 1024], 'image_size': 224, 'overrides': {},
             'steps': 20, 'most_rows': 1_048_576, 'memory': 0, 'peak': 0},
    'quick': {'platform': 'cpu', 'batches': [2], 'image_size': 8,
              'overrides': {'make.encoder': {'name': 'conv', 'widths': (4,), 'features': 8},
                            'make.projection': (8, 4)},
              'steps': 2, 'most_rows': 64, 'memory': 10_000_000, 'peak': 1e12},
}  # fmt: skip
PACKAGES = ('jax', 'flax', 'optax')
CONFIG = 'configs/contrastive/simclr.py:full'
PRECISION = {'compute_dtype': 'bfloat16'}
PEAKS = {
    'H200': 989e12, 'H100': 989e12, 'A100': 312e12, 'L40S': 362e12, 'L4': 121e12, 'A10': 125e12,
}  # fmt: skip
"""Operations a second in bfloat16, dense, as NVIDIA's data sheets have them; first match counts."""


def require(platform: str) -> None:
    """NotHere unless jax runs on such a device."""
    import jax

    if jax.default_backend() != platform:
        raise processes.NotHere(f'needs a {platform}, jax found {jax.devices()[0].device_kind}')


def peak_of(device: str, given: float) -> float | None:
    """Operations a second that the card can do at the most; None where it is not in the list."""
    return given or next((peak for name, peak in PEAKS.items() if name in device), None)


def measure_step(
    batch_size: int, image_size: int, overrides: dict, steps: int, platform: str, peak: float
) -> dict:
    """Seconds of a step in a row of them, and its operations."""
    require(platform)
    import jax

    from jaxsep import session
    from jaxsep.data.source import load
    from jaxsep.trainers import state as states
    from jaxsep.trainers import step as of_step

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'images.npz'
        shape = (2 * batch_size, image_size, image_size, 3)
        image = rng.integers(0, 256, shape).astype(np.uint8)
        np.savez(path, image=image, label=np.zeros(len(image), np.int32))
        loaded = load_config(CONFIG, {}, seed=0)
        loaded.data = {'name': f'npz:{path}'}
        loaded.evals, loaded.batch_size, loaded.num_devices = {}, batch_size, 1
        loaded.update(PRECISION if 'compute_dtype' in loaded else {})
        loaded.update_from_flattened_dict(overrides)
        (stage,) = session.prepare(loaded, load)
        batch = stage.source.splits['train'].take(np.arange(batch_size))
    optimizer = session.make_optimizer(loaded)
    state = states.create(stage.method, optimizer, 0, batch, stage.mesh)
    placed = states.place(batch, stage.mesh)
    operations = jax.jit(of_step.make_step(stage.method, optimizer)).lower(state, placed)
    operations = float(operations.cost_analysis()['flops'])
    step = of_step.compile_jit(stage.method, optimizer, state, batch, stage.mesh)
    for _ in range(3):
        state, metrics = step(state, placed)
    jax.block_until_ready((state, metrics))

    def several():
        nonlocal state, metrics
        for _ in range(steps):
            state, metrics = step(state, placed)
        jax.block_until_ready((state, metrics))

    seconds = meters.once(several)[0] / steps
    device = jax.devices()[0].device_kind
    most = peak_of(device, peak)
    return {
        'time': seconds,
        'steps_per_second': 1 / seconds,
        'operations': operations,
        'share_of_peak': operations / seconds / most if most else None,
        'time_at_peak': operations / most if most else None,
        'compute_dtype': loaded.get('compute_dtype', 'float32'),
        'device': device,
        'loss': float(metrics['loss']),
    }


def largest_batch(chunk_size: str | None, most_rows: int, memory: int, platform: str) -> dict:
    """The most rows, a power of two, whose value and gradient fit; bytes a row and seconds there."""
    require(platform)
    import jax

    from jaxsep.losses.contrastive import nt_xent

    def loss(z1, z2):
        return nt_xent(z1, z2, TEMPERATURE, chunk_size=chunk_size)

    memory = memory or jax.devices()[0].memory_stats()['bytes_limit']
    both, rows, fits = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), 16, None
    while rows <= most_rows:
        z = jax.ShapeDtypeStruct((rows // 2, WIDTH), np.float32)
        program = both.lower(z, z).compile()
        needs = program.memory_analysis()
        needs = needs.temp_size_in_bytes + needs.argument_size_in_bytes + needs.output_size_in_bytes
        if needs > memory:
            break
        rows, fits = 2 * rows, (rows, needs, program)
    rows, needs, program = fits
    z = [jax.numpy.asarray(view) for view in views(rows)]
    seconds, _, (value, _) = meters.once(lambda: jax.block_until_ready(program(*z)))
    return {
        'rows': rows,
        'bytes a row': memory / rows,
        'needs': needs,
        'memory': memory,
        'seconds': seconds,
        'value': float(value),
    }


def measure(
    platform: str,
    batches: list[int],
    image_size: int,
    overrides: dict,
    steps: int,
    most_rows: int,
    memory: int,
    peak: float,
) -> Measured:
    """The steps of all batches that fit, then the largest batches."""
    require(platform)
    table, details = [], {'steps': {}}
    for size in batches:
        arguments = size, image_size, overrides, steps, platform, peak
        try:
            found = processes.fresh(measure_step, *arguments)
        except processes.Failed as error:
            details['steps'][str(size)] = {'failed': str(error)}
            continue
        details['steps'][str(size)] = found
        share = found['share_of_peak']
        ours = {'time': found['time']}
        table.append(
            Row(
                f'SimCLR step, {found["compute_dtype"]}, {found["steps_per_second"]:.2f} steps/s',
                f'{size} images of {image_size} x {image_size}, {found["device"]}',
                f'its peak ({100 * share:.0f} % of it reached)' if share else 'its peak',
                ours,
                {'time': found['time_at_peak']} if share else {},
                '' if share else 'the peak of this card is not known',
            )
        )
    found = {}
    for name, chunk_size in (('jaxsep', 'auto'), ('the full matrix', None)):
        found[name] = processes.fresh(largest_batch, chunk_size, most_rows, memory, platform)
    details['largest'] = found
    rows = found['jaxsep']['rows']
    sizes = f'{rows:,} rows of {WIDTH}; {found["the full matrix"]["rows"]:,} in the full matrix'
    table += against('NT-Xent in blocks, largest batch', sizes, ('bytes a row',), found)
    return Measured(table, details)
