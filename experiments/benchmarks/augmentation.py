"""What augmentation costs: our warps against gathers, and its share of a training step.

    python -m experiments.benchmarks.augmentation
    python -m experiments.benchmarks.augmentation --step-seconds 0.24 --output augmentation.json

Everything is compiled once and then timed in turns, so that whatever else the machine
does hits all alike; the smallest and the median time of each are printed and written.
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

from jaxsep.data.augment import make_augment, two_views
from jaxsep.ops import warp

RECIPE = {
    'crop': {'area': (0.5, 1.0)},
    'affine': {'rotation': 15.0, 'shear': 10.0, 'scale': (0.9, 1.1), 'translation': 0.1},
    'thickness': {},
    'noise': {},
}


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


def measure(
    num_images: int = 512,
    image_size: int = 32,
    channels: int = 1,
    recipe: Mapping[str, Mapping[str, object]] = RECIPE,
    repeats: int = 20,
    step: Callable[[jax.Array, jax.Array], object] | None = None,
) -> dict[str, object]:
    """Times augmentation of `num_images` images, half of them seen twice.

    Args:
      recipe: for `make_augment`.
      step: a training step (keys [b], uint8 images [b, h, w, c]) -> arrays that augments with
        `recipe` itself, with b = num_images / 2; its time is set against that of augmentation.
    """
    rng = np.random.default_rng(0)
    half = num_images // 2
    images = jnp.asarray(rng.integers(0, 256, (half, image_size, image_size, channels)), jnp.uint8)
    keys = jax.random.split(jax.random.key(0), half)
    floats = jnp.repeat(images, 2, axis=0) / 255.0
    angles, scales = rng.uniform(-0.3, 0.3, 2 * half), rng.uniform(0.9, 1.1, 2 * half)
    matrices = jax.vmap(lambda angle, scale: warp.affine_matrix(angle, 0.0, scale))(
        jnp.asarray(angles, jnp.float32), jnp.asarray(scales, jnp.float32)
    )
    augment = make_augment(recipe)
    views = jax.jit(lambda keys, images: two_views(keys, images, augment))
    ours, theirs = jax.jit(jax.vmap(warp.warp_affine)), jax.jit(jax.vmap(gathered))
    calls = {
        'augment': lambda: views(keys, images),
        'warp': lambda: ours(floats, matrices),
        'warp_by_gathers': lambda: theirs(floats, matrices),
    }
    if step is not None:
        compiled = jax.jit(step)
        calls['step'] = lambda: compiled(keys, images)
    seconds = timings(calls, repeats)
    result = {
        'num_images': 2 * half,
        'image': [image_size, image_size, channels],
        'recipe': {name: dict(options) for name, options in recipe.items()},
        'seconds': seconds,
        'gathers_over_ours': seconds['warp_by_gathers']['median'] / seconds['warp']['median'],
        'jax': jax.__version__,
        'device': jax.devices()[0].device_kind,
        'python': platform.python_version(),
    }
    if step is not None:
        result['share_of_step'] = seconds['augment']['median'] / seconds['step']['median']
    return result


def main() -> None:
    """Reads the flags, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--num-images', type=int, default=512)
    parser.add_argument('--image-size', type=int, default=32)
    parser.add_argument('--channels', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=20)
    parser.add_argument('--step-seconds', type=float, help='time of a whole training step')
    parser.add_argument('--output', type=pathlib.Path,
                        default=pathlib.Path(__file__).with_suffix('.json'))  # fmt: skip
    flags = parser.parse_args()
    result = measure(flags.num_images, flags.image_size, flags.channels, repeats=flags.repeats)
    for name, seconds in result['seconds'].items():
        print(f'{name:16s} ' + '  '.join(f'{k} {1e3 * v:8.2f} ms' for k, v in seconds.items()))
    print(f'gathers take {result["gathers_over_ours"]:.1f} times as long as our warp')
    if flags.step_seconds:
        share = result['seconds']['augment']['median'] / flags.step_seconds
        result |= {'step_seconds': flags.step_seconds, 'share_of_step': share}
        print(f'augmentation is {100 * share:.1f} % of a step of {flags.step_seconds} s')
    flags.output.write_text(json.dumps(result, indent=2) + '\n')
    print(f'written to {flags.output}')


if __name__ == '__main__':
    main()
