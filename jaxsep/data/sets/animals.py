"""Silhouettes of ten animals, the size of MNIST's digits, from the package animal-mnist."""

import gzip

from jaxsep.archives import Archive, members, unpickle_array
from jaxsep.data.duplicates import first_of_each
from jaxsep.data.sets.sklearn_sets import divide
from jaxsep.data.source import Source
from jaxsep.data.splits import check_fraction

ARCHIVE = Archive(
    'pypi',
    'animal-mnist==0.4',
    'aeebf3d9de4552d6fd2d5701424e1a5b9020f8e5115d68df9db252f2f53ce2ce',
)
MEMBER = 'animal_mnist/data/Animal_MNIST/animal_{}_version_3.gz'
NAMES = (
    'bear', 'bird', 'cat', 'cow', 'dog', 'elephant', 'giraffe', 'horse', 'sheep', 'zebra'
)  # fmt: skip


def load(*, test_fraction: float = 0.2, seed: int = 0) -> Source:
    """9,716 grey silhouettes of 10 animals: `image` uint8 [28, 28, 1] and `label`.

    MIT; read from the 2.6 MB wheel of animal-mnist 0.4. Of its 10,000 pictures, 1,000 of each
    animal, the 284 that equal an earlier one pixel by pixel are left out before the
    division, else they would be found in training and test. The two arrays are pickles; they are
    read by a reader that knows numeric arrays and nothing else.

    Args:
      test_fraction: share of the rows that is kept for test; every animal is divided alike.
      seed: of the division.
    """
    check_fraction(test_fraction)
    files = members(ARCHIVE)
    image, label = (
        unpickle_array(gzip.decompress(files[MEMBER.format(part)]())) for part in ('data', 'label')
    )
    kept = first_of_each(image)
    columns = {'image': image[kept][..., None]}
    return divide(columns, label[kept], NAMES, test_fraction, seed, 'silhouettes of ten animals')
