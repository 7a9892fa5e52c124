import io
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxsep.data.source import load, take_all
from jaxsep.data.text import tokenize


class Squares(tfds.core.GeneratorBasedBuilder):
    """Small pictures of one grey level each."""

    VERSION = tfds.core.Version('1.0.0')
    url_infos = {}  # nothing is downloaded; looking for checksums wants one more package

    def _info(self):
        features = {
            'picture': tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8),
            'kind': tfds.features.ClassLabel(names=['even', 'odd']),
            'weight': tfds.features.Scalar(dtype=np.float32),
            'caption': tfds.features.Text(),
            'sound': tfds.features.Tensor(shape=(None,), dtype=np.float32),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), description='Squares.'
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples(6), 'test': self._generate_examples(3)}

    def _generate_examples(self, n):
        for i in range(n):
            yield i, {
                'picture': np.full((4, 4, 1), i, np.uint8), 'kind': i % 2, 'weight': i / 2,
                'caption': str(i), 'sound': np.zeros(i, np.float32),
            }  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('tfds'))
    Squares(data_dir=path, file_format='array_record').download_and_prepare()
    return path


@pytest.fixture(scope='module')
def squares(folder):
    return load('tfds:squares', data_dir=folder, image_key='picture', label_key='kind')


def test_a_prepared_set_is_read_without_tensorflow(squares):
    rows = take_all(squares.splits['train'])
    assert set(rows) == {'image', 'label', 'weight', 'index'}
    level = rows['image'][:, 0, 0, 0]
    assert sorted(level.tolist()) == list(range(6))
    np.testing.assert_array_equal(rows['label'], level % 2)
    np.testing.assert_array_equal(rows['weight'], level / 2)
    assert rows['label'].dtype == np.int32 and rows['image'].dtype == np.uint8
    assert squares.labels == {'label': ('even', 'odd')}
    assert 'tensorflow' not in sys.modules


def test_rows_come_in_the_order_asked(squares):
    everything = take_all(squares.splits['train'])['image']
    taken = squares.splits['train'].take(np.array([4, 1, 4]))
    np.testing.assert_array_equal(taken['image'], everything[[4, 1, 4]])
    np.testing.assert_array_equal(taken['index'], [4, 1, 4])


def test_taking_nothing_keeps_the_shapes(squares):
    assert squares.splits['test'].take(np.zeros(0, int))['image'].shape == (0, 4, 4, 1)


def test_rows_beyond_the_end_are_refused(squares):
    with pytest.raises(IndexError, match=r'0 \.\. 2'):
        squares.splits['test'].take(np.array([3]))


