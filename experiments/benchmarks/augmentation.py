"""What augmentation costs: its share of a SimCLR step, and our warps against gathers.

Everything is compiled once and then timed in turns, so that whatever else the machine does hits all
alike.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measuring import meters
from experiments.measuring.rows import Measured, against
from experiments.run import load_config
from jaxsep import session
from jaxsep.data import batches
from jaxsep.data.augment import make_augment, two_views
from jaxsep.data.source import load
from jaxsep.ops import warp
from jaxsep.trainers import state as states
from jaxsep.trainers import step as steps

SIZES = {
    'full': {'config': 'configs/contrastive/simclr.py:small', 'repeats': 12},
    'quick': {'config': 'configs/contrastive/simclr.py:smoke', 'repeats': 1},
}
PACKAGES = ('jax', 'flax', 'optax')


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


def measure(config: str, repeats: int) -> Measured:
    """Times the training step of a config, its augmentation alone, and one warp both ways."""
    loaded = load_config(config, {}, seed=0)
    (stage,) = session.prepare(loaded, load)
    train = stage.source.splits['train']
    batch = next(batches.stream(train, seed=0, batch_size=loaded.batch_size, num_steps=1))
    optimizer = session.make_optimizer(loaded)
    current = [states.create(stage.method, optimizer, 0, batch, stage.mesh)]
    step = steps.compile_jit(stage.method, optimizer, current[0], batch, stage.mesh)

    def train_step():
        current[0], metrics = step(current[0], batch)
        return metrics

    images = jnp.asarray(batch['image'])
    keys = jax.random.split(jax.random.key(0), len(images))
    augment = make_augment(loaded.make.augment.to_dict())
    views = jax.jit(lambda keys, images: two_views(keys, images, augment))
    rng = np.random.default_rng(0)
    floats = jnp.repeat(images, 2, axis=0) / 255.0
    angles, scales = (
        jnp.asarray(rng.uniform(low, high, len(floats)), jnp.float32)
        for low, high in ((-0.3, 0.3), (0.9, 1.1))
    )
    matrices = jax.vmap(lambda angle, scale: warp.affine_matrix(angle, 0.0, scale))(angles, scales)
    ours, theirs = jax.jit(jax.vmap(warp.warp_affine)), jax.jit(jax.vmap(gathered))
    forms = {
        'step': train_step,
        'augment': lambda: views(keys, images),
        'warp': lambda: ours(floats, matrices),
        'warp by gathers': lambda: theirs(floats, matrices),
    }
    times = meters.in_turn(
        {name: lambda call=call: jax.block_until_ready(call()) for name, call in forms.items()},
        repeats,
    )
    taken = {name: {'time': each.fastest, **each.summary()} for name, each in times.items()}
    sizes = f'{len(floats)} views of {floats.shape[1]} x {floats.shape[2]}'
    table = against(
        'Affine warp', sizes, ('time',),
        {'jaxsep': taken['warp'], 'gathers (map_coordinates)': taken['warp by gathers']},
    )  # fmt: skip
    of_step = {'jaxsep': taken['augment'], 'the whole step': taken['step']}
    table += against('Augmentation in a step of SimCLR', sizes, ('time',), of_step)
    return Measured(table, {'config': config, 'times': taken})
