"""Photographs of solar cells, sound and defective, from the package elpv-dataset."""

import io

import numpy as np
from PIL import Image

from jaxsep.archives import Archive, decoded, members
from jaxsep.data.source import Arrays, Source
from jaxsep.data.splits import check_fraction, stratified

ARCHIVE = Archive(
    'pypi',
    'elpv-dataset==1.0.0.post1',
    '85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c',
)
DATA = 'elpv_dataset/data/'
CELLS = ('mono', 'poly')
PROBABILITIES = ('0', '1/3', '2/3', '1')


def load(
    *, image_size: int = 64, sure_only: bool = False, test_fraction: float = 0.2, seed: int = 0
) -> Source:
    """2,624 electroluminescence photographs of solar cells, with how likely each is defective.

    Licence CC BY-NC-SA 4.0: for non-commercial use only, copies under the same terms. Deitsch et
    al. 2019, "Automatic classification of defective photovoltaic module cells in
    electroluminescence images" (10.1016/j.solener.2019.02.067), Buerhop-Lutz et al. 2018.
    The wheel is 91 MB; decoding takes ten seconds, once for each image size.

    Columns, int32 besides `image` uint8 [image_size, image_size, 1]:
      `label`: the annotated probability of a defect in thirds, 0 .. 3, an ordinal label.
      `defect`: 1 where that is at least 2/3, as in the paper, else 0.
      `cell`: monocrystalline or polycrystalline silicon.

    The sound cells are a background and the defective ones a target for contrastive
    analysis. The cells come from 44 modules, but the data do not say which from which, so
    that neighbours may be in training and test. Every pair of label and cell is divided alike.

    Args:
      image_size: pixels; the photographs have 300 and are averaged over areas.
      sure_only: only the 1,508 surely sound (0) and the 715 surely defective (1) ones; `label`
        keeps its numbers, 0 and 3.
      test_fraction: share of the rows that is kept for test.
      seed: of the division.
    """
    check_fraction(test_fraction)
    if image_size < 4:
        raise ValueError(f'image_size: expected at least 4 pixels, got {image_size}')
    found = decoded([ARCHIVE], f'elpv-{image_size}-v1', lambda: decode(image_size))
    label = found['label']
    columns = found | {'defect': (label >= 2).astype(np.int32)}
    if sure_only:
        sure = (label == 0) | (label == 3)
        columns = {name: values[sure] for name, values in columns.items()}
    strata = columns['label'] * len(CELLS) + columns['cell']
    splits = {
        split: Arrays({name: values[rows] for name, values in columns.items()})
        for split, rows in zip(
            ('train', 'test'), stratified(strata, test_fraction, seed), strict=True
        )
    }
    labels = {'label': PROBABILITIES, 'defect': ('sound', 'defective'), 'cell': CELLS}
    return Source(splits, labels, 'solar cells, sound and defective')


def decode(image_size: int) -> dict[str, np.ndarray]:
    """All photographs at this size, and their labels, in the order of the package's table."""
    files = members(ARCHIVE)
    rows = [line.split() for line in files[f'{DATA}labels.csv']().decode().splitlines() if line]
    image = np.empty((len(rows), image_size, image_size, 1), np.uint8)
    for i, (name, _, _) in enumerate(rows):
        photograph = Image.open(io.BytesIO(files[DATA + name]())).convert('L')
        image[i, ..., 0] = photograph.resize((image_size, image_size), Image.Resampling.BOX)
    return {
        'image': image,
        'label': np.array([round(3 * float(row[1])) for row in rows], np.int32),
        'cell': np.array([CELLS.index(row[2]) for row in rows], np.int32),
    }