def test_slices_and_modifiers_work(folder):
    source = load(
        'tfds:squares', data_dir=folder, label_key='kind', train='train[:4]', test='train[4:]',
        modifiers=({'name': 'label_noise', 'rate': 0.5},),
    )  # fmt: skip
    train, test = (take_all(source.splits[s]) for s in ('train', 'test'))
    assert (len(train['index']), len(test['index'])) == (4, 2)
    assert (train['label'] != train['label_clean']).sum() == 2


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('squares', {'test': 'validation'}, "no split 'validation'; there is train, test"),
        ('mnist', {}, 'needs the network and TensorFlow; prepare it once'),
        ('no_such_set', {}, 'no_such_set not found'),
    ],
)
def test_what_is_not_on_disk_is_one_clear_line(folder, name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(f'tfds:{name}', data_dir=folder, **options)
    assert '\n' not in str(caught.value)


def test_configs_that_name_public_sets_can_be_tried_offline():
    with tfds.testing.mock_data(num_examples=5):
        source = load('tfds:mnist')
        rows = take_all(source.splits['test'])
    assert rows['image'].shape == (5, 28, 28, 1) and rows['image'].dtype == np.uint8
    assert rows['label'].dtype == np.int32
    assert len(source.labels['label']) == 10


def test_images_of_any_shape_are_brought_to_one_size():
    with tfds.testing.mock_data(num_examples=3):
        source = load('tfds:imagenet2012', test='validation', image_size=16)
        rows = source.splits['test'].take(np.arange(2))
        with pytest.raises(ValueError, match="image_size: needed, since 'image' has the shape"):
            load('tfds:imagenet2012', test='validation')
    assert rows['image'].shape == (2, 16, 16, 3) and rows['image'].dtype == np.uint8
    assert len(source.labels['label']) == 1000


def png(image):
    """A file, since TFDS needs TensorFlow to write an array as one."""
    data = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(data, 'png')
    return io.BytesIO(data.getvalue())


@pytest.fixture(scope='module')
def streets(tmp_path_factory):
    """A folder with a set of wide pictures, boxes and masks on them."""
    with tfds.core.registered.skip_registration():

        class Streets(tfds.core.GeneratorBasedBuilder):
            """A car on the left half, and a crowd."""

            VERSION = tfds.core.Version('1.0.0')
            url_infos = {}

            def _info(self):
                objects = {
                    'bbox': tfds.features.BBoxFeature(),
                    'label': tfds.features.ClassLabel(names=['person', 'car']),
                    'is_crowd': tfds.features.Scalar(np.bool_),
                }
                features = {
                    'image': tfds.features.Image(shape=(None, None, 3)),
                    'objects': tfds.features.Sequence(objects),
                    'parts': tfds.features.Image(shape=(None, None, 1)),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {'train': self._generate_examples(3), 'test': self._generate_examples(1)}

            def _generate_examples(self, n):
                box = tfds.features.BBox
                for i in range(n):
                    image = np.zeros((4 + i, 8 + 2 * i, 3), np.uint8)
                    image[:, : image.shape[1] // 2] = 200
                    objects = [
                        {'bbox': box(0.0, 0.0, 1.0, 0.5), 'label': 1, 'is_crowd': False},
                        {'bbox': box(0.5, 0.0, 1.0, 0.2), 'label': 0, 'is_crowd': False},
                        {'bbox': box(0.0, 0.0, 1.0, 1.0), 'label': 0, 'is_crowd': True},
                    ]
                    parts = (1 + (image[..., :1] > 0)).astype(np.uint8)
                    yield i, {
                        'image': png(image), 'parts': png(parts), 'objects': objects[: 3 * (i < 2)]
                    }  # fmt: skip

    path = str(tmp_path_factory.mktemp('streets'))
    Streets(data_dir=path, file_format='array_record').download_and_prepare()
    return path


def test_objects_and_a_mask_come_with_the_image_to_its_square(streets):
    source = load(
        'tfds:streets', data_dir=streets, image_size=4, fit='pad', max_objects=3,
        mask_key='parts', mask_names=('road', 'car'), mask_offset=1,
    )  # fmt: skip
    assert source.targets == {
        'true_boxes': (), 'true_classes': ('person', 'car'), 'true_mask': ('road', 'car')
    }  # fmt: skip
    rows = take_all(source.splits['train'])
    assert set(rows) == {'image', 'true_boxes', 'true_classes', 'true_mask', 'index'}
    assert rows['true_boxes'].dtype == np.float32 and rows['true_classes'].dtype == np.int32
    for image, boxes, classes, mask in zip(
        *(rows[k] for k in ('image', 'true_boxes', 'true_classes', 'true_mask')), strict=True
    ):
        np.testing.assert_array_equal(image[:2, :2], 200)
        np.testing.assert_array_equal(image[2:], 0)
        np.testing.assert_array_equal(mask, (image[..., 0] > 0).astype(int))
        if classes[0] < 0:  # without objects
            assert (classes == -1).all() and (boxes == 0).all()
            continue
        np.testing.assert_array_equal(classes, [1, 0, -1])
        np.testing.assert_allclose(boxes[0], [0, 0, 2, 2], atol=0.2)
        np.testing.assert_allclose(boxes[1], [0, 1, 0.8, 2], atol=0.2)
        np.testing.assert_array_equal(boxes[2], 0)
    assert (rows['true_classes'][:, 0] < 0).sum() == 1
    empty = source.splits['test'].take(np.zeros(0, int))
    assert empty['true_boxes'].shape == (0, 3, 4) and empty['true_mask'].shape == (0, 4, 4)


def test_what_a_crop_leaves_out_is_no_object(streets):
    rows = take_all(load('tfds:streets', data_dir=streets, image_size=4).splits['test'])
    np.testing.assert_array_equal(rows['true_classes'][0, :2], [1, -1])  # the person was outside
    np.testing.assert_allclose(rows['true_boxes'][0, 0], [0, 0, 2, 4])
    np.testing.assert_array_equal(rows['image'][0, :, :2], 200)
    few = load('tfds:streets', data_dir=streets, image_size=4, fit='pad', max_objects=1)
    assert take_all(few.splits['test'])['true_boxes'].shape == (1, 1, 4)
    none = load('tfds:streets', data_dir=streets, image_size=4, objects_key='')
    assert set(take_all(none.splits['test'])) == {'image', 'index'} and not none.targets


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'fit': 'stretch'}, "fit: expected one of .*, got 'stretch'"),
        ({'max_objects': 0}, 'max_objects: expected at least 1, got 0'),
        ({'mask_key': 'mask'}, "mask_key: tfds:streets has no feature 'mask', but .*'parts'"),
        ({'object_label': 'kind'}, "object_label: 'objects' has no class 'kind', but .*'label'"),
    ],
)
def test_wrong_options_of_targets_are_named(streets, options, message):
    with pytest.raises(ValueError, match=message):
        load('tfds:streets', data_dir=streets, image_size=4, **options)


