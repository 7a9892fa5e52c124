"""Items that exist in several drawings each, as one row per item or one row per drawing."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, UInt8

from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import stratified

LAYOUTS = ('rows', 'views')


def check_layout(layout: str) -> None:
    """Raises ValueError unless there is such a layout."""
    if layout not in LAYOUTS:
        raise ValueError(f'layout: expected {" or ".join(LAYOUTS)}, got {layout!r}')


def drawings_source(
    drawings: UInt8[np.ndarray, 'n v h w c'],
    labels: Mapping[str, Int[np.ndarray, 'n']],
    names: Mapping[str, tuple[str, ...]],
    *,
    layout: str,
    test_fraction: float,
    seed: int,
    strata: Int[np.ndarray, 'n'] | None = None,
    content: str = '',
) -> Source:
    """A source of n items in v styles each; test holds items that training never sees.

    layout 'rows': row v i + s of a split shows its i-th item in style s, columns `image`
    [h, w, c], `item`, `style` and those of `labels`. The retrieval evaluation with
    `label='item', across='style'` asks whether an item is recognised in another style.
    layout 'views': row i holds all drawings of the i-th item, columns `views` [v, h, w, c],
    `item` and those of `labels`.

    Args:
      drawings: all styles of item i at [i].
      labels: what is known of each item besides its number, as numbers of classes.
      names: of the classes of every label, and of `item` and `style`.
      layout: 'rows' or 'views'.
      test_fraction: share of the items that is kept for test.
      seed: of the division of the items.
      strata: each of these classes of items is divided alike; None for one class.
      content: one sentence.
    """
    check_layout(layout)
    n, v = drawings.shape[:2]
    labels = {'item': np.arange(n), **labels}
    parts = stratified(np.zeros(n, np.int32) if strata is None else strata, test_fraction, seed)
    splits = {}
    for split, items in zip(('train', 'test'), parts, strict=True):
        columns = {name: values[items].astype(np.int32) for name, values in labels.items()}
        if layout == 'views':
            columns |= {'views': drawings[items]}
        else:
            columns = {name: np.repeat(values, v) for name, values in columns.items()}
            columns |= {
                'image': drawings[items].reshape(-1, *drawings.shape[2:]),
                'style': np.tile(np.arange(v, dtype=np.int32), len(items)),
            }
        splits[split] = Arrays(columns)
    kept = {name: tuple(names[name]) for name in splits['train'].columns if name in names}
    return Source(splits, kept, content)
