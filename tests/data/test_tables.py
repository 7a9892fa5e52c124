import io

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jaxsep.data import tables
from jaxsep.data.sets import adult
from jaxsep.data.source import load, take_all


def test_values_are_numbered_by_training_and_others_are_unknown():
    numbers, size = tables.number_known(np.array([7, 3, 5, 9]), np.array([5, 3, 3]))
    assert numbers.tolist() == [0, 1, 2, 0] and size == 3
    numbers, size = tables.number_known(np.array(['a', '?']), np.array(['?']), ['?'])
    assert numbers.tolist() == [0, 0] and size == 1


def test_bins_hold_equally_many_training_rows_and_equal_edges_are_one():
    train = np.random.default_rng(0).permutation(100)
    numbers, size = tables.number_bins(train, train, 4)
    assert np.bincount(numbers).tolist() == [0, 25, 25, 25, 25] and size == 5
    numbers, size = tables.number_bins(np.array([0, 0, 1, 5]), np.array([0] * 9 + [5]), 4)
    assert numbers.tolist() == [1, 1, 2, 2] and size == 3
    numbers, size = tables.number_bins(np.array([1, 2]), np.array([2, 2]), 4)
    assert numbers.tolist() == [1, 1] and size == 2
    with pytest.raises(ValueError, match='num_bins: expected at least 1, got 0'):
        tables.number_bins(train, train, 0)


def test_standard_columns_are_those_of_scikit_learn_and_constant_ones_are_zero():
    rng = np.random.default_rng(1)
    train, values = rng.normal(3, 2, (20, 3)), rng.normal(size=(5, 3))
    train[:, 1] = 4.0
    found = tables.standardize(values, train)
    want = StandardScaler().fit(train).transform(values)
    np.testing.assert_allclose(found[:, ::2], want[:, ::2], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0)


def test_digit_parity_has_the_levels_of_its_pixels_and_both_labels():
    source = load('digit_parity')
    train, test = (take_all(split) for split in source.splits.values())
    assert len(train['label']) + len(test['label']) == 1797
    assert source.field_sizes == (5,) * 48
    for rows in (train, test):
        assert rows['categories'].min() == 1 and rows['categories'].max() == 4
        np.testing.assert_array_equal(rows['label'], rows['digit'] % 2)
    assert take_all(load('digit_parity', num_fields=3).splits['test'])['categories'].shape[1] == 3


def census(n=60):
    """A file as the package holds it, with a country that few come from."""
    rng = np.random.default_rng(0)
    columns = {name: rng.choice(['?', 'x', 'y'], n) for name in adult.CATEGORIES}
    columns['native-country'] = np.array([f'c{i}' for i in range(n)])
    columns |= {name: rng.integers(0, 50, n) for name in adult.NUMBERS}
    return columns | {'income': np.array(adult.NAMES)[np.arange(n) % 2]}


def pack(packed, monkeypatch):
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    file, columns = io.BytesIO(), census()
    parquet.write_table(pyarrow.table(columns), file)
    archive = packed('pypi', 'census==1', {adult.MEMBER: file.getvalue()})
    monkeypatch.setattr(adult, 'ARCHIVE', archive)
    return columns


def test_adult_knows_nothing_of_the_test_rows(packed, monkeypatch):
    pack(packed, monkeypatch)
    source = load('adult', test_fraction=0.5)
    train, test = (take_all(split) for split in source.splits.values())
    assert len(source.field_sizes) == 8 == train['categories'].shape[1]
    assert source.field_sizes[-1] == 31  # the countries of 30 training rows
    np.testing.assert_array_equal(test['categories'][:, -1], 0)
    assert len(set(train['categories'][:, -1].tolist())) == 30
    np.testing.assert_allclose(train['numbers'].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train['numbers'].std(0), 1, rtol=1e-5)
    assert train['income'].mean() == test['income'].mean() == 0.5
    for rows in (train, test):
        assert np.all(rows['categories'] < np.array(source.field_sizes)[None, :])


def test_adult_in_bins_has_numbers_as_categories(packed, monkeypatch):
    columns = pack(packed, monkeypatch)
    source = load('adult', bins=5)
    rows = [take_all(split) for split in source.splits.values()]
    assert all('numbers' not in r and r['categories'].shape[1] == 14 for r in rows)
    assert source.field_sizes[8:] == (6,) * 6
    assert sum(len(r['index']) for r in rows) == len(columns['income'])
    with pytest.raises(ValueError, match='scaling: expected one of'):
        load('adult', scaling='none')
    with pytest.raises(ValueError, match='bins: expected 0 or at least 2, got 1'):
        load('adult', bins=1)


def test_real_adult_is_complete(real):
    pytest.importorskip('pyarrow')
    real(adult.ARCHIVE, small=False)
    source = load('adult')
    rows = [take_all(split) for split in source.splits.values()]
    assert sum(len(r['income']) for r in rows) == 48_842
    assert sum(r['income'].sum() for r in rows) == 11_687
    assert source.field_sizes == (9, 17, 8, 15, 7, 6, 3, 42)
    scaled = take_all(load('adult', scaling='log_squared').splits['train'])
    assert scaled['numbers'].shape == (39_074, 6) and np.all(np.isfinite(scaled['numbers']))
