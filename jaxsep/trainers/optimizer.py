"""The optimizer a config describes, put together from optax."""

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence

import jax
import optax

from jaxsep.method import Tree

SCHEDULES = ('constant', 'cosine', 'linear', 'steps')


def make_schedule(
    schedule: str,
    learning_rate: float,
    num_steps: int,
    warmup_steps: int = 0,
    boundaries: Sequence[float] = (),
    decay_factor: float = 0.1,
) -> optax.Schedule:
    """Learning rate per update: linear warm-up from 0, then the named decay.

    Args:
      schedule: constant; cosine (to 0); linear (to 0); steps (times `decay_factor`
        at each of `boundaries`, fractions of num_steps).
    """
    if schedule not in SCHEDULES:
        raise ValueError(f'optimizer.schedule: expected one of {SCHEDULES}, got {schedule!r}')
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(
            f'optimizer.warmup_steps: expected 0 to num_steps={num_steps}, got {warmup_steps}'
        )
    rest = max(num_steps - warmup_steps, 1)
    if schedule == 'cosine':
        decay = optax.cosine_decay_schedule(learning_rate, rest)
    elif schedule == 'linear':
        decay = optax.linear_schedule(learning_rate, 0.0, rest)
    elif schedule == 'steps':
        if any(not 0 < b < 1 for b in boundaries):
            raise ValueError(
                f'optimizer.boundaries: expected fractions between 0 and 1, got {boundaries}'
            )
        steps = {int(b * num_steps) - warmup_steps: decay_factor for b in boundaries}
        decay = optax.piecewise_constant_schedule(learning_rate, steps)
    else:
        decay = optax.constant_schedule(learning_rate)
    if warmup_steps == 0:
        return decay
    warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([warmup, decay], [warmup_steps])


def decayed(params: Tree) -> Tree:
    """True for kernels and embeddings (two axes or more), False for biases, norms, scales."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def make_optimizer(
    *,
    name: str,
    learning_rate: float,
    num_steps: int,
    options: Mapping = {},  # noqa: B006
    schedule: str = 'constant',
    warmup_steps: int = 0,
    boundaries: Sequence[float] = (),
    decay_factor: float = 0.1,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    freeze: Sequence[str] = (),
) -> optax.GradientTransformation:
    """Clipping, the named optax optimizer with its schedule, decay, freezing, accumulation.

    Weight decay touches only arrays with two axes or more. Where the optimizer has an
    argument `weight_decay` (adamw, lamb, lars, lion) it is its own; elsewhere (sgd,
    adam) wd * parameter is added to the gradient, as in the papers' PyTorch recipes.

    Args:
      num_steps: batches to come; with accumulate=k there are num_steps // k updates.
      freeze: regular expressions searched in parameter paths such as
        "params/encoder/Conv_0/kernel". What matches gets no update. One that matches
        nothing is an error, raised when the state is made.
    """
    factory = getattr(optax, name, None)
    if not callable(factory) or 'learning_rate' not in inspect.signature(factory).parameters:
        near = difflib.get_close_matches(name, dir(optax), 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise ValueError(f'optimizer.name: optax has no optimizer {name!r}{hint}')
    if accumulate < 1:
        raise ValueError(f'optimizer.accumulate: expected at least 1, got {accumulate}')
    known = inspect.signature(factory).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f'optimizer.options: optax.{name} has no argument {unknown[0]!r}')
    rate = make_schedule(
        schedule,
        learning_rate,
        num_steps // accumulate,
        warmup_steps // accumulate,
        boundaries,
        decay_factor,
    )
    arguments, before = dict(options), []
    if clip_norm > 0:
        before.append(optax.clip_by_global_norm(clip_norm))
    if weight_decay > 0 and 'weight_decay' in known:
        arguments['weight_decay'] = weight_decay
        arguments['weight_decay_mask' if name == 'lars' else 'mask'] = decayed
    elif weight_decay > 0:
        before.append(optax.add_decayed_weights(weight_decay, decayed))
    elif 'weight_decay' in known:
        arguments.setdefault('weight_decay', 0.0)
    optimizer = optax.chain(*before, factory(rate, **arguments))
    if freeze:
        optimizer = optax.multi_transform(
            {'train': optimizer, 'freeze': optax.set_to_zero()}, freezing(tuple(freeze))
        )
    if accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, accumulate).gradient_transformation()
    return optimizer


def freezing(patterns: tuple[str, ...]):
    """Labels each parameter 'freeze' or 'train' by its path."""

    def labels(params):
        paths = {jax.tree_util.keystr(p, simple=True, separator='/')
                 for p, _ in jax.tree.leaves_with_path(params)}  # fmt: skip
        for pattern in patterns:
            if not any(re.search(pattern, path) for path in paths):
                raise ValueError(
                    f'optimizer.freeze: {pattern!r} matches no parameter; there are {sorted(paths)}'
                )

        def label(path, leaf):
            name = jax.tree_util.keystr(path, simple=True, separator='/')
            return 'freeze' if any(re.search(p, name) for p in patterns) else 'train'

        return jax.tree.map_with_path(label, params)

    return labels
