"""The upper and the lower half of a digit, each through an encoder of its own: two modalities."""

import numpy as np
from jaxtyping import Float

from jaxsep.data.sets.sklearn_sets import digits
from jaxsep.data.source import Arrays, Source, take_all

WIDTHS = {'x': 96, 'y': 128}


def load(*, num_train: int = 1000, seed: int = 0, scale: float = 1.0) -> Source:
    """scikit-learn's digits as pairs `x` [96], `y` [128] float32, and `label`.

    x are random features of the upper four rows of pixels, y others of the lower four:
    tanh(pixels @ W + b), pixels in [0, 1], W and b normal. What the halves share is what digit it
    is and how it is written.

    Args:
      num_train: known pairs; the other digits are for test.
      seed: of the division and of the encoders.
      scale: standard deviation of W and b.
    """
    source = digits(seed=seed)
    rows = [take_all(split) for split in source.splits.values()]
    images = np.concatenate([r['image'] for r in rows])[..., 0] / 255.0
    label = np.concatenate([r['label'] for r in rows])
    if not 1 <= num_train < len(label):
        raise ValueError(f'num_train: expected 1 to {len(label) - 1} pairs, got {num_train}')
    rng = np.random.default_rng(seed)
    halves = {
        'x': images[:, :4].reshape(len(label), -1),
        'y': images[:, 4:].reshape(len(label), -1),
    }
    columns = {
        name: random_features(half, WIDTHS[name], scale, rng) for name, half in halves.items()
    }
    columns['label'] = label
    order = rng.permutation(len(label))
    splits = {
        name: Arrays({column: values[part] for column, values in columns.items()})
        for name, part in (('train', order[:num_train]), ('test', order[num_train:]))
    }
    return Source(splits, source.labels, 'upper and lower halves of digits, encoded apart')


def random_features(
    rows: Float[np.ndarray, 'n p'], width: int, scale: float, rng: np.random.Generator
) -> Float[np.ndarray, 'n d']:
    """Tanh of random affine functions of the rows, float32."""
    weights = rng.normal(0.0, scale, (rows.shape[1], width))
    return np.tanh(rows @ weights + rng.normal(0.0, scale, width)).astype(np.float32)
