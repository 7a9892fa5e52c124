"""Public data sets that are prepared on disk: `tfds:<name>`, read without TensorFlow."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxsep.data.placement import FITS, Placement, place_boxes, place_image, placement
from jaxsep.data.source import Source, nearest
from jaxsep.data.text import check_sizes, tokenize

PREPARE = (
    'prepare it once where there is a network and TensorFlow: '
    "tfds.builder({name!r}, data_dir=..., file_format='array_record').download_and_prepare(); "
    'then give that data_dir, or set TFDS_DATA_DIR'
)


class Structure(NamedTuple):
    """Where the targets of dense prediction are in an example, and how they are brought to the image.

    Attributes:
      image: the key of the image.
      image_size, fit: see `jaxsep.data.placement.placement`; None leaves images as they are.
      objects: the key of the objects, '' for none.
      object_label: the key of an object's class in them.
      max_objects: rows of `true_boxes`; of more objects the first are kept.
      mask: the key of the mask, '' for none.
      mask_offset: what is taken from its numbers, so that the first class is 0.
    """

    image: str = 'image'
    image_size: int | None = None
    fit: str = 'crop'
    objects: str = ''
    object_label: str = 'label'
    max_objects: int = 100
    mask: str = ''
    mask_offset: int = 0

    def place(self, image: np.ndarray) -> Placement:
        """Where this image goes."""
        height, width = image.shape[:2]
        if self.image_size is None:
            return Placement(height, width, 0, 0, max(height, width))
        return placement(height, width, self.image_size, self.fit)

    def targets(self, example: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """`true_boxes` and `true_classes`, and `true_mask`, of one example."""
        found = {}
        if not (self.objects or self.mask):
            return found
        to = self.place(example[self.image])
        if self.objects:
            boxes, classes = self.objects_of(example[self.objects], to)
            found |= {'true_boxes': boxes, 'true_classes': classes}
        if self.mask:
            mask = example[self.mask]
            if self.image_size is not None:
                mask = place_image(mask, to, nearest=True)
            found['true_mask'] = np.maximum(mask[..., 0].astype(np.int32) - self.mask_offset, 0)
        return found

    def objects_of(
        self, objects: Any, to: Placement
    ) -> tuple[Float[np.ndarray, 'm 4'], Int[np.ndarray, 'm']]:
        """Boxes in pixels and classes; crowds, and what lies outside of the square, are left out."""
        if not isinstance(objects, Mapping):  # a list of objects
            names = objects[0] if len(objects) else ()
            objects = {name: np.array([one[name] for one in objects]) for name in names}
        boxes = np.zeros((self.max_objects, 4), np.float32)
        classes = np.full(self.max_objects, -1, np.int32)
        if not len(objects.get('bbox', ())):
            return boxes, classes
        # Equally long, but in tfds.testing.mock_data.
        length = min(len(objects['bbox']), len(objects[self.object_label]))
        objects = {name: np.asarray(values)[:length] for name, values in objects.items()}
        shares = objects['bbox'].astype(np.float64).reshape(-1, 4)
        placed = place_boxes(shares[:, [1, 0, 3, 2]], to)  # TFDS: ymin, xmin, ymax, xmax
        kept = (placed[:, 2] > placed[:, 0]) & (placed[:, 3] > placed[:, 1])
        if 'is_crowd' in objects:
            kept &= ~objects['is_crowd'].astype(bool)
        rows = np.flatnonzero(kept)[: self.max_objects]
        boxes[: len(rows)] = placed[rows]
        classes[: len(rows)] = objects[self.object_label][rows]
        return boxes, classes


class Examples:
    """A split that reads its examples from disk when they are taken.

    Args:
      examples: a random-access tfds data source of dicts.
      columns: name here -> name there.
      integers: the columns that are labels, int32 here.
      structure: size of `image`, and boxes and masks.
      read_text: makes a list of texts the rows of `tokens`.
    """

    def __init__(
        self,
        examples: Any,
        columns: dict[str, str],
        integers: frozenset[str],
        structure: Structure,
        read_text: Callable[[list], np.ndarray] | None = None,
    ):
        self.examples, self.columns, self.integers = examples, columns, integers
        self.structure, self.read_text = structure, read_text

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
            if name == 'image' and self.structure.image_size is not None:
                values = [place_image(image, self.structure.place(image)) for image in values]
            if name == 'tokens' and self.read_text is not None:
                values = self.read_text(values)
            values = np.asarray(values)[: len(wanted)]
            rows[name] = values.astype(np.int32) if name in self.integers else values
        targets = [self.structure.targets(example) for example in examples]
        for name in targets[0]:
            rows[name] = np.stack([found[name] for found in targets])[: len(wanted)]
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
    fit: str = 'crop',
    objects_key: str = 'objects',
    object_label: str = 'label',
    max_objects: int = 100,
    mask_key: str = '',
    mask_names: Sequence[str] = (),
    mask_offset: int = 0,
    text: str | None = None,
    max_length: int = 64,
    num_tokens: int = 32_768,
) -> Source:
    """A data set prepared in array_record format, in TFDS's folder or in `data_dir`.

    Nothing is downloaded. Every feature becomes a column under its own name, except that
    the image is called `image` and the label `label`. The one text feature that is named becomes
    `tokens` [b, max_length], see `jaxsep.data.text.tokenize`; other texts, nested features and those
    of varying shape are left aside, since they cannot go to a device. Each ClassLabel is a label
    column. Objects (COCO, VOC) become the targets `true_boxes` and `true_classes`, a mask that is named
    becomes `true_mask`, on the image as it is brought to its size.

    Args:
      name: as in the TFDS catalogue, perhaps with a config and a version: 'mnist:3.0.1',
        'glue/sst2'.
      train, test: split names, slices such as 'train[:10%]' included. Where the labels of the test
        split are hidden (GLUE), test='validation'.
      data_dir: folder that holds the prepared data sets; None for TFDS's own, which
        the environment variable TFDS_DATA_DIR names.
      image_key, label_key: the features that become `image` and `label`; where there is
        none of that name, the column is missing.
      image_size: images become squares of so many pixels a side; needed where they differ in shape.
      fit: 'crop': the shorter side is scaled to that and the middle is kept; 'pad': the longer side
        is, and the rest is 0, see `jaxsep.data.placement`.
      objects_key, object_label: the feature of the objects, with `bbox`, and their class in it; ''
        for none. Objects marked as crowds are left out.
      max_objects: rows of `true_boxes` in each image; of more objects the first are kept.
      mask_key, mask_names, mask_offset: the feature that becomes `true_mask`, the names of its
        classes, and the number of the first of them, 1 in oxford_iiit_pet; '' for none.
      text: the Text feature that becomes `tokens`; None for none.
      max_length, num_tokens: length of a row of `tokens`, and how many ids there are.

    Raises:
      ValueError: the set is unknown, or not prepared and would need the network, or is
        stored in a format that only TensorFlow reads, or has no such text.
    """
    check_sizes(num_tokens, max_length)
    if fit not in FITS:
        raise ValueError(f'fit: expected one of {FITS}, got {fit!r}')
    if max_objects < 1:
        raise ValueError(f'max_objects: expected at least 1, got {max_objects}')
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
    features = builder.info.features
    objects, targets = objects_of(tfds, features, objects_key, object_label)
    if mask_key:
        if mask_key not in features:
            raise ValueError(
                f'mask_key: tfds:{name} has no feature {mask_key!r}, but {sorted(features)}'
            )
        targets['true_mask'] = tuple(mask_names)
    structure = Structure(
        image_key, image_size, fit, objects, object_label, max_objects, mask_key, mask_offset
    )
    names = {}
    splits = {}
    for ours, theirs in (('train', train), ('test', test)):
        examples = open_split(name, builder, theirs)
        columns, names = describe(
            tfds, features, image_key, label_key, image_size is not None, text
        )
        columns.pop(mask_key, None)
        splits[ours] = Examples(
            examples, columns, frozenset(names), structure, read_text if text else None
        )
    content = ' '.join((builder.info.description or f'tfds:{name}').split()).partition('. ')[0]
    return Source(splits, names, content, targets=targets)


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


def objects_of(
    tfds: Any, features: Any, key: str, label: str
) -> tuple[str, dict[str, tuple[str, ...]]]:
    """The key of the objects if there are any with boxes, else ''; and the targets they become."""
    feature = getattr(features[key], 'feature', None) if key in features else None
    fields = dict(feature.items()) if hasattr(feature, 'items') else {}
    if 'bbox' not in fields:
        return '', {}
    kinds = fields.get(label)
    if not isinstance(kinds, tfds.features.ClassLabel):
        raise ValueError(f'object_label: {key!r} has no class {label!r}, but {sorted(fields)}')
    names = tuple(kinds.names or map(str, range(kinds.num_classes)))
    return key, {'true_boxes': (), 'true_classes': names}


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
