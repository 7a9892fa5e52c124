"""Public data sets that are prepared on disk: `tfds:<name>`, read without TensorFlow."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from jaxsep.data.source import Source, nearest
from jaxsep.data.text import check_sizes, tokenize

PREPARE = (
    'prepare it once where there is a network and TensorFlow: '
    "tfds.builder({name!r}, data_dir=..., file_format='array_record').download_and_prepare(); "
    'then give that data_dir, or set TFDS_DATA_DIR'
)


class Examples:
    """A split that reads its examples from disk when they are taken.

    Args:
      examples: a random-access tfds data source of dicts.
      columns: name here -> name there.
      integers: the columns that are labels, int32 here.
      image_size: height and width that `image` is brought to; None for as it is.
      read_text: makes a list of texts the rows of `tokens`.
    """

    def __init__(
        self,
        examples: Any,
        columns: dict[str, str],
        integers: frozenset[str],
        image_size: int | None = None,
        read_text: Callable[[list], np.ndarray] | None = None,
    ):
        self.examples, self.columns, self.integers = examples, columns, integers
        self.image_size, self.read_text = image_size, read_text

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, indices: Int[np.ndarray, 'b']) -> dict[str, np.ndarray]:
        """The rows at `indices`, read together; `index` is their number."""
        wanted = [int(i) for i in indices]
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(self):
            raise IndexError(f'indices: expected 0 .. {len(self) - 1}, got {wanted}')
        examples = self.read(wanted or [0])  # of none, one example tells the shapes
        rows = {}
        for name, key in self.columns.items():
            values = [example[key] for example in examples]
            if name == 'image' and self.image_size is not None:
                values = [resize(image, self.image_size) for image in values]
            if name == 'tokens' and self.read_text is not None:
                values = self.read_text(values)
            values = np.asarray(values)[: len(wanted)]
            rows[name] = values.astype(np.int32) if name in self.integers else values
        return rows | {'index': indices.astype(np.int32)}

    def read(self, rows: list[int]) -> list[dict[str, Any]]:
        """The examples of these rows, fetched together where the files can do that."""
        try:
            return list(self.examples.__getitems__(rows))
        except TypeError:  # tfds.testing.mock_data answers for single rows only
            return [self.examples[row] for row in rows]


def load(
    name: str,
    *,
    train: str = 'train',
    test: str = 'test',
    data_dir: str | None = None,
    image_key: str = 'image',
    label_key: str = 'label',
    image_size: int | None = None,
    text: str | None = None,
    max_length: int = 64,
    num_tokens: int = 32_768,
) -> Source:
    """A data set prepared in array_record format, in TFDS's folder or in `data_dir`.

    Nothing is downloaded. Every feature becomes a column under its own name, except that
    the image is called `image` and the label `label`. The one text feature that is named becomes
    `tokens` [b, max_length], see `jaxsep.data.text.tokenize`; other texts, nested features and those
    of varying shape are left aside, since they cannot go to a device. Each ClassLabel is a label
    column.

    Args:
      name: as in the TFDS catalogue, perhaps with a config and a version: 'mnist:3.0.1',
        'glue/sst2'.
      train, test: split names, slices such as 'train[:10%]' included. Where the labels of the test
        split are hidden (GLUE), test='validation'.
      data_dir: folder that holds the prepared data sets; None for TFDS's own, which
        the environment variable TFDS_DATA_DIR names.
      image_key, label_key: the features that become `image` and `label`; where there is
        none of that name, the column is missing.
      image_size: the shorter side is scaled to so many pixels and the middle square is
        kept; needed where images differ in shape.
      text: the Text feature that becomes `tokens`; None for none.
      max_length, num_tokens: length of a row of `tokens`, and how many ids there are.

    Raises:
      ValueError: the set is unknown, or not prepared and would need the network, or is
        stored in a format that only TensorFlow reads, or has no such text.
    """
    check_sizes(num_tokens, max_length)
    tfds = import_tfds()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ImportError, ValueError, OSError) as error:
        first = str(error).strip().partition('\n')[0]
        raise ValueError(
            f'tfds:{name}: {first} Nothing of that name is prepared on disk; '
            + PREPARE.format(name=name)
        ) from None
    if text is not None:
        check_text(tfds, name, builder.info.features, text)
    read_text = partial(tokenize, num_tokens=num_tokens, max_length=max_length)
    names = {}
    splits = {}
    for ours, theirs in (('train', train), ('test', test)):
        examples = open_split(name, builder, theirs)
        columns, names = describe(
            tfds, builder.info.features, image_key, label_key, image_size is not None, text
        )
        splits[ours] = Examples(
            examples, columns, frozenset(names), image_size, read_text if text else None
        )
    content = ' '.join((builder.info.description or f'tfds:{name}').split()).partition('. ')[0]
    return Source(splits, names, content)


def import_tfds():
    """tensorflow_datasets, without its remarks about TensorFlow."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(f'tfds: needs the package tensorflow-datasets ({error})') from None
    return tensorflow_datasets


