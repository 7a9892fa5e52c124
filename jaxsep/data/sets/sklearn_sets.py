"""Small real sets that come inside scikit-learn, and one made-up one.

Each public function is a data set. Measured vectors are float32 under `features`.
scikit-learn takes a second to import, hence inside the functions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxsep.data.modifiers import select_classes
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction, stratified


def digits(
    *, test_fraction: float = 0.2, seed: int = 0, classes: Sequence[int] | None = None
) -> Source:
    """1,797 handwritten digits: `image` uint8 [8, 8, 1] and `label`.

    The 17 grey levels 0 .. 16 are spread over 0 .. 255. Every class is divided alike.

    Args:
      test_fraction: share of the rows that is kept for test.
      seed: of the division.
      classes: only these digits, numbered in this order; None for all ten.
    """
    check_fraction(test_fraction)
    from sklearn.datasets import load_digits

    found = load_digits()
    image = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]
    names = tuple(str(name) for name in found.target_names)
    source = divide({'image': image}, found.target, names, test_fraction, seed,
                    'handwritten digits, 8 x 8 pixels')  # fmt: skip
    return source if classes is None else select_classes(source, classes)


def iris(*, test_fraction: float = 0.2, seed: int = 0, standardize: bool = True) -> Source:
    """150 flowers of 3 species: `features` [4] and `label`; see `table` for the options."""
    check_fraction(test_fraction)
    from sklearn.datasets import load_iris

    return table(load_iris(), test_fraction, seed, standardize, 'measures of iris flowers')


def wine(*, test_fraction: float = 0.2, seed: int = 0, standardize: bool = True) -> Source:
    """178 wines of 3 growers: `features` [13] and `label`; see `table` for the options."""
    check_fraction(test_fraction)
    from sklearn.datasets import load_wine

    return table(load_wine(), test_fraction, seed, standardize, 'chemical analyses of wines')


def breast_cancer(*, test_fraction: float = 0.2, seed: int = 0, standardize: bool = True) -> Source:
    """569 tumours, malignant or benign: `features` [30] and `label`; see `table`."""
    check_fraction(test_fraction)
    from sklearn.datasets import load_breast_cancer

    return table(load_breast_cancer(), test_fraction, seed, standardize, 'cell nuclei of tumours')


def moons(
    *, num_samples: int = 1000, noise: float = 0.1, test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """Two half circles that interlock in the plane: `features` [2] and `label`.

    Args:
      num_samples: points of both together.
      noise: standard deviation; the circles have radius 1.
      test_fraction: share of the points that is kept for test.
      seed: of points and division.
    """
    check_fraction(test_fraction)
    if num_samples < 4:
        raise ValueError(f'num_samples: expected at least 4, got {num_samples}')
    from sklearn.datasets import make_moons

    features, label = make_moons(num_samples, noise=noise, random_state=seed)
    columns = {'features': features.astype(np.float32)}
    return divide(columns, label, ('upper', 'lower'), test_fraction, seed, 'two interlocking moons')


def divide(
    columns: dict[str, np.ndarray],
    label: np.ndarray,
    names: tuple[str, ...],
    test_fraction: float,
    seed: int,
    content: str,
):
    """A source with one label column, stratified by it."""
    columns = columns | {'label': label.astype(np.int32)}
    rows = dict(
        zip(('train', 'test'), stratified(columns['label'], test_fraction, seed), strict=True)
    )
    splits = {
        split: Arrays({name: values[i] for name, values in columns.items()})
        for split, i in rows.items()
    }
    return Source(splits, {'label': names}, content)


def table(found: Any, test_fraction: float, seed: int, standardize: bool, content: str):
    """A scikit-learn table as a source.

    Args:
      found: what scikit-learn's loader returned.
      test_fraction: share of the rows that is kept for test.
      seed: of the division, in which every class is divided alike.
      standardize: subtract the mean and divide by the standard deviation of the training
        rows; a constant column becomes 0.
      content: one sentence.
    """
    columns = {'features': found.data.astype(np.float64)}
    names = tuple(str(name) for name in found.target_names)
    source = divide(columns, found.target, names, test_fraction, seed, content)
    train = source.splits['train'].columns['features']
    mean, std = (train.mean(0), train.std(0)) if standardize else (0.0, 1.0)
    scale = np.where(std > 0, std, 1.0)
    splits = {
        name: Arrays(
            dict(split.columns)
            | {'features': ((split.columns['features'] - mean) / scale).astype(np.float32)}
        )
        for name, split in source.splits.items()
    }
    return source._replace(splits=splits)
