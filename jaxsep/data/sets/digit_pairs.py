"""Two digits side by side, the right one only in targets: common and salient factors, offline."""

import numpy as np

from jaxsep.data.sets.sklearn_sets import digits
from jaxsep.data.source import Arrays, Source, take_all

KINDS = ('background', 'target')


def load(
    *, num_train: int = 3000, num_test: int = 1000, test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """Canvases of 8 x 16 pixels from scikit-learn's digits; every second one is a target.

    The left half holds a digit in every canvas. The right half holds a second one, drawn
    independently, in targets and is empty in the background. Test canvases are made of
    digits that no training canvas shows.

    Columns, int32 besides `image` uint8 [8, 16, 1]:
      `common`: the digit on the left.
      `salient`: the digit on the right; 10, 'none', in the background.
      `target`: 1 for targets, 0 for the background.

    Args:
      num_train, num_test: canvases of each split, half of them targets.
      test_fraction: share of the digits that test canvases are made of.
      seed: of the division and of the pairs.
    """
    for name, number in (('num_train', num_train), ('num_test', num_test)):
        if number < 2:
            raise ValueError(f'{name}: expected at least 2 canvases, got {number}')
    source = digits(test_fraction=test_fraction, seed=seed)
    rng = np.random.default_rng(seed)
    splits = {
        split: Arrays(pair(take_all(source.splits[split]), number, rng))
        for split, number in (('train', num_train), ('test', num_test))
    }
    names = source.labels['label']
    labels = {'common': names, 'salient': (*names, 'none'), 'target': KINDS}
    return Source(splits, labels, 'pairs of handwritten digits, the right one only in targets')


def pair(
    rows: dict[str, np.ndarray], number: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Columns of canvases from single digits; the odd rows are targets.

    Args:
      rows: `image` and `label` of the digits.
      number: of canvases.
      rng: draws the digits.
    """
    left, right = rng.integers(len(rows['label']), size=(2, number))
    target = np.arange(number, dtype=np.int32) % 2
    second = np.where(target[:, None, None, None] > 0, rows['image'][right], 0).astype(np.uint8)
    nothing = len(np.unique(rows['label']))
    return {
        'image': np.concatenate([rows['image'][left], second], axis=2),
        'common': rows['label'][left].astype(np.int32),
        'salient': np.where(target > 0, rows['label'][right], nothing).astype(np.int32),
        'target': target,
    }