def open_split(name: str, builder: Any, split: str) -> Any:
    """The random-access examples of a split, or one clear line on why there are none."""
    try:
        return builder.as_data_source(split=split)
    except (NotImplementedError, AssertionError, ValueError, KeyError, OSError) as error:
        why = str(error).strip().strip('"\'').partition('\n')[0]
        there = ', '.join(builder.info.splits)
    if not os.path.isdir(str(builder.data_path)):
        raise ValueError(
            f'tfds:{name}: not found in {builder.data_path}, and preparing it needs the network '
            f'and TensorFlow; {PREPARE.format(name=name)}'
        )
    if split.partition('[')[0] not in builder.info.splits:
        raise ValueError(f'tfds:{name}: no split {split!r}; there is {there}')
    raise ValueError(
        f'tfds:{name}: the files in {builder.data_path} cannot be read without TensorFlow '
        f'({why}); {PREPARE.format(name=name)}'
    )


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [h, w, c] with its shorter side scaled to `size`, and the middle square of that.

    >>> resize(np.zeros((6, 9, 3), np.uint8), 4).shape
    (4, 4, 3)
    """
    height, width, channels = image.shape
    scale = size / min(height, width)
    shape = max(round(width * scale), size), max(round(height * scale), size)
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    picture = np.asarray(
        picture.resize(shape, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    )
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    return picture[top : top + size, left : left + size].reshape(size, size, channels)


def check_text(tfds: Any, name: str, features: Any, text: str) -> None:
    """Raises ValueError unless `text` is a Text feature, naming those there are."""
    there = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if text not in there:
        known = nearest(text, sorted(there)) if there else 'it has no text'
        raise ValueError(f'text: tfds:{name} has no text feature {text!r}: {known}')


def describe(
    tfds: Any,
    features: Any,
    image_key: str,
    label_key: str,
    resized: bool = False,
    text: str | None = None,
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Columns (name here -> name there) and class names of the label columns."""
    renamed = {image_key: 'image', label_key: 'label'}
    if text is not None:
        renamed[text] = 'tokens'
    columns, labels = {}, {}
    for key, feature in features.items():
        column = renamed.get(key, key)
        if key not in renamed and key in renamed.values():
            continue
        fixed = isinstance(feature.shape, tuple) and None not in feature.shape
        if column == 'image' and not (fixed or resized):
            raise ValueError(f'image_size: needed, since {key!r} has the shape {feature.shape}')
        if isinstance(feature, tfds.features.Text) and key != text:
            continue
        if not (fixed or column == 'image'):
            continue
        columns[column] = key
        if isinstance(feature, tfds.features.ClassLabel):
            labels[column] = tuple(feature.names or map(str, range(feature.num_classes)))
    return columns, labels
