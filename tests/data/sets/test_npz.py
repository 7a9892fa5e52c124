import numpy as np
import pytest

from jaxsep.data.sets.npz import read_npz
from jaxsep.data.source import load, take_all

VECTORS = np.arange(20.0).reshape(10, 2)
LABEL = np.arange(10) % 2
TABLE = np.stack([np.arange(10) % 5, np.arange(10) % 4], axis=1)


@pytest.fixture
def write(tmp_path):
    def save(**arrays):
        path = tmp_path / 'arrays.npz'
        np.savez(path, **arrays)
        return f'npz:{path}'

    return save


def both(source):
    return [take_all(source.splits[s]) for s in ('train', 'test')]


def test_what_was_written_comes_back(write):
    arrays = {'embedding': VECTORS, 'label': LABEL, 'name': np.array(['x', 'yy'] * 5)}
    found = read_npz(write(**arrays)[4:])
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)


def test_rows_are_divided_by_chance_when_the_file_does_not_say(write):
    source = load(write(embedding=VECTORS, label=LABEL * 10), test_fraction=0.4)
    train, test = both(source)
    assert (len(train['label']), len(test['label'])) == (6, 4)
    assert source.labels == {'label': ('0', '10')}
    together = np.concatenate([train['embedding'], test['embedding']])
    np.testing.assert_array_equal(np.sort(together[:, 0]), VECTORS[:, 0])
    for part in (train, test):
        np.testing.assert_array_equal(part['label'], part['embedding'][:, 0] // 2 % 2)


def test_a_split_column_decides(write):
    split = np.array(['test'] * 3 + ['train'] * 7)
    train, test = both(load(write(features=VECTORS, label=LABEL, split=split)))
    np.testing.assert_array_equal(test['features'], VECTORS[:3])
    np.testing.assert_array_equal(train['features'], VECTORS[3:])
    assert 'split' not in train


def test_test_arrays_decide_and_share_the_class_numbers(write):
    source = load(
        write(
            features=VECTORS, kind=np.array(list('abcabcabca')),
            features_test=VECTORS[:2], kind_test=np.array(['d', 'a']),
        )
    )  # fmt: skip
    train, test = both(source)
    assert source.labels == {'kind': ('a', 'b', 'c', 'd')}
    assert test['kind'].tolist() == [3, 0] and train['kind'].tolist()[:3] == [0, 1, 2]
    assert (len(train['kind']), len(test['kind'])) == (10, 2)


@pytest.mark.parametrize('dtype', [np.uint8, np.float64])
def test_images_become_uint8_with_a_channel(write, dtype):
    image = np.arange(0, 160, 4, dtype=np.uint8).reshape(10, 2, 2)
    train, _ = both(load(write(image=image if dtype == np.uint8 else image / 255.0, label=LABEL)))
    assert train['image'].dtype == np.uint8
    rows = image.reshape(10, -1).tolist()
    assert all(row in rows for row in train['image'][..., 0].reshape(-1, 4).tolist())


def test_unlabelled_vectors_load(write):
    source = load(write(embedding=VECTORS.astype(np.float16)))
    assert source.labels == {}
    assert both(source)[0]['embedding'].dtype == np.float32


def test_tables_load_with_the_sizes_of_their_fields(write):
    split = np.array(['train'] * 7 + ['test'] * 3)
    arrays = {'categories': TABLE, 'numbers': VECTORS, 'label': LABEL, 'split': split}
    source = load(write(**arrays, field_sizes=np.array([5, 9])))
    train, test = both(source)
    assert source.field_sizes == (5, 9) and source.labels == {'label': ('0', '1')}
    np.testing.assert_array_equal(np.concatenate([train['categories'], test['categories']]), TABLE)
    np.testing.assert_array_equal(train['numbers'], VECTORS[:7])
    assert train['categories'].dtype == np.int32 and train['numbers'].dtype == np.float32
    assert set(train) == {'categories', 'numbers', 'label', 'index'}


def test_without_sizes_values_that_training_does_not_reach_are_unknown(write):
    source = load(write(categories=TABLE[:3], categories_test=TABLE[2:], label=LABEL[:3],
                        label_test=LABEL[2:]))  # fmt: skip
    train, test = both(source)
    assert source.field_sizes == (3, 3)
    np.testing.assert_array_equal(train['categories'], TABLE[:3])
    np.testing.assert_array_equal(test['categories'], np.where(TABLE < 3, TABLE, 0)[2:])


def test_categories_and_numbers_with_one_axis_are_labels_as_ever(write):
    source = load(write(embedding=VECTORS, categories=LABEL, numbers=LABEL, field_sizes=LABEL))
    assert set(source.labels) == {'categories', 'numbers', 'field_sizes'}
    assert source.field_sizes == ()


def with_nan():
    vectors = VECTORS.copy()
    vectors[3, 1], vectors[7, 0] = np.nan, np.inf
    return vectors


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'vectors': VECTORS}, r'named image or .* or numbers; there is vectors \[10, 2\]'),
        ({}, 'there is nothing'),
        ({'embedding': with_nan()}, 'embedding: 2 NaN or infinite entries, the first in row 3'),
        ({'embedding': VECTORS, 'label': LABEL[:9]}, 'label has 9 rows, but embedding has 10'),
        (
            {'embedding': VECTORS, 'features': VECTORS[:9]},
            'embedding has 10 rows, but features has 9',
        ),
        ({'embedding': VECTORS, 'age': LABEL + 0.5}, "'age' should be whole numbers or text"),
        ({'embedding': VECTORS[:, 0]}, r'expected numbers \[n, d\], got float64 \[10\]'),
        ({'embedding': np.array([['a', 'b']])}, 'expected numbers'),
        ({'image': np.full((4, 2, 2), 200.0)}, 'floats should lie in'),
        ({'image': np.ones((4, 2, 2), np.int64)}, 'got int64'),
        ({'image': VECTORS}, r'expected \[n, h, w\]'),
        ({'embedding': VECTORS, 'split': np.array(['valid'] * 10)}, "got 'valid'"),
        ({'embedding': VECTORS, 'split': np.array(['train'] * 10)}, "no row 'test'"),
        ({'embedding': VECTORS, 'label': LABEL, 'embedding_test': VECTORS}, "no 'label_test'"),
        ({'embedding': VECTORS, 'embedding_test': with_nan()}, 'embedding_test: 2 NaN'),
        ({'embedding': VECTORS[:1]}, 'at least 2 rows'),
        ({'categories': TABLE[:, 0]}, r'named image or .* there is categories \[10\]'),
        ({'categories': VECTORS}, r'categories: expected whole numbers \[n, f\], got float64'),
        ({'categories': TABLE.astype(str)}, r'expected whole numbers \[n, f\], got <U'),
        ({'categories': TABLE - 1}, 'categories: expected int32 from 0, got -1 in row 0, field 0'),
        ({'categories': TABLE + 2**40}, 'categories: expected int32 from 0, got 1099511627776'),
        ({'numbers': with_nan()}, 'numbers: 2 NaN or infinite entries'),
        ({'categories': TABLE, 'numbers': VECTORS[:9]}, 'numbers has 9 rows, but categories has'),
        (
            {'categories': TABLE, 'field_sizes': np.array([5, 3])},
            r'categories: field 1 has the value 3, but field_sizes says 3 \(values 0 to 2\)',
        ),
        (
            {'categories': TABLE, 'field_sizes': np.array([5])},
            r'field_sizes: .* the 2 fields .*\[5\]',
        ),
        (
            {'categories': TABLE, 'field_sizes': np.array([0, 4])},
            r'whole numbers from 1, .*\[0 4\]',
        ),
        ({'categories': TABLE, 'field_sizes': np.array([5.0, 4])}, 'field_sizes: .* float64'),
        (
            {'categories': TABLE, 'field_sizes': np.array([], np.int64)},
            r'field_sizes: .* int64 \[\]',
        ),
        (
            {'categories': TABLE, 'field_sizes': np.array(['5', '4'])},
            r"field_sizes: .* \['5' '4'\]",
        ),
        (
            {'categories': TABLE, 'categories_test': TABLE[:, :1]},
            r'a row of categories has shape \[2\], but one of categories_test \[1\]',
        ),
        (
            {'embedding': VECTORS, 'embedding_test': VECTORS[:, :1]},
            r'a row of embedding has shape \[2\], but one of embedding_test \[1\]',
        ),
        ({'embedding': VECTORS, 'label': np.array([{}] * 10)}, "'label' holds Python objects"),
    ],
)
def test_wrong_arrays_are_one_clear_line(write, arrays, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(write(**arrays))
    assert 'arrays.npz' in str(caught.value) and '\n' not in str(caught.value)


def test_files_that_are_missing_or_no_npz_or_cut_off_are_one_clear_line(tmp_path):
    path = tmp_path / 'a.npz'
    with pytest.raises(ValueError, match='no such file'):
        read_npz(path)
    path.write_bytes(b'hello')
    with pytest.raises(ValueError, match='not an npz file'):
        read_npz(path)
    np.savez(path, embedding=VECTORS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match='not an npz file'):
        read_npz(path)


def test_flipped_bits_are_noticed(tmp_path):
    path = tmp_path / 'a.npz'
    np.savez(path, embedding=VECTORS)
    content = bytearray(path.read_bytes())
    content[220] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="array 'embedding' is damaged"):
        read_npz(path)