@pytest.fixture(scope='module')
def reviews(tmp_path_factory):
    """A folder with the set `films/short`, prepared by a builder that nothing knows of later."""
    with tfds.core.registered.skip_registration():

        class Films(tfds.core.GeneratorBasedBuilder):
            """Sentences with a tone, which the test split hides."""

            VERSION = tfds.core.Version('1.0.0')
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='short', version=VERSION)]
            url_infos = {}

            def _info(self):
                features = {
                    'sentence': tfds.features.Text(),
                    'title': tfds.features.Text(),
                    'label': tfds.features.ClassLabel(names=['bad', 'good']),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                splits = {'train': 4, 'validation': 3, 'test': 2}
                return {name: self._generate_examples(name, n) for name, n in splits.items()}

            def _generate_examples(self, split, n):
                for i in range(n):
                    yield i, {
                        'sentence': 'a good film' + ' !' * i, 'title': 'x',
                        'label': -1 if split == 'test' else i % 2,
                    }  # fmt: skip

    path = str(tmp_path_factory.mktemp('films'))
    Films(config='short', data_dir=path, file_format='array_record').download_and_prepare()
    return path


def test_a_named_text_becomes_token_ids_and_another_split_the_test(reviews):
    source = load(
        'tfds:films/short', data_dir=reviews, test='validation', text='sentence',
        max_length=5, num_tokens=50,
    )  # fmt: skip
    assert {name: len(split) for name, split in source.splits.items()} == {'train': 4, 'test': 3}
    train, test = (take_all(source.splits[name]) for name in ('train', 'test'))
    assert set(train) == {'tokens', 'label', 'index'}
    assert train['tokens'].dtype == np.int32 and train['tokens'].shape == (4, 5)
    texts = ['a good film' + ' !' * i for i in range(4)]
    expected = tokenize(texts, num_tokens=50, max_length=5)
    order = np.argsort((train['tokens'] > 0).sum(1), kind='stable')
    np.testing.assert_array_equal(train['tokens'][order], expected)
    assert set(test['label'].tolist()) == {0, 1}
    assert source.splits['test'].take(np.zeros(0, int))['tokens'].shape == (0, 5)


def test_texts_that_are_not_named_are_left_aside(reviews):
    source = load('tfds:films/short', data_dir=reviews, test='validation')
    assert set(take_all(source.splits['test'])) == {'label', 'index'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'text': 'sentense'}, "no text feature 'sentense': did you mean sentence"),
        ({'text': 'label'}, "no text feature 'label': .*There are sentence, title"),
        ({'text': 'sentence', 'num_tokens': 1}, 'num_tokens: expected at least 2'),
    ],
)
def test_texts_that_cannot_be_read_are_named(reviews, options, message):
    with pytest.raises(ValueError, match=message):
        load('tfds:films/short', data_dir=reviews, **options)


def test_a_set_without_text_says_so():
    with tfds.testing.mock_data(num_examples=2):
        with pytest.raises(ValueError, match='text: tfds:mnist .*it has no text'):
            load('tfds:mnist', text='sentence')
        news = load('tfds:ag_news_subset', text='description', max_length=4)
        assert take_all(news.splits['test'])['tokens'].shape == (2, 4)
