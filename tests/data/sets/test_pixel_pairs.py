import io

import numpy as np
import pytest

from jaxsep.data.sets import movielens, pixel_pairs
from jaxsep.data.source import load, take_all


def test_pairs_are_numbered_by_value_and_those_that_vary_most_are_kept():
    levels = np.zeros((3, 1, 4), np.int64)
    levels[:, 0, 1:] = [[1, 2, 0], [3, 0, 0], [0, 7, 1]]
    assert pixel_pairs.pairs(levels, 1).tolist() == [[10], [24], [7]]
    assert pixel_pairs.pairs(levels, 2).tolist() == [[10, 16], [24, 0], [7, 57]]
    with pytest.raises(ValueError, match='num_fields: expected 1 to 3, got 4'):
        pixel_pairs.pairs(levels, 4)


def test_pixel_pairs_have_the_values_of_the_card():
    source = load('pixel_pairs')
    rows = [take_all(split) for split in source.splits.values()]
    values = np.concatenate([r['categories'] for r in rows])
    assert values.shape == (1797, 39) and values.min() == 1
    assert sum(len(np.unique(column)) for column in values.T) == 2148
    np.testing.assert_array_equal(values.max(axis=0) + 1, source.field_sizes)
    assert all(np.array_equal(r['label'], r['digit'] % 2) for r in rows)


def pack(packed, monkeypatch):
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    rng = np.random.default_rng(0)
    users, films = np.arange(1, 7), np.arange(1, 6)
    columns = {
        'users': {
            'user_id': users, 'age': 20 + users, 'gender': ['F', 'M'] * 3,
            'occupation': ['artist', 'doctor', 'artist'] * 2, 'zip_code': [str(u) for u in users],
        },
        'items': {
            'movie_id': films, 'movie_title': [f'film {f}' for f in films],
            'unknown': [0] * 5, 'Action': [0, 1, 1, 0, 0], 'Drama': [1, 1, 1, 0, 0],
        },
        'data': {
            'user_id': rng.integers(1, 7, 60), 'movie_id': rng.integers(1, 6, 60),
            'rating': np.arange(60) % 5 + 1, 'timestamp': np.arange(60),
        },
    }  # fmt: skip
    files = {}
    for part, table in columns.items():
        file = io.BytesIO()
        parquet.write_table(pyarrow.table(table), file)
        files[movielens.MEMBER.format(part)] = file.getvalue()
    monkeypatch.setattr(movielens, 'ARCHIVE', packed('pypi', 'films==1', files))
    return columns


def test_ratings_of_three_stars_are_left_out_and_genres_are_one_field(packed, monkeypatch):
    columns = pack(packed, monkeypatch)
    source = load('movielens', test_fraction=0.25)
    rows = [take_all(split) for split in source.splits.values()]
    assert [len(r['label']) for r in rows] == [36, 12]
    assert all(r['label'].mean() == 0.5 for r in rows)
    assert source.field_sizes == (7, 6, 7, 3, 3, 7, 4)  # no genre, Drama, both
    everything = np.concatenate([r['categories'] for r in rows])
    assert everything.min() == 1
    film, genres = everything[:, 1], everything[:, 6]
    assert {(f, g) for f, g in zip(film, genres, strict=True)} == {
        (1, 2), (2, 3), (3, 3), (4, 1), (5, 1)
    }  # fmt: skip
    of_user = {u: columns['users']['occupation'][u - 1] for u in range(1, 7)}
    assert {(u, o) for u, o in everything[:, [0, 4]].tolist()} == {
        (u, 1 + (of_user[u] == 'doctor')) for u in of_user
    }


def test_other_versions_are_named():
    with pytest.raises(ValueError, match="version: expected one of .'100k', '1m'., got '25m'"):
        load('movielens', version='25m')
