"""What augmentation costs: its share of a SimCLR step, and our warps against gathers.

    python -m experiments.benchmarks.augmentation [--config configs/contrastive/simclr.py:small]

Everything is compiled once and then timed in turns, so that whatever else the machine
does hits all alike; the median time of each is what is compared.
"""

import argparse
import json
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import load_config
from jaxsep import session
from jaxsep.data import batches
from jaxsep.data.augment import make_augment, two_views
from jaxsep.data.source import load
from jaxsep.ops import warp
from jaxsep.trainers import state as states
from jaxsep.trainers import step as steps


def gathered(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """The same affine warp by gathering four neighbours of every pixel."""
    h, w, channels = image.shape
    u, v = jnp.meshgrid(jnp.arange(h) - (h - 1) / 2, jnp.arange(w) - (w - 1) / 2, indexing='ij')
    rows, columns, _ = jnp.tensordot(matrix, jnp.stack([u, v, jnp.ones_like(u)]), axes=1)
    places = [rows + (h - 1) / 2, columns + (w - 1) / 2]
    layers = [
        jax.scipy.ndimage.map_coordinates(image[..., c], places, order=1) for c in range(channels)
    ]
    return jnp.stack(layers, axis=-1)


def timings(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Seconds to compile (with the first run) and to run each call, taken in turns."""
    found = {}
    for name, call in calls.items():
        began = time.perf_counter()
        jax.block_until_ready(call())
        found[name] = {'first_call': time.perf_counter() - began}
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - began)
    for name, values in seconds.items():
        found[name] |= {'smallest': min(values), 'median': statistics.median(values)}
    return found


def measure(spec: str, repeats: int) -> dict[str, object]:
    """Times the training step of a config, its augmentation alone, and one warp both ways."""
    config = load_config(spec, {}, seed=0)
    (stage,) = session.prepare(config, load)
    train = stage.source.splits['train']
    batch = next(batches.stream(train, seed=0, batch_size=config.batch_size, num_steps=1))
    optimizer = session.make_optimizer(config)
    current = [states.create(stage.method, optimizer, 0, batch, stage.mesh)]
    step = steps.compile_jit(stage.method, optimizer, current[0], batch, stage.mesh)

    def train_step():
        current[0], metrics = step(current[0], batch)
        return metrics

    images = jnp.asarray(batch['image'])
    keys = jax.random.split(jax.random.key(0), len(images))
    augment = make_augment(config.make.augment.to_dict())
    views = jax.jit(lambda keys, images: two_views(keys, images, augment))
    rng = np.random.default_rng(0)
    floats = jnp.repeat(images, 2, axis=0) / 255.0
    angles, scales = (
        jnp.asarray(rng.uniform(low, high, len(floats)), jnp.float32)
        for low, high in ((-0.3, 0.3), (0.9, 1.1))
    )
    matrices = jax.vmap(lambda angle, scale: warp.affine_matrix(angle, 0.0, scale))(angles, scales)
    ours, theirs = jax.jit(jax.vmap(warp.warp_affine)), jax.jit(jax.vmap(gathered))
    seconds = timings(
        {
            'step': train_step,
            'augment': lambda: views(keys, images),
            'warp': lambda: ours(floats, matrices),
            'warp by gathers': lambda: theirs(floats, matrices),
        },
        repeats,
    )
    return {
        'config': spec,
        'images': list(floats.shape),
        'seconds': seconds,
        'share_of_step': seconds['augment']['median'] / seconds['step']['median'],
        'gathers_over_ours': seconds['warp by gathers']['median'] / seconds['warp']['median'],
        'versions': {'jax': jax.__version__, 'python': platform.python_version()},
        'device': jax.devices()[0].device_kind,
    }


def main() -> None:
    """Reads the flags, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--config', default='configs/contrastive/simclr.py:small')
    parser.add_argument('--repeats', type=int, default=20)
    parser.add_argument('--output', type=pathlib.Path,
                        default=pathlib.Path(__file__).with_suffix('.json'))  # fmt: skip
    flags = parser.parse_args()
    result = measure(flags.config, flags.repeats)
    for name, seconds in result['seconds'].items():
        print(f'{name:16s} ' + '  '.join(f'{k} {1e3 * v:8.2f} ms' for k, v in seconds.items()))
    print(f'augmentation takes {100 * result["share_of_step"]:.1f} % of a step')
    print(f'gathers take {result["gathers_over_ours"]:.1f} times as long as our warp')
    flags.output.write_text(json.dumps(result, indent=2) + '\n')
    print(f'written to {flags.output}')


if __name__ == '__main__':
    main()
