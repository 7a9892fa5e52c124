"""CIFAR-10, and CIFAR-10 with a digit of MNIST laid over it: the benchmark of SepCLR."""

import numpy as np

from jaxsep.data.source import Arrays, Source, column, select, take_all
from jaxsep.data.source import load as load_source

KINDS = ('background', 'target')


def load(*, data_dir: str | None = None, seed: int = 0) -> Source:
    """`tfds:cifar10` mixed half and half with black, or with a digit of `tfds:mnist`.

    The rows of `overlay`. Needs both sets prepared, see `jaxsep.data.sets.tfds_source`. Louiset et al.
    2024, with 25,000 images of each kind to train on.

    Args:
      data_dir: folder that holds both prepared data sets; None for TFDS's own.
      seed: of the choice of targets and of digits.
    """
    photographs, drawings = (
        load_source(f'tfds:{name}', data_dir=data_dir) for name in ('cifar10', 'mnist')
    )
    return overlay(photographs, drawings, seed)


def overlay(photographs: Source, drawings: Source, seed: int = 0) -> Source:
    """Every photograph at half brightness, with a drawing at half brightness in half of them.

    Columns, int32 besides `image` uint8 of the shape of the photographs:
      `common`: the photograph's label.
      `salient`: the drawing's label; one more than the last, 'none', in the background.
      `target`: 1 where there is a drawing, for half of the rows, chosen at random.

    Args:
      photographs: `image` [h, w, c] and `label`.
      drawings: `image`, at most as large and with one channel or c, and `label`; put in
        the middle and drawn with replacement, within the split.
      seed: of the choice of targets and of drawings.
    """
    rng = np.random.default_rng(seed)
    splits = {}
    nothing = len(drawings.labels['label'])
    for split in ('train', 'test'):
        rows = take_all(photographs.splits[split])
        labels = column(drawings.splits[split], 'label')
        target = rng.permutation(len(rows['label'])).astype(np.int32) % 2
        chosen = rng.integers(len(labels), size=int(target.sum()))
        image = rows['image'] // 2
        image[target > 0] += middle(
            take_all(select(drawings.splits[split], chosen))['image'] // 2, image.shape[1:]
        )
        salient = np.full(len(target), nothing, np.int32)
        salient[target > 0] = labels[chosen]
        splits[split] = Arrays(
            {'image': image, 'common': rows['label'], 'salient': salient, 'target': target}
        )
    labels = {
        'common': photographs.labels['label'],
        'salient': (*drawings.labels['label'], 'none'),
        'target': KINDS,
    }
    return Source(splits, labels, 'photographs, half of them with a drawing laid over')


def middle(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images in the middle of black ones of the shape [h, w, c], one channel as c equal ones."""
    h, w, c = images.shape[1:]
    if h > shape[0] or w > shape[1] or c not in (1, shape[2]):
        raise ValueError(
            f'drawings: expected at most {list(shape)} with 1 or {shape[2]} channels, '
            f'got {[h, w, c]}'
        )
    top, left = (shape[0] - h) // 2, (shape[1] - w) // 2
    padding = ((0, 0), (top, shape[0] - h - top), (left, shape[1] - w - left), (0, 0))
    return np.broadcast_to(np.pad(images, padding), (len(images), *shape))
